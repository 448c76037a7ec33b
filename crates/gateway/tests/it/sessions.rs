//! The life of a session between login and its end: refresh, independent applications, and all who may end
//! it.

use std::time::Duration;

use countersign_gateway::RotatingKey;
use countersign_gateway::config::{Action, AuthenticateOidc, Config, OnUnauthenticatedRequest};
use http::Method;
use serde_json::json;

use crate::support::program::{exchange, forward_to};
use crate::support::{Browser, Lie, System};

async fn identity(browser: &mut Browser, url: &str) -> String {
    let answer = browser.get(url).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    json["headers"]["x-amzn-oidc-accesstoken"]
        .as_str()
        .expect("a token")
        .to_owned()
}

#[tokio::test]
async fn two_tabs_and_a_rotating_refresh_token_log_nobody_out() {
    let system = System::start().await;
    system.provider.give_refresh_tokens();
    let mut one = system.logged_in("alice").await;
    let mut two = one.clone();
    let url = format!("{}/", system.app);
    let before = identity(&mut one, &url).await;
    for round in 1..=2 {
        system.clock.advance(Duration::from_secs(301));
        let (a, b) = tokio::join!(identity(&mut one, &url), identity(&mut two, &url));
        assert_eq!(a, b, "both tabs have what one refresh brought");
        assert_ne!(a, before);
        assert_eq!(system.provider.refreshes(), round, "one refresh for both");
    }
}

#[tokio::test]
async fn g09_a_refused_refresh_ends_the_session() {
    let mut system = System::start().await;
    system.provider.give_refresh_tokens();
    let mut alice = system.logged_in("alice").await;
    let url = format!("{}/", system.app);
    system.provider.lie(Lie::RefusesCode);
    system.clock.advance(Duration::from_secs(301));
    assert_eq!(alice.get(&url).await.status, 302, "to log in again");
    system.provider.lie(Lie::None);
    assert_eq!(alice.get(&url).await.status, 302, "it stays ended");
    let expected = (
        "RefreshSession".to_owned(),
        "refused".to_owned(),
        Some("AuthInvalidGrantError".to_owned()),
    );
    assert!(system.audit().await.contains(&expected));
}

#[tokio::test]
async fn g09_a_provider_that_is_down_ends_the_session_after_the_grace_alone() {
    for down in [Lie::TokenEndpointDown, Lie::TokenEndpointBusy] {
        a_session_lives_through(down).await;
    }
}

async fn a_session_lives_through(down: Lie) {
    let system = System::start_with(|config| config.authenticate_oidc.refresh_grace_seconds = 60).await;
    system.provider.give_refresh_tokens();
    let mut alice = system.logged_in("alice").await;
    let url = format!("{}/", system.app);
    system.provider.lie(down);
    system.clock.advance(Duration::from_secs(301));
    assert_eq!(alice.get(&url).await.status, 200, "within the grace");
    let asked = system.provider.exchanges();
    assert_eq!(alice.get(&url).await.status, 200);
    assert_eq!(
        system.provider.exchanges(),
        asked,
        "a provider that is down is left alone for a while"
    );
    system.clock.advance(Duration::from_mins(1));
    assert_eq!(alice.get(&url).await.status, 302, "after it");
    system.provider.lie(Lie::None);
    system.clock.advance(Duration::from_secs(6));
    assert_eq!(
        alice.get(&url).await.status,
        200,
        "the record is still there when the provider is back"
    );
}

#[tokio::test]
async fn g09_a_rotated_refresh_token_survives_a_userinfo_endpoint_that_is_down() {
    let system = System::start_with(|config| config.authenticate_oidc.refresh_grace_seconds = 60).await;
    system.provider.give_refresh_tokens();
    let mut one = system.logged_in("alice").await;
    let mut two = one.clone();
    let url = format!("{}/", system.app);
    let before = identity(&mut one, &url).await;
    system.provider.lie(Lie::UserinfoDown);
    system.clock.advance(Duration::from_secs(301));
    let (a, b) = tokio::join!(identity(&mut one, &url), identity(&mut two, &url));
    assert_eq!(
        (&a, &b),
        (&before, &before),
        "nothing that was not checked reaches a target"
    );
    system.clock.advance(Duration::from_mins(1));
    for tab in [&mut one, &mut two] {
        assert_eq!(tab.get(&url).await.status, 302, "after the grace");
    }
    // The provider has taken back the refresh token of the login, and of each refresh since.
    system.provider.lie(Lie::None);
    system.clock.advance(Duration::from_secs(6));
    assert_ne!(identity(&mut one, &url).await, before);
    assert_eq!(system.provider.refreshes(), 3);
}

