//! Attack row D9: what must not be reached is not reached.

use std::process::Stdio;

use countersign_outbound::{Client, OutboundError, Refusal, Request};
use url::Url;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::{Scripted, client, policy};

fn get(url: &str) -> Request {
    Request::get(Url::parse(url).expect("a URL"))
}

async fn refusal(client: &Client, url: &str) -> Refusal {
    match client.send(get(url)).await {
        Err(OutboundError::Refused(refusal)) => refusal,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn d09_scheme_and_user_information() {
    let client = client("localhost:8401");
    for url in [
        "http://example.com/",
        "http://localhost:8402/",
        "http://localhost/",
        "ftp://localhost:8401/",
        "ws://localhost:8401/",
    ] {
        assert_eq!(refusal(&client, url).await, Refusal::Scheme, "{url}");
    }
    for url in ["file:///etc/passwd", "data:text/plain,x", "unix:/run/docker.sock"] {
        assert_eq!(refusal(&client, url).await, Refusal::NoHost, "{url}");
    }
    for url in [
        "https://user@example.com/",
        "https://:pass@example.com/",
        "http://example.com@localhost:8401/",
    ] {
        assert_eq!(refusal(&client, url).await, Refusal::UserInfo, "{url}");
    }
}

#[tokio::test]
async fn d09_addresses_in_the_url_in_every_notation() {
    let resolver = Scripted::new(&[&["1.1.1.1"]]);
    let client = Client::with_resolver(policy(&[]), resolver.clone()).expect("a client");
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "10.0.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "0.0.0.0",
        "100.100.100.200",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "１２７.０.０.１",
    ] {
        let refusal = refusal(&client, &format!("https://{host}/latest/meta-data/")).await;
        assert!(matches!(refusal, Refusal::Address { .. }), "{host}: {refusal:?}");
    }
    assert_eq!(resolver.count(), 0, "an address needs no resolver");
}

#[tokio::test]
async fn d09_names_that_resolve_inwards() {
    for answer in [
        &["10.1.2.3"][..],
        &["127.0.0.1"],
        &["169.254.169.254"],
        &["::1"],
        &["fd00:ec2::254"],
        &["::ffff:192.168.0.1"],
        // Half public: an attack, not a configuration.
        &["1.1.1.1", "192.168.0.1"],
    ] {
        let client = Client::with_resolver(policy(&[]), Scripted::new(&[answer])).expect("a client");
        let refusal = refusal(&client, "https://idp.example/.well-known/openid-configuration").await;
        assert!(
            matches!(&refusal, Refusal::Address { host, .. } if host == "idp.example"),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn d09_exceptions_are_for_one_host_and_port() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let port = server.address().port();
    let allow = format!("internal.example:{port}");
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let client = Client::with_resolver(policy(&[&allow]), resolver).expect("a client");
    let response = client
        .send(get(&format!("http://{allow}/")))
        .await
        .expect("the exception");
    assert_eq!(response.status, 200);
    // The same name on another port, another name on the same port, the same address by number.
    let url = format!("https://internal.example:{}/", port.wrapping_add(1).max(1));
    assert!(matches!(refusal(&client, &url).await, Refusal::Address { .. }));
    assert!(matches!(
        refusal(&client, &format!("https://other.example:{port}/")).await,
        Refusal::Address { .. }
    ));
    assert!(matches!(
        refusal(&client, &format!("https://127.0.0.1:{port}/")).await,
        Refusal::Address { .. }
    ));
    assert_eq!(
        refusal(&client, &format!("http://127.0.0.1:{port}/")).await,
        Refusal::Scheme
    );
}

#[tokio::test]
async fn d09_no_exception_for_metadata_and_link_local() {
    let allow = [
        "169.254.169.254:80",
        "[fd00:ec2::254]:80",
        "[fe80::1]:80",
        "metadata.example:80",
        "0.0.0.0:80",
    ];
    for answer in ["169.254.169.254", "fd00:ec2::254", "169.254.170.2", "fe80::1"] {
        let client = Client::with_resolver(policy(&allow), Scripted::new(&[&[answer]])).expect("a client");
        for host_port in allow {
            let refusal = refusal(&client, &format!("http://{host_port}/latest/meta-data/")).await;
            assert!(
                matches!(refusal, Refusal::Address { .. }),
                "{host_port}: {refusal:?}"
            );
        }
    }
}

#[tokio::test]
async fn d09_rebinding_connects_to_the_checked_address() {
    let server = MockServer::start().await;
    let ok = ResponseTemplate::new(200).insert_header("connection", "close");
    Mock::given(method("GET"))
        .respond_with(ok)
        .expect(1)
        .mount(&server)
        .await;
    let allow = format!("rebind.example:{}", server.address().port());
    let resolver = Scripted::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let client = Client::with_resolver(policy(&[&allow]), resolver.clone()).expect("a client");
    let url = format!("http://{allow}/");
    client.send(get(&url)).await.expect("the checked address");
    assert_eq!(
        resolver.count(),
        1,
        "a second look-up could have answered differently"
    );
    // A new connection looks up anew, and what it finds is checked anew.
    assert!(matches!(refusal(&client, &url).await, Refusal::Address { .. }));
    assert_eq!(resolver.count(), 2);
}

#[tokio::test]
async fn d09_redirects_are_not_followed() {
    let server = MockServer::start().await;
    let port = server.address().port();
    for status in [301, 302, 303, 307, 308] {
        server.reset().await;
        let redirect = ResponseTemplate::new(status)
            .insert_header("location", format!("http://127.0.0.1:{port}/followed"));
        Mock::given(method("POST"))
            .respond_with(redirect)
            .expect(1)
            .mount(&server)
            .await;
        let url = Url::parse(&server.uri()).expect("a URL");
        let response = client(&format!("127.0.0.1:{port}"))
            .send(Request::post(url))
            .await
            .expect("the redirect itself");
        assert_eq!(response.status, status);
        assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
    }
}

/// Set in the process that the test starts of itself.
const TARGET: &str = "COUNTERSIGN_TEST_OUTBOUND_TARGET";

#[tokio::test]
async fn d09_no_proxy_from_the_environment() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the child process is told by its environment what to reach"
    )]
    if let Ok(target) = std::env::var(TARGET) {
        let host_port = target.trim_start_matches("http://").to_owned();
        let response = client(&host_port)
            .send(get(&target))
            .await
            .expect("reached without the proxy");
        assert_eq!(response.body, "direct");
        return;
    }
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("direct"))
        .expect(1)
        .mount(&server)
        .await;
    let proxy = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("proxied"))
        .expect(0)
        .mount(&proxy)
        .await;
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("this test"));
    child
        .args(["--exact", "guard::d09_no_proxy_from_the_environment"])
        .env(TARGET, server.uri())
        .env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, proxy.uri());
    }
    let output = child
        .env_remove("NO_PROXY")
        .stdin(Stdio::null())
        .output()
        .await
        .expect("a child");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[tokio::test]
