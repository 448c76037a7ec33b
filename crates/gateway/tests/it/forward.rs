use countersign_gateway::config::Action;
use http::Method;
use http_body_util::BodyExt;

use crate::support::program::{exchange, forward_to, in_front_of};
use crate::support::{Browser, System};

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let headers = [
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("te", "trailers"),
    ];
    let url = format!("{}/a%2Fb/c?q=%20+&q", system.app);
    let echo = browser
        .send(Method::PUT, &url, &headers, "{\"a\":1}")
        .await
        .json();
    assert_eq!(
        (&echo["method"], &echo["target"]),
        (&"PUT".into(), &"/a%2Fb/c?q=%20+&q".into())
    );
    assert_eq!(echo["body"], "{\"a\":1}");
    let received = &echo["headers"];
    assert_eq!(received["content-length"], "7");
    assert_eq!(received["traceparent"], headers[0].1);
    let authority = system.app.trim_start_matches("http://");
    assert_eq!(received["x-forwarded-host"], authority);
    assert_eq!(received["x-forwarded-proto"], "http");
    assert_eq!(
        received["x-forwarded-port"],
        authority.rsplit(':').next().expect("a port")
    );
    let source = received["x-forwarded-for"].as_str().expect("an address");
    assert!(
        ["127.0.0.1", "::1"].contains(&source),
        "at the edge the client's word is dropped: {source}"
    );
    assert_ne!(
        received["host"], authority,
        "the target is addressed by its own name"
    );
    for gone in ["x-private", "te", "connection", "cookie"] {
        assert!(received.get(gone).is_none(), "{gone}");
    }
}

#[tokio::test]
async fn connection_withdraws_nothing_of_what_the_request_was_judged_by() {
    let more = format!(
        "hosts = ['two.localhost']\nattributes = {{ traceparent = 'generate', xff_header_processing = 'append' }}\n{}",
        forward_to("agent")
    );
    let (_system, port) = in_front_of(vec![], &more).await;
    let named =
        "Host, X-Forwarded-For, X-Forwarded-Host, X-Amzn-Trace-Id, Traceparent, Authorization, X-Private";
    let request = format!(
        "PUT / HTTP/1.1\r\nHost: two.localhost\r\nConnection: {named}, close\r\nConnection: content-length\r\n\
         X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer a\r\nX-Private: 1\r\nContent-Length: 4\r\n\r\nbody"
    );
    let answer = exchange(port, request).await;
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let echo: serde_json::Value = serde_json::from_str(body).expect("what came");
    let headers = &echo["headers"];
    assert_eq!(
        headers["x-forwarded-host"], "two.localhost",
        "the host the rule saw"
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1, 127.0.0.1");
    assert_eq!(headers["authorization"], "Bearer a");
    assert_eq!(headers["content-length"], "4");
    assert_eq!(echo["body"], "body");
    for set in ["x-amzn-trace-id", "traceparent"] {
        assert!(headers[set].is_string(), "{set}: {headers}");
    }
    for gone in ["connection", "x-private"] {
        assert!(headers[gone].is_null(), "{gone}: {headers}");
    }
}

#[tokio::test]
async fn cookies_of_ours_stay_with_us() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    for name in [
        "theme",
        "countersign-browser-8400",
        "countersign-csrf-8400",
        "countersign-login-8400-app-1",
    ] {
        browser
            .cookies
            .insert(("localhost".to_owned(), name.to_owned()), "v".to_owned());
    }
    let echo = browser.get(&format!("{}/", system.app)).await.json();
    assert_eq!(echo["headers"]["cookie"], "theme=v", "the agent sees none");
    let echo = browser
        .get(&format!("{}/connections", system.account))
        .await
        .json();
    assert_eq!(
        echo["headers"]["cookie"], "countersign-browser-8400=v; countersign-csrf-8400=v; theme=v",
        "identity sees its own"
    );
    let echo = browser
        .get(&format!("{}/oauth2/session-binding", system.account))
        .await
        .json();
    assert_eq!(echo["headers"]["cookie"], "theme=v");
}

#[tokio::test]
async fn targets_set_no_cookies_of_ours() {
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let answer = alice.clone().get(&format!("{}/cookies", system.app)).await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["theme=dark; Path=/"]);
    assert!(!answer.headers.contains_key("clear-site-data"));
}

