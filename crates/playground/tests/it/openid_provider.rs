//! Signing in: the code flow, what is refused on the way, and signing out.

use countersign_crypto::{JwkSet, JwtPolicy, Timestamp, b64url, sha256, verify_jwt};
use countersign_playground::IdTokenAlgorithm;
use http::StatusCode;

use crate::browser::encode;
use crate::world::{LOGGED_OUT, PROVIDER, REDIRECT_URI, World, authorize, text};

const SCOPE: &str = "openid profile email";

fn provider() -> World {
    World::provider(IdTokenAlgorithm::Es256)
}

#[tokio::test]
async fn code_flow_ends_in_an_id_token_for_both_algorithms() {
    for algorithm in [IdTokenAlgorithm::Es256, IdTokenAlgorithm::Rs256] {
        let world = World::provider(algorithm);
        let mut browser = world.browser();
        let authorize = authorize(SCOPE, &[("nonce", "some nonce")]);
        let answer = world.logs_in(&mut browser, &authorize, "alice").await;
        assert!(
            answer
                .location()
                .starts_with("http://localhost:8407/callback?tenant=1&code="),
            "{answer:?}"
        );
        let parameters = answer.parameters();
        assert_eq!(parameters["state"], "some state");
        assert_eq!(parameters["iss"], PROVIDER);

        let tokens = world.redeem(&parameters["code"]).await;
        assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
        assert_eq!(tokens.headers["cache-control"], "no-store");
        assert!(
            tokens.json().get("refresh_token").is_none(),
            "offline_access was not asked for"
        );

        let metadata = world.get("/.well-known/openid-configuration", None).await.json();
        assert_eq!(metadata["issuer"], PROVIDER);
        let keys = world.get("/jwks.json", None).await;
        let keys = JwkSet::from_json(keys.body.as_bytes()).expect("a JWK set");
        let algorithms = [if algorithm == IdTokenAlgorithm::Es256 {
            countersign_crypto::Algorithm::Es256
        } else {
            countersign_crypto::Algorithm::Rs256
        }];
        let policy = JwtPolicy {
            issuer: PROVIDER,
            audiences: &["client"],
            algorithms: &algorithms,
            leeway_secs: 0,
            typ: Some(&["JWT"]),
        };
        let now = Timestamp::from_secs(1_700_000_000);
        let id_token = verify_jwt(&text(&tokens, "id_token"), &keys, &policy, now).expect("a good ID token");
        let access_token = text(&tokens, "access_token");
        assert_eq!(id_token.claims["sub"], "alice");
        assert_eq!(id_token.claims["nonce"], "some nonce");
        assert_eq!(id_token.claims["auth_time"], 1_700_000_000);
        assert_eq!(
            id_token.claims["at_hash"],
            b64url(&sha256(access_token.as_bytes())[..16])
        );

        let claims = world.get("/userinfo", Some(&access_token)).await.json();
        assert_eq!(claims["sub"], "alice");
        assert_eq!(claims["name"], "Alice Archer");
        assert_eq!(claims["email"], "alice@playground.example");
    }
}

#[tokio::test]
async fn a_second_application_needs_no_second_login_unless_it_asks() {
    let world = provider();
    let mut browser = world.browser();
    world.logs_in(&mut browser, &authorize(SCOPE, &[]), "alice").await;
    world.advance(60);
    let again = browser.get(&authorize(SCOPE, &[])).await;
    assert!(again.parameters().contains_key("code"));
    for (name, value) in [("prompt", "login"), ("max_age", "30")] {
        let answer = browser.get(&authorize(SCOPE, &[(name, value)])).await;
        assert!(
            answer.location().starts_with("/login"),
            "{name}={value}: {answer:?}"
        );
    }
    let within = browser.get(&authorize(SCOPE, &[("max_age", "90")])).await;
    assert!(within.parameters().contains_key("code"));
    let silent = world
        .browser()
        .get(&authorize(SCOPE, &[("prompt", "none")]))
        .await;
    assert_eq!(silent.parameters()["error"], "login_required");
}