async fn errors_show_neither_path_nor_query_nor_body() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let garbage = crate::server::raw(
        vec![b"canary-body is not HTTP\r\n\r\n"],
        std::time::Duration::ZERO,
    )
    .await;
    let silent = crate::server::raw(vec![b"canary-body"], std::time::Duration::from_secs(3)).await;
    let large = crate::server::raw(
        vec![b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\ncanary-body"],
        std::time::Duration::ZERO,
    )
    .await;
    let path = "/canary-path?code=canary-code#canary-fragment";
    let mut seen = Vec::new();
    for url in [
        format!("http://{closed}{path}"),
        format!("http://{garbage}{path}"),
        format!("http://{silent}{path}"),
        format!("http://{large}{path}"),
        format!("https://10.0.0.1{path}"),
        format!("https://canary-user:canary-password@localhost{path}"),
    ] {
        let client = Client::new(policy(&[&closed, &garbage, &silent, &large])).expect("a client");
        let error = client
            .send(get(&url).bearer("canary-token"))
            .await
            .expect_err("an error");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
        seen.push(std::mem::discriminant(&error));
    }
    seen.dedup();
    assert_eq!(seen.len(), 5, "connect, protocol, time-out, too large, refused");
    let debug = format!("{:?}", get("https://example.com/p?code=canary").bearer("canary"));
    assert!(!debug.contains("canary"), "{debug}");
}
