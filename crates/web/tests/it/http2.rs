//! Clients of HTTP/2 that are slow, paused, idle or gone quiet, by the frames they send (RFC 9113, RFC 7541).

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use countersign_web::{InUse, ServeOptions};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Server;
use crate::serving::endless;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How long a connection may be idle in these tests, and a client take nothing.
const PATIENCE: Duration = Duration::from_millis(500);

struct Frame {
    kind: u8,
    flags: u8,
    stream: u8,
    payload: Vec<u8>,
}

struct Client(TcpStream);

impl Client {
    /// Opens a connection whose streams have this window at first.
    async fn connect(server: &Server, window: u8) -> Self {
        let mut client = Self(server.connect().await);
        client
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .expect("sent");
        // INITIAL_WINDOW_SIZE
        client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]).await;
        client
    }

    /// The server may have gone.
    async fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("short");
        let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
        self.0.write_all(&[&head, payload].concat()).await.ok();
    }

    async fn get(&mut self, stream: u8, path: &str) {
        let length = u8::try_from(path.len()).expect("short");
        let head = [
            b"\x82\x86\x04",
            [length].as_slice(),
            path.as_bytes(),
            b"\x01\x01a",
        ]
        .concat();
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &head).await;
    }

    /// What comes next, but for what a server may ask of any client, which is answered. `None`: the connection has ended.
    async fn next(&mut self) -> Option<Frame> {
        let read = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.ok()?;
                let [_, high, low, kind, flags, _, _, _, stream] = head;
                let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
                self.0.read_exact(&mut payload).await.ok()?;
                match kind {
                    SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                    PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                    SETTINGS | PING | WINDOW_UPDATE => {}
                    _ => {
                        return Some(Frame {
                            kind,
                            flags,
                            stream,
                            payload,
                        });
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .expect("a frame, or the end")
    }

    async fn until(&mut self, kind: u8, stream: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            if (frame.kind, frame.stream) == (kind, stream) {
                return frame;
            }
        }
    }

    async fn ends(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Answers in one piece, after a while, and with a protocol of its own.
async fn server() -> Server {
    let later = async || {
        tokio::time::sleep(3 * PATIENCE).await;
        axum::http::StatusCode::NO_CONTENT
    };
    let other = async |mut request: Request| {
        let client = request.extensions_mut().remove::<OnUpgrade>().expect("a CONNECT");
        let in_use = request.extensions_mut().remove::<InUse>();
        tokio::spawn(async move {
            let mut client = TokioIo::new(client.await.expect("accepted"));
            tokio::time::sleep(3 * PATIENCE).await;
            client.write_all(b"goodbye").await.expect("sent");
            drop((client, in_use));
        });
    };
    let router = Router::new()
        .route("/whole", get(async || "whole page"))
        .route("/later", get(later))
        .route("/other", any(other));
    let options = ServeOptions {
        header_read_timeout: PATIENCE,
        ..ServeOptions::default()
    };
    Server::start(router, options).await
}

#[tokio::test]
async fn a_client_that_opens_no_window_holds_no_answer() {
    let (server, answer_is_gone) = endless(Router::new()).await;
    let mut client = Client::connect(&server, 0).await;
    client.get(1, "/large").await;
    client.ends().await;
    answer_is_gone.await.expect("dropped");
}

/// HTTP has the whole answer by then, and keeps it.
#[tokio::test]
async fn a_client_that_opens_a_window_of_one_byte_holds_no_connection() {
    let server = server().await;
    let mut client = Client::connect(&server, 1).await;
    client.get(1, "/whole").await;
    assert_eq!(client.until(DATA, 1).await.payload, b"w");
    client.ends().await;
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_is_served() {
    let server = server().await;
    let mut client = Client::connect(&server, 1).await;
    client.get(1, "/whole").await;
    let mut answer = Vec::new();
    loop {
        let frame = client.until(DATA, 1).await;
        answer.extend(frame.payload);
        if frame.flags & END_STREAM != 0 {
            break;
        }
        tokio::time::sleep(PATIENCE / 2).await;
        client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).await;
    }
    assert_eq!(answer, b"whole page");
}

#[tokio::test]
async fn an_idle_connection_is_closed_gracefully() {
    let server = server().await;
    let mut client = Client::connect(&server, 100).await;
    client.get(1, "/whole").await;
    client.until(DATA, 1).await;
    client.until(GOAWAY, 0).await;
    client.ends().await;
}

#[tokio::test]
async fn what_is_paused_beside_a_request_under_way_cuts_nothing() {
    let later = async || {
        tokio::time::sleep(3 * PATIENCE).await;
        axum::http::StatusCode::NO_CONTENT
    };
    let (server, answer_is_gone) = endless(Router::new().route("/later", get(later))).await;
    let mut client = Client::connect(&server, 0).await;
    client.get(1, "/large").await;
    client.get(3, "/later").await;
    client.until(HEADERS, 3).await;
    client.ends().await;
    answer_is_gone.await.expect("dropped");
}

/// RFC 8441. What it leaves behind is in no answer.
#[tokio::test]
async fn a_websocket_keeps_its_connection_and_what_it_leaves_does_not() {
    let server = server().await;
    let mut client = Client::connect(&server, 1).await;
    let head = b"\x02\x07CONNECT\x86\x04\x06/other\x01\x01a\0\x09:protocol\x09websocket";
    client.send(HEADERS, END_HEADERS, 1, head).await;
    client.until(HEADERS, 1).await;
    assert_eq!(
        client.next().await.map(|frame| frame.payload),
        Some(b"g".to_vec())
    );
    client.ends().await;
}