#[tokio::test]
async fn a_refresh_with_another_issuer_or_subject_is_refused() {
    for lie in [Lie::OtherIssuer, Lie::OtherSubject, Lie::UserinfoOfSomebodyElse] {
        let system = System::start().await;
        system.provider.give_refresh_tokens();
        let mut alice = system.logged_in("alice").await;
        system.provider.lie(lie);
        system.clock.advance(Duration::from_secs(301));
        assert_eq!(
            alice.get(&format!("{}/", system.app)).await.status,
            302,
            "{lie:?}"
        );
    }
}

/// A wiki beside the agent, with a login of its own.
fn with_wiki(config: &mut Config) {
    let shared = config.authenticate_oidc.clone();
    let wiki = AuthenticateOidc {
        session: None,
        ..shared
    };
    config.applications.insert("wiki".to_owned(), wiki);
    let rules = &mut config.listeners.app.rules;
    let mut rule = rules[0].clone();
    rule.priority = 5;
    rule.conditions.path_pattern = vec!["/wiki/*".to_owned()];
    rule.actions = vec![
        Action::AuthenticateOidc {
            on_unauthenticated_request: OnUnauthenticatedRequest::Authenticate,
            application: Some("wiki".to_owned()),
        },
        rules
            .last()
            .and_then(|rule| rule.actions.last())
            .expect("a forward")
            .clone(),
    ];
    let mut public = rule.clone();
    public.priority = 4;
    public.conditions.path_pattern = vec!["/wiki/public/*".to_owned()];
    public.actions.remove(0);
    rules.extend([rule, public]);
}

#[tokio::test]
async fn independent_applications_have_logins_of_their_own() {
    let mut system = System::start_with(with_wiki).await;
    let mut browser = system.logged_in("alice").await;
    system.provider.user("bob");
    let page = format!("{}/wiki/page?x=%2F", system.app);
    let answer = browser.follow(&page).await;
    assert_eq!(answer.url, page, "back where the person wanted to go");
    assert!(
        answer.visited.iter().all(|url| !url.starts_with(&system.account)),
        "an application logs in on its own origin: {:?}",
        answer.visited
    );
    let headers = answer.json()["headers"].clone();
    assert_eq!(headers["x-amzn-oidc-identity"], "bob-1001");
    let cookies = headers["cookie"].as_str().expect("the ticket's name");
    assert!(
        cookies.contains("AWSELBAuthSessionCookie-0=withheld"),
        "{cookies}"
    );
    assert!(!cookies.contains("countersign-"), "{cookies}");
    let home = browser.get(&format!("{}/", system.app)).await.json();
    assert_eq!(
        home["headers"]["x-amzn-oidc-identity"], "alice-1001",
        "two people in one browser"
    );

    // One ticket is nothing under the name of the other.
    let (_, ticket) = browser.cookies_of("countersign-app-").remove(0);
    let mut forged = Browser::new();
    let key = ("localhost".to_owned(), "AWSELBAuthSessionCookie-0".to_owned());
    forged.cookies.insert(key, ticket);
    assert_eq!(forged.get(&page).await.status, 302);
    let logins = system
        .audit()
        .await
        .iter()
        .filter(|(action, ..)| action == "Login")
        .count();
    assert_eq!(logins, 2);
}

