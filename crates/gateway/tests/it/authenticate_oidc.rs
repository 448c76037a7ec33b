//! The `authenticate-oidc` action's own settings, as an Application Load Balancer has them, and what a gateway does that
//! cannot know who is stopped.

use std::collections::HashMap;
use std::time::Duration;

use countersign_gateway::config::{
    Action, AuthenticateOidc, Config, OnUnauthenticatedRequest, SessionLimits, StopList,
};
use url::Url;

use crate::support::{Browser, System};

/// A rule for `/wiki/*` of the app origin with a login of its own.
fn wiki(config: &mut Config, otherwise: OnUnauthenticatedRequest, oidc: AuthenticateOidc) {
    config.applications.insert("wiki".to_owned(), oidc);
    let rules = &mut config.listeners.app.rules;
    let forward = rules
        .last()
        .and_then(|rule| rule.actions.last())
        .expect("a forward")
        .clone();
    let mut rule = rules[0].clone();
    rule.priority = 5;
    rule.conditions.path_pattern = vec!["/wiki/*".to_owned()];
    let authenticate = Action::AuthenticateOidc {
        on_unauthenticated_request: otherwise,
        application: Some("wiki".to_owned()),
    };
    rule.actions = vec![authenticate, forward];
    rules.push(rule);
}

#[tokio::test]
async fn the_authorization_request_is_as_configured() {
    let system = System::start_with(|config| {
        let oidc = AuthenticateOidc {
            scope: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            extra_params: [("prompt", "login"), ("domain_hint", "example.com")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..config.authenticate_oidc.clone()
        };
        wiki(config, OnUnauthenticatedRequest::Authenticate, oidc);
    })
    .await;
    let answer = Browser::new().get(&format!("{}/wiki/page", system.app)).await;
    assert_eq!(answer.status, 302);
    let url = Url::parse(answer.location()).expect("a URL");
    assert!(
        url.as_str()
            .starts_with(&format!("{}/authorize?", system.provider.issuer)),
        "{url}"
    );
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(query.len(), url.query_pairs().count(), "nothing twice");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "gateway"),
        ("scope", "openid profile email"),
        ("redirect_uri", &format!("{}/oauth2/idpresponse", system.app)),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("domain_hint", "example.com"),
    ] {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(query[name].len(), 43, "{name} is 256 random bits");
    }
}

#[tokio::test]
async fn deny_refuses_and_sends_on_who_was_logged_in_before() {
    let system = System::start_with(|config| {
        let oidc = AuthenticateOidc {
            session: Some(SessionLimits {
                session_timeout_seconds: 60,
                idle_timeout_seconds: 60,
            }),
            ..config.authenticate_oidc.clone()
        };
        wiki(config, OnUnauthenticatedRequest::Deny, oidc);
    })
    .await;
    let url = format!("{}/wiki/page", system.app);
    let mut browser = Browser::new();
    assert_eq!(browser.get(&url).await.status, 401, "nobody");
    // An expired session is presented: the ALB redirects then.
    let stale = ("localhost".to_owned(), "AWSELBAuthSessionCookie-0".to_owned());
    browser.cookies.insert(stale, "of-before".to_owned());
    let answer = browser.follow(&url).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["headers"]["x-amzn-oidc-identity"], "alice-1001");
    system.clock.advance(Duration::from_secs(61));
    assert_eq!(browser.get(&url).await.status, 302, "its time is over");
}

#[tokio::test]
async fn allow_lets_nobody_in_as_nobody() {
    let system = System::start_with(|config| {
        let oidc = config.authenticate_oidc.clone();
        wiki(config, OnUnauthenticatedRequest::Allow, oidc);
    })
    .await;
    let answer = Browser::new().get(&format!("{}/wiki/page", system.app)).await;
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    let headers = echo["headers"].as_object().expect("headers");
    assert!(
        headers.keys().all(|name| !name.starts_with("x-amzn-oidc")),
        "{headers:?}"
    );
}

#[tokio::test]
async fn a_fetch_gets_the_albs_302_unless_the_rule_says_401() {
    for (otherwise, status) in [
        (OnUnauthenticatedRequest::Authenticate, 302),
        (OnUnauthenticatedRequest::AuthenticateNavigation, 401),
    ] {
        let system = System::start_with(|config| {
            let oidc = config.authenticate_oidc.clone();
            wiki(config, otherwise, oidc);
        })
        .await;
        let url = format!("{}/wiki/data", system.app);
        let fetch = [
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-site", "same-origin"),
            ("accept", "*/*"),
        ];
        let answer = Browser::new().get_with(&url, &fetch).await;
        assert_eq!(answer.status, status, "{otherwise:?}");
        if status == 401 {
            assert_eq!(answer.headers["content-type"], "application/json");
            assert!(answer.json()["message"].is_string());
        }
    }
}

#[tokio::test]
async fn targets_learn_of_the_listed_groups_alone() {
    for (listed, seen) in [
        (None, serde_json::json!(["staff", "admins", "wine"])),
        (
            Some(vec!["admins".to_owned(), "chess".to_owned()]),
            serde_json::json!(["admins"]),
        ),
        (Some(vec![]), serde_json::json!([])),
    ] {
        let system = System::start_with(|config| config.authenticate_oidc.groups = listed).await;
        let mut browser = system.logged_in("alice").await;
        let echo = browser.get(&format!("{}/", system.app)).await.json();
        let data = echo["headers"]["x-amzn-oidc-data"]
            .as_str()
            .expect("a token")
            .to_owned();
        let payload = data.split('.').nth(1).expect("a payload").trim_end_matches('=');
        let payload = countersign_crypto::b64url_decode(payload).expect("base64url");
        let claims: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(claims["groups"], seen);
    }
}

#[tokio::test]
async fn two_applications_with_one_cookie_are_refused() {
    let system = System::start().await;
    let mut config = system.config();
    let oidc = config.authenticate_oidc.clone();
    wiki(&mut config, OnUnauthenticatedRequest::Authenticate, oidc.clone());
    config.applications.insert("shop".to_owned(), oidc);
    let error = system
        .reload(config)
        .await
        .expect_err("both have the ALB's cookie");
    assert!(error.to_string().contains("session_cookie_name"), "{error}");
}

#[tokio::test]
async fn who_is_stopped_is_known_or_nobody_is_let_in() {
    let system = System::start_with(|config| {
        config.stop_list = Some(StopList {
            url: "http://127.0.0.1:1/identities/stops".parse().expect("a URL"),
            audience: "stops".to_owned(),
            max_age_seconds: 30,
        });
    })
    .await;
    system.provider.user("alice");
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/connections", system.account)).await;
    assert_eq!(answer.status, 503);
    assert!(browser.cookies_of("countersign-account-").is_empty());
}