#[tokio::test]
async fn redirect_uris_match_exactly_or_the_browser_stays_here() {
    let world = provider();
    let long = format!("{REDIRECT_URI}&x=1");
    for uri in [
        "",
        "http://localhost:8407/callback",
        "http://localhost:8407/callback?tenant=1#x",
        "http://localhost:8407/callback?tenant=2",
        "http://LOCALHOST:8407/callback?tenant=1",
        "http://localhost:8407/callback/?tenant=1",
        "http://localhost:8407@evil.example/callback?tenant=1",
        "https://evil.example/callback?tenant=1",
        &long,
    ] {
        let answer = world
            .browser()
            .get(&authorize(SCOPE, &[("redirect_uri", uri)]))
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(!answer.headers.contains_key("location"), "{uri}");
    }
    let unknown = world
        .browser()
        .get(&authorize(SCOPE, &[("client_id", "nobody")]))
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let twice = format!("{}&client_id=client", authorize(SCOPE, &[]));
    assert_eq!(world.browser().get(&twice).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_mistakes_are_told_to_the_client() {
    let world = provider();
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("scope", "openid admin", "invalid_scope"),
        ("scope", "profile", "invalid_scope"),
        ("scope", "", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("request", "e30.e30.", "request_not_supported"),
        ("request_uri", "https://evil.example", "request_uri_not_supported"),
    ] {
        let answer = world.browser().get(&authorize(SCOPE, &[(name, value)])).await;
        let parameters = answer.parameters();
        assert_eq!(parameters["error"], error, "{name}={value}");
        assert_eq!(parameters["state"], "some state");
        assert_eq!(parameters["iss"], PROVIDER);
    }
}

#[tokio::test]
async fn an_interaction_belongs_to_the_browser_that_began_it() {
    let world = provider();
    let mut victim = world.browser();
    let mut attacker = world.browser();
    // The victim has been here before, and has a browser cookie of her own.
    victim.get(&authorize(SCOPE, &[])).await;
    let begun = attacker.get(&authorize(SCOPE, &[])).await;
    let interaction = begun.location().split_once('=').expect("an id").1.to_owned();
    let page = victim.get(begun.location()).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    let fields = [
        ("interaction", interaction.as_str()),
        ("username", "alice"),
        ("password", "countersign"),
    ];
    assert_eq!(
        victim.post("/login", &fields).await.status,
        StatusCode::BAD_REQUEST
    );
    let foreign = attacker
        .post_from("https://evil.example", "/login", &fields)
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    world.advance(601);
    assert_eq!(
        attacker.post("/login", &fields).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn wrong_passwords_are_refused_on_the_same_page() {
    let world = provider();
    let mut browser = world.browser();
    let begun = browser.get(&authorize(SCOPE, &[])).await;
    let interaction = begun.location().split_once('=').expect("an id").1.to_owned();
    for (username, password) in [("alice", "wrong"), ("alice", ""), ("nobody", "countersign")] {
        let fields = [
            ("interaction", interaction.as_str()),
            ("username", username),
            ("password", password),
        ];
        let answer = browser.post("/login", &fields).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.body.contains("role=\"alert\""));
        assert_eq!(answer.hidden("interaction"), interaction);
    }
}

#[tokio::test]
async fn pages_are_confined() {
    let world = provider();
    let mut browser = world.browser();
    let begun = browser.get(&authorize(SCOPE, &[])).await;
    let page = browser.get(begun.location()).await;
    let policy = page.headers["content-security-policy"].to_str().expect("ASCII");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("form-action"),
        "Chromium would apply it to the redirects back: {policy}"
    );
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    let cookie = begun.headers["set-cookie"].to_str().expect("ASCII");
    assert!(
        cookie.starts_with("openid-provider-browser-8403=") && cookie.contains("HttpOnly"),
        "{cookie}"
    );

    let elsewhere = http::Request::get("/").header("host", "evil.example:8403");
    let refused = crate::browser::send(
        &world.router,
        elsewhere.body(axum::body::Body::empty()).expect("a request"),
    );
    assert_eq!(refused.await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn signing_out_needs_the_persons_own_id_token_or_the_person() {
    let world = provider();
    let mut browser = world.browser();
    let answer = world.logs_in(&mut browser, &authorize(SCOPE, &[]), "alice").await;
    let tokens = world.redeem(&answer.parameters()["code"]).await;
    let alice = text(&tokens, "id_token");
    let tokens = world
        .redeem(&world.code(&authorize(SCOPE, &[]), "bob").await)
        .await;
    let bob = text(&tokens, "id_token");
    let end = |pairs: &[(&str, &str)]| format!("/end-session?{}", encode(pairs));

    let nobody = browser
        .get(&end(&[
            ("client_id", "client"),
            ("post_logout_redirect_uri", LOGGED_OUT),
        ]))
        .await;
    assert!(
        nobody.body.contains("Sign out?"),
        "a link alone does not sign anybody out"
    );
    let other = browser
        .get(&end(&[
            ("id_token_hint", &bob),
            ("post_logout_redirect_uri", LOGGED_OUT),
        ]))
        .await;
    assert!(other.body.contains("Sign out?"), "nor does somebody else's token");
    let forged = browser
        .get(&end(&[("id_token_hint", &alice.replace('.', ".A"))]))
        .await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
    let still = browser.get(&authorize(SCOPE, &[])).await;
    assert!(still.parameters().contains_key("code"), "still signed in");

    let elsewhere = [
        ("client_id", "client"),
        ("post_logout_redirect_uri", "https://evil.example/"),
    ];
    let asked = browser.get(&end(&elsewhere)).await;
    assert!(asked.body.contains("Sign out?"));
    let own = end(&[
        ("id_token_hint", &alice),
        ("post_logout_redirect_uri", LOGGED_OUT),
        ("state", "s"),
    ]);
    assert_eq!(
        browser.get(&own).await.location(),
        format!("{LOGGED_OUT}?state=s")
    );
    let gone = browser.get(&authorize(SCOPE, &[])).await;
    assert!(gone.location().starts_with("/login"));

    world.logs_in(&mut browser, &authorize(SCOPE, &[]), "alice").await;
    let foreign = browser
        .post_from("https://evil.example", "/end-session/confirm", &elsewhere)
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let confirmed = browser.post("/end-session/confirm", &elsewhere).await;
    assert_eq!(
        confirmed.status,
        StatusCode::OK,
        "signed out, and not sent to an unregistered address"
    );
    assert!(
        browser
            .get(&authorize(SCOPE, &[]))
            .await
            .location()
            .starts_with("/login")
    );
}

#[tokio::test]
async fn refresh_tokens_need_offline_access() {
    let world = provider();
    let code = world
        .code(&authorize("openid offline_access", &[]), "alice")
        .await;
    let tokens = world.redeem(&code).await;
    let refreshed = world.refresh(&text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.body);
    assert!(refreshed.json()["id_token"].is_string());
}
