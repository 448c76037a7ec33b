//! A target that says what it received.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use countersign_web::{Drain, bind_localhost};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

/// Starts a target; it runs until the test ends. Answers its URL.
pub(crate) async fn start() -> String {
    let sockets = bind_localhost(0).await.expect("a free port");
    let url = format!("http://localhost:{}", super::port(&sockets));
    let router = Router::new()
        .route("/events", get(events))
        .route(
            "/silent",
            get(|| async { tokio::time::sleep(Duration::from_secs(30)).await }),
        )
        .route("/cut", get(cut))
        .route("/cookies", get(cookies))
        .route("/wiki/logout", get(expired))
        .route("/wiki/public/planted", get(planted))
        .route("/wiki/public/logout", get(expired))
        .fallback(any(echo));
    super::spawn(sockets, router, Drain::new().1);
    url
}

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let trailers = body.trailers().map(HeaderMap::len);
    let mut headers = serde_json::Map::new();
    for name in head.headers.keys() {
        let values: Vec<String> = head
            .headers
            .get_all(name)
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .collect();
        headers.insert(name.to_string(), values.join("\n").into());
    }
    axum::Json(json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body.to_bytes()),
        "trailers": trailers,
    }))
    .into_response()
}

/// Five events, one every 300 ms: together longer than the idle time-out, each by itself within it.
async fn events() -> Response {
    let events = stream::unfold(0, |n| async move {
        if n == 5 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        Some((Ok::<_, Infallible>(Bytes::from(format!("data: {n}\n\n"))), n + 1))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

/// One chunk, then silence.
async fn cut() -> Response {
    let chunks = stream::unfold(0, |n| async move {
        if n == 1 {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        Some((Ok::<_, Infallible>(Bytes::from_static(b"chunk")), n + 1))
    });
    Body::from_stream(chunks).into_response()
}

/// As applications behind an ALB log people out.
async fn expired() -> Response {
    let cookie = "AWSELBAuthSessionCookie-0=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    [("set-cookie", cookie)].into_response()
}

/// Gives the browser a ticket of the application's choice, in ways that a browser takes.
async fn planted() -> Response {
    let mut headers = HeaderMap::new();
    for cookie in [
        &b"theme=dark; Path=/"[..],
        b"AWSELBAuthSessionCookie-0=of-somebody-else; Path=/",
        b" AWSELBAuthSessionCookie-1 =of-somebody-else",
        b"AWSELBAuthSessionCookie-0=of-somebody-else; Path=/caf\xc3\xa9",
        b"AWSELBAuthSessionCookie-0",
        b"=AWSELBAuthSessionCookie-0=of-somebody-else",
        b"caf\xc3\xa9=au-lait",
    ] {
        headers.append("set-cookie", HeaderValue::from_bytes(cookie).expect("a value"));
    }
    headers.into_response()
}

async fn cookies() -> Response {
    let mut headers = HeaderMap::new();
    for cookie in [
        "theme=dark; Path=/",
        "countersign-account-8400=evil; Path=/",
        "countersign-app-8400=evil; Path=/",
        "countersign-login-8400-app-00000000=evil; Path=/",
        "countersign-browser-8400=b; Path=/",
        "Countersign-Account-8400=evil; Path=/",
    ] {
        headers.append("set-cookie", cookie.parse().expect("a value"));
    }
    headers.insert("clear-site-data", "\"*\"".parse().expect("a value"));
    headers.into_response()
}