#[tokio::test]
async fn g10_an_application_logs_out_by_expiring_the_albs_cookie() {
    // The second one by a rule that logs nobody in.
    for logout in ["/wiki/logout", "/wiki/public/logout"] {
        let mut system = System::start_with(with_wiki).await;
        let mut browser = Browser::new();
        let page = format!("{}/wiki/page", system.app);
        assert_eq!(browser.follow(&page).await.status, 200);
        let mut copy = browser.clone();
        let answer = browser.get(&format!("{}{logout}", system.app)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(browser.cookies_of("AWSELBAuthSessionCookie").len(), 0);
        assert_eq!(
            copy.get(&page).await.status,
            302,
            "a copy of the cookie is worth nothing after {logout}"
        );
        assert!(
            system
                .audit()
                .await
                .contains(&("Logout".to_owned(), "done".to_owned(), None)),
            "{logout}"
        );
    }
}

#[tokio::test]
async fn no_target_plants_a_ticket() {
    let system = System::start_with(with_wiki).await;
    let url = format!("{}/wiki/public/planted", system.app);
    let answer = Browser::new().open(Method::GET, &url, &[], "").await;
    assert_eq!(answer.status(), 200);
    let set: Vec<&[u8]> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    assert_eq!(set, [&b"theme=dark; Path=/"[..], b"caf\xc3\xa9=au-lait"]);
}

#[tokio::test]
async fn tickets_of_other_listeners_of_a_host_are_withheld_and_guarded_too() {
    let text = format!(
        "listen = 'localhost:0'\norigin = 'http://localhost'\n{}",
        forward_to("agent")
    );
    let beside = toml::from_str(&text).expect("a listener");
    let mut system = Box::pin(System::start_with(|config| {
        with_wiki(config);
        config.listeners.additional.insert("beside".to_owned(), beside);
    }))
    .await;
    let port = system.serve_listener("beside").await;
    let page = format!("{}/wiki/page", system.app);
    let mut browser = Browser::new();
    assert_eq!(browser.follow(&page).await.status, 200);
    let (_, ticket) = browser.cookies_of("AWSELBAuthSessionCookie-0").remove(0);
    let cookies = browser.cookie_header("localhost");
    let get = async |path: &str| {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookies}");
        exchange(port, format!("{head}\r\n\r\n")).await
    };
    let echo = get("/").await;
    assert!(
        echo.contains("AWSELBAuthSessionCookie-0=withheld") && !echo.contains(&ticket),
        "{echo}"
    );
    let planted = get("/wiki/public/planted").await;
    assert!(
        planted.contains("theme=dark") && !planted.contains("of-somebody-else"),
        "{planted}"
    );
    assert_eq!(browser.get(&page).await.status, 200, "the ticket is whole");
    get("/wiki/logout").await;
    assert_eq!(browser.get(&page).await.status, 302, "its session has ended");
}

#[tokio::test]
async fn back_channel_logout_ends_what_it_names_once() {
    let system = System::start().await;
    let (mut alice, mut bob) = (system.logged_in("alice").await, system.logged_in("bob").await);
    let home = format!("{}/", system.app);
    let post = async |token: &str| system.back_channel_logout(token).await;
    for wrong in [
        system
            .provider
            .logout_token(&json!({ "sid": "idp-alice", "nonce": "n" })),
        system
            .provider
            .logout_token(&json!({ "sid": "idp-alice", "aud": "somebody" })),
        system
            .provider
            .logout_token(&json!({ "sid": "idp-alice", "events": {} })),
        system
            .provider
            .logout_token(&json!({ "sid": "idp-alice", "exp": 1 })),
        system
            .provider
            .logout_token(&json!({ "sid": "idp-alice", "iss": "https://evil.example" })),
        system.provider.logout_token(&json!({})),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(post(&wrong).await, 400);
    }
    assert_eq!(alice.get(&home).await.status, 200);
    let token = system.provider.logout_token(&json!({ "sid": "idp-alice" }));
    assert_eq!(post(&token).await, 200);
    assert_eq!(post(&token).await, 400, "a token is good once");
    assert_eq!(alice.get(&home).await.status, 302);
    assert_eq!(bob.get(&home).await.status, 200, "nobody else is logged out");
    let token = system.provider.logout_token(&json!({ "sub": "bob-1001" }));
    assert_eq!(post(&token).await, 200);
    assert_eq!(bob.get(&home).await.status, 302);
}

