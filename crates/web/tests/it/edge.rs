use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use countersign_web::{ErrorFormat, RequestId, Routine, ServeOptions};
use http::StatusCode;

use crate::{Server, captured_log, edge, status};

async fn server(errors: ErrorFormat) -> Server {
    let router = Router::new()
        .route(
            "/id",
            get(async |Extension(id): Extension<RequestId>| id.to_string()),
        )
        .route("/echo", post(async |body: String| body))
        .route("/panic", get(async || assert_eq!(1, 2, "told to")));
    Server::start(edge(errors).wrap(router), ServeOptions::default()).await
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn every_answer_has_a_fresh_request_id_and_the_security_headers() {
    let server = server(ErrorFormat::Page).await;
    let chosen =
        "GET /id HTTP/1.1\r\nhost: test.example\r\nx-amzn-requestid: mine\r\nconnection: close\r\n\r\n";
    let (first, second) = (server.exchange(chosen).await, server.get("/nowhere").await);
    let id = header(&first, "x-amzn-requestid").expect("an id");
    assert!(first.ends_with(id) && id.len() == 36, "{first}");
    assert_ne!(Some(id), header(&second, "x-amzn-requestid"));
    assert_eq!(status(&second), 404);
    for answer in [&first, &second] {
        assert_eq!(header(answer, "cache-control"), Some("no-store"));
        assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(answer, "cross-origin-opener-policy"), Some("same-origin"));
        assert_eq!(header(answer, "referrer-policy"), Some("no-referrer"));
        let policy = header(answer, "content-security-policy").expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn only_the_listed_hosts_are_answered() {
    let server = server(ErrorFormat::Page).await;
    let ask = async |line: &str, hosts: &str| {
        status(
            &server
                .exchange(&format!(
                    "GET {line} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"
                ))
                .await,
        )
    };
    assert_eq!(ask("/id", "host: test.example\r\n").await, 200);
    assert_eq!(ask("/id", "host: TEST.example:8400\r\n").await, 200);
    assert_eq!(ask("/id", "host: test.example:80\r\n").await, 421);
    assert_eq!(ask("/id", "host: evil.example\r\n").await, 421);
    assert_eq!(ask("/id", "host: test.example.\r\n").await, 421);
    assert_eq!(ask("/id", "").await, 400);
    assert_eq!(
        ask("/id", "host: test.example\r\nhost: evil.example\r\n").await,
        400
    );
    assert_eq!(ask("http://evil.example/id", "host: test.example\r\n").await, 400);
    assert_eq!(ask("http://evil.example/id", "host: evil.example\r\n").await, 421);
    assert_eq!(ask("http://test.example/id", "host: test.example\r\n").await, 200);
}

#[tokio::test]
async fn bodies_have_a_limit_declared_or_not() {
    let server = server(ErrorFormat::Json).await;
    let post = async |length: &str, body: &str| {
        server
            .exchange(&format!(
                "POST /echo HTTP/1.1\r\nhost: test.example\r\nconnection: close\r\n{length}\r\n\r\n{body}"
            ))
            .await
    };
    let body = "x".repeat(1024);
    assert!(post("content-length: 1024", &body).await.ends_with(&body));
    let refused = post("content-length: 1025", &"x".repeat(1025)).await;
    assert_eq!(status(&refused), 413);
    assert!(refused.contains(r#"{"message":"#), "{refused}");
    let chunked = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025));
    assert_eq!(status(&post("transfer-encoding: chunked", &chunked).await), 413);
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let page = server(ErrorFormat::Page).await.get("/panic").await;
    assert_eq!(status(&page), 500);
    assert!(
        page.contains("<!doctype html>") && !page.contains("told to"),
        "{page}"
    );
    let id = header(&page, "x-amzn-requestid").expect("an id");
    assert_eq!(page.matches(id).count(), 2, "the page shows the id of the header");

    let json = server(ErrorFormat::Json).await.get("/panic").await;
    assert_eq!(header(&json, "x-amzn-errortype"), Some("InternalServerException"));
    assert_eq!(header(&json, "content-type"), Some("application/json"));
    assert!(!json.contains("told to"), "{json}");
}

#[tokio::test]
async fn d10_the_access_log_has_no_query() {
    let log = captured_log(async {
        let server = server(ErrorFormat::Page).await;
        server.get("/id?code=sesame&state=sesame").await;
        server
            .exchange("GET /id?session_id=sesame HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
            .await;
    })
    .await;
    assert!(
        log.contains("path=\"/id\"") && log.contains("status=200") && log.contains("status=421"),
        "{log}"
    );
    assert!(!log.contains("sesame"), "{log}");
}

#[tokio::test]
async fn what_programs_ask_all_the_time_is_logged_where_it_fails() {
    let router = Router::new()
        .route("/poll", get(async || (Extension(Routine), "nothing new")))
        .route(
            "/broken-poll",
            get(async || (StatusCode::SERVICE_UNAVAILABLE, Extension(Routine))),
        )
        .route("/asked", get(async || "an answer"));
    let log = captured_log(async {
        let server = Server::start(edge(ErrorFormat::Json).wrap(router), ServeOptions::default()).await;
        for path in ["/poll", "/broken-poll", "/asked"] {
            server.get(path).await;
        }
    })
    .await;
    assert!(
        log.contains("path=\"/broken-poll\"") && log.contains("path=\"/asked\""),
        "{log}"
    );
    assert!(!log.contains("path=\"/poll\""), "{log}");
}
