//! The `authenticate-oidc` action's own settings, as an Application Load Balancer has them, and what a gateway does that
//! cannot know who is stopped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use countersign_crypto::UserKey;

use countersign_gateway::config::{
    Action, AuthenticateOidc, Config, Forward, OnUnauthenticatedRequest, SessionLimits, StopList, TargetGroup,
};
use countersign_web::{Drain, bind_localhost};
use http::StatusCode;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::support::{Browser, Counters, Fault, System};

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
async fn endpoints_by_hand_need_no_discovery() {
    let system = System::start_with(|config| {
        let oidc = &mut config.authenticate_oidc;
        let at = |path: &str| format!("{}{path}", oidc.issuer).parse().ok();
        (oidc.authorization_endpoint, oidc.token_endpoint) = (at("/authorize"), at("/token"));
        (oidc.user_info_endpoint, oidc.jwks_uri) = (at("/userinfo"), at("/jwks"));
    })
    .await;
    system
        .provider
        .misbehave("/.well-known/openid-configuration", Fault::Redirects);
    system.logged_in("alice").await;
}

/// An identity service's list, which also takes stops while `open`.
#[derive(Clone, Default)]
struct Stops {
    users: Arc<Mutex<Vec<String>>>,
    closed: Arc<AtomicBool>,
}

impl Stops {
    async fn start(&self) -> String {
        let sockets = bind_localhost(0).await.expect("a free port");
        let url = format!(
            "http://localhost:{}/identities/stops",
            crate::support::port(&sockets)
        );
        let (listed, stops) = (self.clone(), self.clone());
        let list = async move || {
            let users = listed.users.lock().expect("not poisoned").clone();
            Json(serde_json::json!({ "account": false, "users": users }))
        };
        let stop = async move |Json(body): Json<serde_json::Value>| {
            if stops.closed.load(Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let key = body["userKey"].as_str().expect("a user key").to_owned();
            stops.users.lock().expect("not poisoned").push(key);
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/identities/stops", get(list).post(stop));
        crate::support::spawn(sockets, router, Drain::new().1);
        url
    }
}

async fn following(url: &str) -> System {
    following_with(url, |_| ()).await
}

async fn following_with(url: &str, change: impl FnOnce(&mut Config)) -> System {
    let system = System::start_with(|config| {
        change(config);
        let stops: Url = url.parse().expect("a URL");
        let port = stops.port().expect("a port");
        config
            .outbound_allow
            .push(format!("localhost:{port}").parse().expect("host and port"));
        config.authenticate_oidc.backchannel_logout_stops_user = true;
        config.stop_list = Some(StopList {
            url: stops,
            audience: "stops".to_owned(),
            max_age_seconds: 30,
            certificate_authority: None,
        });
    })
    .await;
    system.stops_are_known().await;
    system
}

#[tokio::test]
async fn a_stop_ends_sessions_on_every_replica_within_a_second() {
    let stops = Stops::default();
    let url = stops.start().await;
    let (one, two) = (following(&url).await, following(&url).await);
    let mut browsers = [
        (one.logged_in("alice").await, &one),
        (two.logged_in("alice").await, &two),
    ];
    for (_, system) in &browsers {
        let key = UserKey::jwt(&system.provider.issuer, "alice-1001").to_hex();
        stops.users.lock().expect("not poisoned").push(key);
    }
    let began = tokio::time::Instant::now();
    for (browser, system) in &mut browsers {
        while browser.get(&format!("{}/", system.app)).await.status == 200 {
            assert!(began.elapsed() < Duration::from_secs(5), "still logged in");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// A target that changes to the WebSocket protocol and then says nothing.
async fn silent_websockets() -> TargetGroup {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.expect("a head");
                }
                let answer =
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(answer).await.expect("sent");
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    TargetGroup::of(format!("http://127.0.0.1:{port}").parse().expect("a URL"))
}

#[tokio::test]
async fn a_stop_ends_an_open_websocket() {
    let stops = Stops::default();
    let (url, target) = (stops.start().await, silent_websockets().await);
    let system = following_with(&url, |config| {
        config.forward.idle_timeout_seconds = 60;
        config.target_groups.insert("sockets".to_owned(), target);
        let rules = &mut config.listeners.app.rules;
        let mut rule = rules.last().expect("a rule").clone();
        rule.priority = 4;
        rule.conditions.path_pattern = vec!["/socket".to_owned()];
        rule.actions.pop();
        rule.actions.push(Action::Forward(Forward::to("sockets")));
        rules.push(rule);
    })
    .await;
    let alice = system.logged_in("alice").await;
    let address = system.app.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nConnection: upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        alice.cookie_header("localhost")
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = [0; 4_096];
    let length = stream.read(&mut answer).await.expect("an answer");
    let head = String::from_utf8_lossy(&answer[..length]);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut end = async |within| tokio::time::timeout(within, stream.read(&mut answer)).await;
    assert!(end(Duration::from_secs(2)).await.is_err(), "nobody is stopped");
    let key = UserKey::jwt(&system.provider.issuer, "alice-1001").to_hex();
    stops.users.lock().expect("not poisoned").push(key);
    let ended = end(Duration::from_secs(4)).await.expect("it ends");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_back_channel_logout_is_a_stop_where_configured() {
    let stops = Stops::default();
    let system = following(&stops.start().await).await;
    let mut alice = system.logged_in("alice").await;
    let token = system
        .provider
        .logout_token(&serde_json::json!({ "sid": "idp-alice" }));
    // The identity service is told first. While it cannot be, nothing has happened and the provider tries again.
    stops.closed.store(true, Ordering::SeqCst);
    assert_eq!(system.back_channel_logout(&token).await, 503);
    assert_eq!(alice.get(&format!("{}/", system.app)).await.status, 200);
    stops.closed.store(false, Ordering::SeqCst);
    assert_eq!(system.back_channel_logout(&token).await, 200);
    assert_eq!(
        alice.get(&format!("{}/", system.app)).await.status,
        302,
        "logged out"
    );
    let key = UserKey::jwt(&system.provider.issuer, "alice-1001").to_hex();
    assert_eq!(*stops.users.lock().expect("not poisoned"), [key]);
}

#[tokio::test]
async fn who_is_stopped_is_known_or_nobody_is_let_in() {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let system = System::start_with(|config| {
        config.stop_list = Some(StopList {
            url: "http://127.0.0.1:1/identities/stops".parse().expect("a URL"),
            audience: "stops".to_owned(),
            max_age_seconds: 30,
            certificate_authority: None,
        });
    })
    .await;
    system.provider.user("alice");
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/connections", system.account)).await;
    assert_eq!(answer.status, 503);
    assert!(browser.cookies_of("countersign-account-").is_empty());
    assert_eq!(counters.of("ELBAuthSuccess"), 0, "no session, no success");
}