#[tokio::test]
async fn event_streams_pass_as_they_come() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let started = tokio::time::Instant::now();
    let answer = browser.get(&format!("{}/events", system.app)).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(
        answer.body,
        "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n"
    );
    // Longer than the idle time-out of one second: only silence ends a stream.
    assert!(started.elapsed().as_millis() >= 1_500);
    assert!(
        !answer.headers.contains_key("content-security-policy"),
        "the agent's answers are the agent's"
    );
}

#[tokio::test]
async fn the_first_event_does_not_wait_for_the_last() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let mut body = browser
        .open(Method::GET, &format!("{}/events", system.app), &[], "")
        .await
        .into_body();
    let first = body
        .frame()
        .await
        .expect("a frame")
        .expect("no error")
        .into_data()
        .expect("data");
    assert_eq!(first, "data: 0\n\n");
}

#[tokio::test]
async fn silence_ends_an_answer() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    assert_eq!(browser.get(&format!("{}/silent", system.app)).await.status, 504);
    let answer = browser
        .open(Method::GET, &format!("{}/cut", system.app), &[], "")
        .await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer.into_body().collect().await.is_err(),
        "a body that was cut is not a whole one"
    );
}

#[tokio::test]
async fn a_target_that_is_not_there_is_502() {
    let system = System::start_with(|config| {
        let agent = config.target_groups.get_mut("agent").expect("the agent");
        // Bound and closed again: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|s| s.local_addr())
            .expect("a port")
            .port();
        agent.url = Some(format!("http://127.0.0.1:{port}").parse().expect("a URL"));
    })
    .await;
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/", system.app)).await;
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("<html"));
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let url = format!("{}/upload", system.app);
    assert_eq!(
        browser
            .send(Method::POST, &url, &[], &"a".repeat(64 * 1024))
            .await
            .status,
        200
    );
    assert_eq!(
        browser
            .send(Method::POST, &url, &[], &"a".repeat(64 * 1024 + 1))
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn a_body_of_undeclared_length_has_the_same_limit() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let authority = system.app.trim_start_matches("http://");
    let cookies = alice.cookie_header("localhost");
    let body = "a".repeat(70_000);
    let request = format!(
        "POST /upload HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookies}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(authority)
        .await
        .expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn what_is_never_forwarded() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    assert_eq!(
        browser
            .send(Method::TRACE, &format!("{}/", system.app), &[], "")
            .await
            .status,
        405
    );
    for path in ["/a/%2e%2e/b", "/a/..;/b", "/a%00b", "/a%5cb"] {
        assert_eq!(
            browser.get(&format!("{}{path}", system.app)).await.status,
            400,
            "{path}"
        );
    }
    let answer = browser
        .get_with(&format!("{}/", system.app), &[("host", "evil.example")])
        .await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn an_encoded_slash_leads_out_of_no_public_path() {
    let system = System::start_with(|config| {
        let rules = &mut config.listeners.app.rules;
        let mut public = rules.last().expect("a rule").clone();
        public.priority = 3;
        public.conditions.path_pattern = vec!["/public/*".to_owned()];
        public
            .actions
            .retain(|action| matches!(action, Action::Forward(_)));
        rules.push(public);
    })
    .await;
    for (path, status) in [
        ("/public/page", 200),
        ("/public/a%2Fb", 200),
        ("/admin", 302),
        ("/public/x%2f..%2f..%2fadmin", 400),
        ("/public/x%2F%2e%2E%2f%2e%2e%2fadmin", 400),
        ("/public/x%2f..;y%2f..;z%2fadmin", 400),
    ] {
        let answer = Browser::new().get(&format!("{}{path}", system.app)).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn paths_outside_the_table_are_404() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    for url in [
        format!("{}/identities/oauth2/authorize", system.app),
        format!("{}/identities/CreateWorkloadIdentity", system.app),
        format!("{}/identities", system.app),
        format!("{}/identities/CreateWorkloadIdentity", system.account),
        format!("{}/identities/oauth2/authorize/", system.account),
        format!("{}/", system.account),
        format!("{}/invocations", system.account),
        format!("{}/ping", system.account),
    ] {
        let answer = browser.get(&url).await;
        assert_eq!(answer.status, 404, "{url}");
        assert!(answer.body.contains("<html"), "{url}");
    }
}
