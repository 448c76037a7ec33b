//! Size and time.

use std::time::Duration;

use countersign_outbound::{OutboundError, Request};
use futures_util::StreamExt;
use url::Url;

use crate::server::{client, raw};

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// 256 bytes.
const CHUNK: &[u8] = b"100\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";
const END: &[u8] = b"0\r\n\r\n";

fn get(host_port: &str) -> Request {
    Request::get(Url::parse(&format!("http://{host_port}/")).expect("a URL"))
}

#[tokio::test]
async fn a_body_within_the_limit_arrives() {
    let server = raw(vec![CHUNKED, CHUNK, CHUNK, CHUNK, END], Duration::ZERO).await;
    let response = client(&server).send(get(&server)).await.expect("768 bytes");
    assert_eq!(response.body.len(), 768);
}

#[tokio::test]
async fn a_body_is_cut_where_it_passes_the_limit() {
    let server = raw(vec![CHUNKED, CHUNK, CHUNK, CHUNK, CHUNK, END], Duration::ZERO).await;
    let error = client(&server).send(get(&server)).await.expect_err("1024 bytes");
    assert!(
        matches!(error, OutboundError::TooLarge { limit: 1000, .. }),
        "{error:?}"
    );
    let response = client(&server)
        .send(get(&server).max_bytes(1024))
        .await
        .expect("a limit of its own");
    assert_eq!(response.body.len(), 1024);
}

#[tokio::test]
async fn an_endless_body_is_cut_before_its_end() {
    let mut pieces = vec![CHUNKED];
    pieces.resize(10_000, CHUNK);
    let server = raw(pieces, Duration::from_millis(1)).await;
    let error = client(&server).send(get(&server)).await.expect_err("endless");
    assert!(matches!(error, OutboundError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_unread() {
    let server = raw(
        vec![b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"],
        Duration::ZERO,
    )
    .await;
    let error = client(&server).send(get(&server)).await.expect_err("too large");
    assert!(matches!(error, OutboundError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_time_out() {
    let slow_headers = raw(vec![CHUNKED, END], Duration::from_secs(5)).await;
    let mut pieces = vec![CHUNKED];
    pieces.resize(100, b"1\r\na\r\n");
    let slow_body = raw(pieces, Duration::from_millis(50)).await;
    for server in [slow_headers, slow_body] {
        let error = client(&server).send(get(&server)).await.expect_err("slow");
        assert!(matches!(error, OutboundError::Timeout { .. }), "{error:?}");
        assert!(error.may_have_been_sent());
    }
}

#[tokio::test]
async fn a_stream_may_live_longer_than_its_time_between_pieces() {
    let mut pieces = vec![CHUNKED];
    pieces.resize(7, b"1\r\na\r\n");
    pieces.push(END);
    let server = raw(pieces, Duration::from_millis(120)).await;
    let mut response = client(&server).stream(get(&server)).await.expect("headers");
    let mut body = Vec::new();
    while let Some(piece) = response.body.next().await {
        body.extend_from_slice(&piece.expect("a piece"));
    }
    assert_eq!(body, b"aaaaaa");
}

#[tokio::test]
async fn a_stream_that_falls_silent_or_grows_ends() {
    let server = raw(vec![CHUNKED, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK], Duration::ZERO).await;
    let response = client(&server).stream(get(&server)).await.expect("headers");
    let pieces: Vec<_> = response.body.collect().await;
    assert!(
        matches!(pieces.last(), Some(Err(OutboundError::TooLarge { .. }))),
        "{pieces:?}"
    );
    assert_eq!(pieces.iter().filter(|piece| piece.is_err()).count(), 1);

    // `raw` pauses before each piece and the client allows 500 ms.
    let server = raw(
        vec![b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"a", b"b"],
        Duration::from_millis(400),
    )
    .await;
    let response = client(&server)
        .stream(get(&server).timeout(Duration::from_secs(1)))
        .await
        .expect("headers");
    assert_eq!(response.body.count().await, 2);
    let server = raw(
        vec![b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na", b""],
        Duration::from_millis(100),
    )
    .await;
    let response = client(&server).stream(get(&server)).await.expect("headers");
    let pieces: Vec<_> = response.body.collect().await;
    assert!(
        matches!(pieces.last(), Some(Err(OutboundError::Protocol { .. }))),
        "{pieces:?}"
    );
}

#[tokio::test]
async fn a_refused_connection_was_certainly_not_sent() {
    let host_port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let error = client(&host_port)
        .send(get(&host_port))
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, OutboundError::Connect { .. }), "{error:?}");
    assert!(!error.may_have_been_sent());
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let server = raw(vec![CHUNKED, END], Duration::ZERO).await;
    let url = Url::parse(&format!("https://{server}/")).expect("a URL");
    let error = client(&server).send(Request::get(url)).await.expect_err("no TLS");
    assert!(matches!(error, OutboundError::Connect { .. }), "{error:?}");
}