#[tokio::test]
async fn a_back_channel_logout_that_failed_half_way_is_done_when_it_is_repeated() {
    let mut system = System::start().await;
    let mut alice = system.logged_in("alice").await;
    let token = system.provider.logout_token(&json!({ "sid": "idp-alice" }));
    system
        .restart_with("CREATE TRIGGER fault BEFORE DELETE ON session BEGIN SELECT RAISE(ABORT, 'fault'); END")
        .await;
    assert_eq!(system.back_channel_logout(&token).await, 503);
    system.restart_with("DROP TRIGGER fault").await;
    assert_eq!(
        system.back_channel_logout(&token).await,
        200,
        "the provider tries again"
    );
    assert_eq!(
        system.back_channel_logout(&token).await,
        400,
        "and a token is still good once"
    );
    assert_eq!(alice.get(&format!("{}/", system.app)).await.status, 302);
}

#[tokio::test]
async fn an_operator_lists_and_ends_sessions_of_the_running_gateway() {
    let system = System::start().await;
    let (mut alice, mut bob) = (system.logged_in("alice").await, system.logged_in("bob").await);
    let home = format!("{}/", system.app);
    let operator = system.operator();
    let sessions = operator.list_sessions(None, 10).await.expect("a list");
    assert_eq!(sessions.len(), 2);
    let bobs = sessions[0].user_key;
    let alices = sessions[1].user_key;
    assert_ne!(alices, bobs);
    let ended = operator.end_sessions_of(&alices).await.expect("ended");
    assert_eq!(ended.len(), 1);
    system.clock.advance(Duration::from_secs(1));
    let left = operator.list_sessions(None, 10).await.expect("a list");
    assert_eq!(left.len(), 1);
    let statuses = [alice.get(&home).await.status, bob.get(&home).await.status];
    let mut sorted = statuses;
    sorted.sort_unstable();
    assert_eq!(sorted, [200, 302], "one of two, within the second: {statuses:?}");
    operator.end_session(left[0].sid).await.expect("ended");
    assert!(
        operator.end_session(left[0].sid).await.is_err(),
        "there is none any more"
    );
    operator.close().await.expect("closed");
}

#[tokio::test]
async fn signing_keys_rotate_while_the_gateway_runs() {
    let system = System::start().await;
    let mut alice = system.logged_in("alice").await;
    let home = format!("{}/", system.app);
    let mut kid = async || {
        let answer = alice.get(&home).await.json();
        let token = answer["headers"]["x-amzn-oidc-data"]
            .as_str()
            .expect("a token")
            .to_owned();
        countersign_crypto::alb::kid(&token).expect("a kid")
    };
    let old = kid().await;
    let operator = system.operator();
    let rotations = async {
        tokio::try_join!(
            operator.rotate_key(RotatingKey::AlbHeaderSigning),
            operator.rotate_key(RotatingKey::UserTokenSigning),
            operator.rotate_key(RotatingKey::Session),
        )
    };
    let mut published = Browser::new();
    let keys = format!("{}/default/jwks.json", system.keys);
    let seen = async {
        // Verifiers can have the new key while the old one still signs.
        loop {
            let jwks = published.get(&keys).await.json();
            if jwks["keys"].as_array().is_some_and(|keys| keys.len() == 2) {
                return kid().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (rotated, signed_meanwhile) = tokio::join!(rotations, seen);
    rotated.expect("rotated");
    assert_eq!(signed_meanwhile, old, "published before it signs");
    let mut new = old.clone();
    for _ in 0..50 {
        new = kid().await;
        if new != old {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_ne!(
        new, old,
        "the running gateway signs with the new key, and the old ticket still opens"
    );
    let mut verifier = Browser::new();
    for id in [&old, &new] {
        assert_eq!(
            verifier.get(&format!("{}/{id}", system.keys)).await.status,
            200,
            "both are served"
        );
    }
    let jwks = verifier
        .get(&format!("{}/default/jwks.json", system.keys))
        .await
        .json();
    assert_eq!(jwks["keys"].as_array().expect("keys").len(), 2, "overlap");
    assert!(
        operator.retire_key(&new).await.is_err(),
        "a primary key is not retired"
    );
    operator.retire_key(&old).await.expect("retired");
    let mut status = 200;
    for _ in 0..50 {
        status = verifier.get(&format!("{}/{old}", system.keys)).await.status;
        if status == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 404);
    operator.close().await.expect("closed");
}
