//! The third-party service: consent, tokens and their lives, the API, and a restart.

use http::{Request, StatusCode};

use crate::world::{LEDGERLINE, VERIFIER, World, authorize, client, text};

const SCOPE: &str = "issues:read issues:write";

async fn tokens(world: &World, scope: &str) -> (String, String) {
    let code = world.code(&authorize(scope, &[]), "alice").await;
    let answer = world.redeem(&code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    (text(&answer, "access_token"), text(&answer, "refresh_token"))
}

#[tokio::test]
async fn metadata_is_rfc_8414_alone() {
    let world = World::ledgerline();
    let metadata = world
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    assert_eq!(metadata["issuer"], LEDGERLINE);
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(
        metadata["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "revocation_endpoint",
    ] {
        assert!(
            metadata[name]
                .as_str()
                .is_some_and(|url| url.starts_with(LEDGERLINE)),
            "{name}"
        );
    }
    assert!(metadata.get("jwks_uri").is_none());
    assert_eq!(
        world.get("/.well-known/openid-configuration", None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn consent_names_client_person_and_scopes_and_can_be_denied() {
    let world = World::ledgerline();
    let mut browser = world.browser();
    let answer = world
        .logs_in(&mut browser, &authorize("issues:read", &[]), "alice")
        .await;
    let page = browser.get(answer.location()).await;
    for text in [
        "Test Agent",
        "Alice Archer",
        "read your issues",
        "http://localhost:8407",
        "value=\"allow\"",
    ] {
        assert!(page.body.contains(text), "{text} in {}", page.body);
    }
    assert!(!page.body.contains("create issues"), "only what was asked for");

    let interaction = page.hidden("interaction");
    let fields = [("interaction", interaction.as_str()), ("decision", "deny")];
    let foreign = browser
        .post_from("http://localhost:8400", "/consent", &fields)
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let maybe = browser
        .post("/consent", &[fields[0], ("decision", "maybe")])
        .await;
    assert_eq!(maybe.status, StatusCode::BAD_REQUEST);
    let denied = browser.post("/consent", &fields).await.parameters();
    assert_eq!(denied["error"], "access_denied");
    assert_eq!(denied["state"], "some state");
    assert_eq!(denied["iss"], LEDGERLINE);
    let again = browser
        .post("/consent", &[fields[0], ("decision", "allow")])
        .await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "an answer is given once");

    let second = browser.get(&authorize("issues:read", &[])).await;
    assert!(
        second.location().starts_with("/consent"),
        "signed in, but asked again"
    );
}

#[tokio::test]
async fn wrong_code_verifier_is_refused_and_uses_the_code_up() {
    let world = World::ledgerline();
    let code = world.code(&authorize(SCOPE, &[]), "alice").await;
    let refused = world
        .redeem_with(&code, "another-verifier-another-verifier-another-verifier")
        .await;
    assert_eq!(
        (refused.status, text(&refused, "error").as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant")
    );
    assert_eq!(world.redeem(&code).await.status, StatusCode::BAD_REQUEST);
    let journal = world.get("/playground/token-requests", None).await;
    assert_eq!(journal.json()["requests"][0]["outcome"], "code_verifier_mismatch");
    assert_eq!(journal.json()["requests"][1]["outcome"], "reused");
}

#[tokio::test]
async fn codes_live_a_minute_and_a_second_use_revokes() {
    let world = World::ledgerline();
    let code = world.code(&authorize(SCOPE, &[]), "alice").await;
    world.advance(60);
    assert_eq!(text(&world.redeem(&code).await, "error"), "invalid_grant");

    let code = world.code(&authorize(SCOPE, &[]), "alice").await;
    let answer = world.redeem(&code).await;
    let (access, refresh) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::OK
    );
    assert_eq!(world.redeem(&code).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.refresh(&refresh).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_redirect_uri_is_compared_again_at_the_token_endpoint() {
    let world = World::ledgerline();
    let code = world.code(&authorize(SCOPE, &[]), "alice").await;
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "http://localhost:8407/callback"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        text(&world.post("/token", &pairs).await, "error"),
        "invalid_grant"
    );
}

#[tokio::test]
async fn refresh_rotates_and_reuse_kills_the_family() {
    let world = World::ledgerline();
    let (access, first) = tokens(&world, SCOPE).await;
    world.advance(120);
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::UNAUTHORIZED,
        "two minutes"
    );
    let answer = world.refresh(&first).await;
    assert_eq!(answer.json()["expires_in"], 120);
    assert_eq!(text(&answer, "scope"), SCOPE);
    let (access, second) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
    assert_ne!(first, second);
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::OK
    );

    assert_eq!(text(&world.refresh(&first).await, "error"), "invalid_grant");
    assert_eq!(text(&world.refresh(&second).await, "error"), "invalid_grant");
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn token_requests_are_checked_and_counted_without_secrets() {
    let world = World::ledgerline();
    let credentials = [("client_id", "client"), ("client_secret", "client secret")];
    for (pairs, error, status) in [
        (
            &[("grant_type", "refresh_token")][..],
            "invalid_client",
            StatusCode::UNAUTHORIZED,
        ),
        (
            &[("client_id", "client"), ("client_secret", "wrong")],
            "invalid_client",
            StatusCode::UNAUTHORIZED,
        ),
        (&credentials, "invalid_request", StatusCode::BAD_REQUEST),
        (
            &[credentials[0], credentials[1], ("grant_type", "password")],
            "unsupported_grant_type",
            StatusCode::BAD_REQUEST,
        ),
        (
            &[credentials[0], credentials[1], ("grant_type", "refresh_token")],
            "invalid_request",
            StatusCode::BAD_REQUEST,
        ),
        (
            &[credentials[0], credentials[0], credentials[1]],
            "invalid_request",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let answer = world.post_plain("/token", pairs).await;
        assert_eq!(
            (answer.status, text(&answer, "error").as_str()),
            (status, error),
            "{pairs:?}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let (_, refresh) = tokens(&world, SCOPE).await;
    let journal = world.get("/playground/token-requests", None).await;
    assert_eq!(journal.json()["total"], 7);
    assert_eq!(journal.json()["requests"][6]["grantType"], "authorization_code");
    assert_eq!(journal.json()["requests"][6]["outcome"], "issued");
    for secret in ["client secret", "wrong", VERIFIER, refresh.as_str()] {
        assert!(!journal.body.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn revocation_ends_access() {
    let world = World::ledgerline();
    let (access, refresh) = tokens(&world, SCOPE).await;
    assert_eq!(
        world.post("/revoke", &[("token", "unknown")]).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.post_plain("/revoke", &[("token", &refresh)]).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.post("/revoke", &[("token", &refresh)]).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.refresh(&refresh).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_api_shows_a_persons_own_issues_within_scope() {
    let world = World::ledgerline();
    let (access, _) = tokens(&world, SCOPE).await;
    let list = world
        .get("/api/issues?state=open&assignee=me", Some(&access))
        .await
        .json();
    let keys: Vec<&str> = list["issues"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|issue| issue["key"].as_str())
        .collect();
    assert_eq!(keys, ["ALICE-1", "ALICE-2"]);
    assert_eq!(
        world.get("/api/issues/ALICE-2", Some(&access)).await.json()["state"],
        "open"
    );
    assert_eq!(
        world.get("/api/issues/BOB-1", Some(&access)).await.status,
        StatusCode::NOT_FOUND
    );
    for query in ["state=lost", "assignee=bob", "state=open&state=all"] {
        let answer = world.get(&format!("/api/issues?{query}"), Some(&access)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }

    let post = || Request::post("/api/issues").header("content-type", "application/json");
    let created = world
        .call(
            post(),
            Some(&access),
            r#"{"title":" New ","description":"d"}"#.into(),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(created.headers["location"], "/api/issues/ALICE-4");
    assert_eq!(
        world.get("/api/issues/ALICE-4", Some(&access)).await.json()["title"],
        "New"
    );
    for body in [
        "",
        "{}",
        r#"{"title":""}"#,
        r#"{"title":7}"#,
        r#"{"title":"a","admin":true}"#,
    ] {
        let answer = world.call(post(), Some(&access), body.into()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }

    let (reader, _) = tokens(&world, "issues:read").await;
    let refused = world.call(post(), Some(&reader), r#"{"title":"a"}"#.into()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let challenge = refused.headers["www-authenticate"].to_str().expect("ASCII");
    assert!(
        challenge.contains("error=\"insufficient_scope\", scope=\"issues:write\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn bearer_errors_are_those_of_rfc_6750() {
    let world = World::ledgerline();
    let missing = world.get("/api/issues", None).await;
    assert_eq!(missing.status, StatusCode::UNAUTHORIZED);
    assert_eq!(missing.headers["www-authenticate"], "Bearer realm=\"playground\"");
    let unknown = world.get("/api/issues", Some("unknown")).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert!(
        unknown.headers["www-authenticate"]
            .to_str()
            .expect("ASCII")
            .contains("error=\"invalid_token\"")
    );
    let (access, _) = tokens(&world, SCOPE).await;
    let twice = Request::get("/api/issues").header("authorization", format!("Bearer {access}"));
    assert_eq!(
        world.call(twice, Some(&access), String::new()).await.status,
        StatusCode::BAD_REQUEST
    );
    let in_url = world
        .get(&format!("/api/issues?access_token={access}"), None)
        .await;
    assert_eq!(in_url.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn userinfo_names_the_account() {
    let world = World::ledgerline();
    let (access, _) = tokens(&world, "issues:read").await;
    let claims = world.get("/userinfo", Some(&access)).await.json();
    let expected =
        serde_json::json!({"sub": "LU-1001", "name": "Alice Archer", "preferred_username": "alice"});
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn a_person_can_disconnect_an_application() {
    let world = World::ledgerline();
    let mut browser = world.browser();
    let answer = world.logs_in(&mut browser, &authorize(SCOPE, &[]), "alice").await;
    let page = browser.get(answer.location()).await;
    let interaction = page.hidden("interaction");
    let answer = browser
        .post(
            "/consent",
            &[("interaction", &interaction), ("decision", "allow")],
        )
        .await;
    let tokens = world.redeem(&answer.parameters()["code"]).await;
    let access = text(&tokens, "access_token");

    let home = browser.get("/").await;
    assert!(
        home.body.contains("ALICE-1") && home.body.contains("Test Agent"),
        "{}",
        home.body
    );
    let grant = home.hidden("grant");
    let mut bob = world.browser();
    bob.post("/login", &[("username", "bob"), ("password", "countersign")])
        .await;
    bob.post("/disconnect", &[("grant", &grant)]).await;
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::OK,
        "not bob's to end"
    );
    browser.post("/disconnect", &[("grant", &grant)]).await;
    assert_eq!(
        world.get("/api/issues", Some(&access)).await.status,
        StatusCode::UNAUTHORIZED
    );
    browser.post("/logout", &[]).await;
    assert!(browser.get("/").await.body.contains("Sign in"));
}

#[tokio::test]
async fn a_restart_keeps_tokens_and_issues() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let world = World::ledgerline_in(Some(directory.path()), 1);
    let (access, refresh) = tokens(&world, SCOPE).await;
    let post = Request::post("/api/issues").header("content-type", "application/json");
    world
        .call(post, Some(&access), r#"{"title":"Kept"}"#.into())
        .await;
    drop(world);

    let world = World::ledgerline_in(Some(directory.path()), 2);
    assert_eq!(
        world.get("/api/issues/ALICE-4", Some(&access)).await.json()["title"],
        "Kept"
    );
    assert_eq!(world.refresh(&refresh).await.status, StatusCode::OK);
    drop(world);
    let world = World::ledgerline_in(Some(directory.path()), 3);
    assert_eq!(
        world.refresh(&refresh).await.status,
        StatusCode::BAD_REQUEST,
        "use is remembered too"
    );

    for file in ["ledgerline.json", "ledgerline-issues.json"] {
        let text = std::fs::read_to_string(directory.path().join(file)).expect("a file");
        assert!(
            !text.contains(&refresh) && !text.contains(&access),
            "{file} holds hashes only"
        );
    }
}

#[tokio::test]
async fn a_client_can_be_registered_while_running() {
    use countersign_playground::{Ledgerline, LedgerlineConfig, Parts};
    let parts = Parts {
        clock: std::sync::Arc::new(countersign_crypto::SystemClock),
        random: std::sync::Arc::new(countersign_crypto::SystemRandom),
    };
    let config = LedgerlineConfig {
        issuer: LEDGERLINE.into(),
        ..LedgerlineConfig::default()
    };
    let ledgerline = Ledgerline::new(config, parts).expect("starts");
    let world = World {
        router: ledgerline.router(),
        ..World::ledgerline()
    };
    assert_eq!(
        world.browser().get(&authorize(SCOPE, &[])).await.status,
        StatusCode::BAD_REQUEST
    );
    ledgerline.register_client(client()).expect("a good client");
    assert!(
        world
            .browser()
            .get(&authorize(SCOPE, &[]))
            .await
            .location()
            .starts_with("/login")
    );
}
