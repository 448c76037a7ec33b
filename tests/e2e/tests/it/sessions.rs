//! Browser sessions from outside: operators see and end them, a stop at the identity service ends them, and nobody gets
//! around the gateway.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use e2e::{Person, System, cli::countersign};
use reqwest::StatusCode;
use serde_json::Value;

/// Runs a command of an operator and gives what it printed as JSON.
fn run(system: &System, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["--output", "json"].iter().chain(arguments).copied().collect();
    let ran = countersign(&arguments, system.environment());
    assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap_or_default()
}

fn sessions(system: &System) -> Vec<Value> {
    let listed = run(system, &["session", "list"]);
    listed["sessions"].as_array().expect("sessions").clone()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

async fn is_logged_in(person: &Person<'_>, system: &System) -> bool {
    person.browser.one_hop(system.app("/")).await.status == StatusCode::OK
}

/// How long a person stays logged in from now.
async fn until_logged_out(person: &Person<'_>, system: &System) -> Duration {
    let began = Instant::now();
    while is_logged_in(person, system).await {
        assert!(began.elapsed() < Duration::from_secs(10), "still logged in");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_a_person_ends_their_session_within_a_second() {
    let system = System::start();
    let (alice, bob) = (Person::new(&system, "alice"), Person::new(&system, "bob"));
    alice.logs_in().await;
    let key = text(&sessions(&system)[0], "userKey").to_owned();
    bob.logs_in().await;

    run(&system, &["user", "stop", &key]);
    let took = until_logged_out(&alice, &system).await;
    assert!(
        took < Duration::from_secs(1),
        "{took:?} after the stop was answered"
    );
    assert!(is_logged_in(&bob, &system).await, "nobody else is stopped");
    // Logging in again is refused for as long as the stop holds.
    let refused = alice.logs_in().await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert_eq!(sessions(&system).len(), 1, "bob's");

    run(&system, &["user", "start", &key]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(alice.logs_in().await.status, StatusCode::OK);

    run(&system, &["account", "stop", "000000000000"]);
    let took = until_logged_out(&alice, &system)
        .await
        .max(until_logged_out(&bob, &system).await);
    assert!(
        took < Duration::from_secs(1),
        "{took:?} after the whole account was stopped"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_list_and_end_sessions_and_nobody_without_the_token() {
    let system = System::start();
    let (phone, laptop) = (Person::new(&system, "alice"), Person::new(&system, "alice"));
    let bob = Person::new(&system, "bob");
    for person in [&phone, &laptop, &bob] {
        person.logs_in().await;
    }
    let listed = sessions(&system);
    assert_eq!(listed.len(), 3);
    assert!(
        !listed[0].to_string().contains("bob"),
        "nothing personal in clear: {listed:?}"
    );
    // Newest first.
    let (bobs, laptops) = (text(&listed[0], "sid"), text(&listed[1], "sid"));
    let alice = text(&listed[1], "userKey");
    assert_eq!(text(&listed[2], "userKey"), alice);
    assert_eq!(
        run(&system, &["session", "list", "--user", alice])["sessions"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    assert_eq!(run(&system, &["session", "end", laptops])["ended"][0], laptops);
    assert!(until_logged_out(&laptop, &system).await < Duration::from_secs(2));
    assert!(is_logged_in(&phone, &system).await && is_logged_in(&bob, &system).await);
    let again = countersign(&["session", "end", laptops], system.environment());
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("there is no session"), "{}", again.stderr);

    let ended = run(&system, &["session", "end", "--user", alice]);
    assert_eq!(ended["ended"].as_array().map(Vec::len), Some(1));
    assert!(until_logged_out(&phone, &system).await < Duration::from_secs(2));

    // A wrong token, none, and the routes as a stranger finds them.
    let mut environment = system.environment().clone();
    environment.insert("COUNTERSIGN_OPERATOR_TOKEN".to_owned(), "x".repeat(43));
    let refused = countersign(&["session", "end", bobs], &environment);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("is not the operator token"),
        "{}",
        refused.stderr
    );
    let client = reqwest::Client::new();
    for path in ["/gateway/sessions", "/gateway/keys"] {
        let answer = client.get(system.url(9, path)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    for port in [0, 2, 7] {
        let answer = client
            .get(system.url(port, "/gateway/keys"))
            .send()
            .await
            .expect("an answer");
        assert_ne!(
            answer.status(),
            StatusCode::UNAUTHORIZED,
            "{port}: no such route there"
        );
    }
    assert!(is_logged_in(&bob, &system).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_the_gateway_rotate_and_retire_by_command() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let of = |purpose: &str, state: &str| -> Vec<String> {
        let listed = run(&system, &["key", "list", "--gateway"]);
        let keys = listed["keys"].as_array().expect("keys").clone();
        let wanted = keys
            .iter()
            .filter(|key| key["purpose"] == purpose && key["state"] == state);
        wanted.map(|key| text(key, "id").to_owned()).collect()
    };
    let old = of("user-token-signing", "primary");
    let new = run(&system, &["key", "rotate", "user-token-signing", "--gateway"]);
    assert_eq!(of("user-token-signing", "primary"), [text(&new, "id")]);
    assert_eq!(of("user-token-signing", "enabled"), old);
    // Both are published; the agent and its answers go on.
    let served = async |kid: &str| {
        let url = system.url(2, &format!("/default/{kid}"));
        reqwest::get(url).await.expect("an answer").status()
    };
    assert_eq!(served(&old[0]).await, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(served(text(&new, "id")).await, StatusCode::OK);
    assert!(is_logged_in(&alice, &system).await);

    let primary = countersign(
        &["key", "retire", text(&new, "id"), "--gateway"],
        system.environment(),
    );
    assert_eq!(primary.code, 1, "a primary key is rotated first");
    run(&system, &["key", "retire", &old[0], "--gateway"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(served(&old[0]).await, StatusCode::NOT_FOUND);
    assert!(is_logged_in(&alice, &system).await);
    let unknown = countersign(
        &["key", "rotate", "audit-signing", "--gateway"],
        system.environment(),
    );
    assert_eq!(unknown.code, 1);
    // Without --gateway they are the keys of the account.
    let listed = countersign(&["key", "list"], system.environment());
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains("vault") && !listed.stdout.contains("user-token-signing"));
    // The agent's are read from where they lie.
    let data = system.data.to_str().expect("a path");
    let listed = countersign(
        &["key", "list", "--agent", "--data", data, "--output", "json"],
        [],
    );
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let keys = listed["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(
        (&keys[0]["purpose"], &keys[0]["version"], &keys[0]["state"]),
        (&"conversation".into(), &1.into(), &"primary".into())
    );
    assert!(
        keys[0].get("wrapped").is_none() && keys[0]["wrappedBy"].is_string(),
        "{keys:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_straight_at_a_role_nobody_is_anybody() {
    let system = System::start();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    // The agent and session binding, as somebody in their network reaches them.
    for (port, path) in [
        (5, "/"),
        (5, "/invocations"),
        (6, "/oauth2/session-binding?session_id=x"),
    ] {
        for identity in [
            None,
            Some("x-amzn-oidc-identity"),
            Some("x-amzn-oidc-data"),
            Some("x-countersign-user-token"),
        ] {
            let mut request = match path {
                // As the chat page's own script does.
                "/invocations" => client
                    .post(system.url(port, path))
                    .header("origin", system.app("/").origin().ascii_serialization())
                    .header("sec-fetch-site", "same-origin")
                    .json(&serde_json::json!({ "message": "hi", "sessionId": "s" })),
                _ => client.get(system.url(port, path)),
            };
            if let Some(identity) = identity {
                request = request.header(identity, "alice");
            }
            let status = request.send().await.expect("an answer").status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{port}{path} with {identity:?}");
        }
    }
    // And from another machine they are not reached at all: they listen on loopback alone.
    let Some(address) = own_address() else { return };
    for port in [1, 2, 3, 4, 5, 6, 8, 9] {
        let target = SocketAddr::new(address, system.port_base + port);
        let reached = TcpStream::connect_timeout(&target, Duration::from_secs(2));
        assert!(reached.is_err(), "{target} is reached");
    }
}

/// An address of this machine that is not loopback. No packet is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
