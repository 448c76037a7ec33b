//! Where a request ends on a connection to a target that the next one takes too. The target reads by the lengths that
//! it is told, as a strict server does, and keeps its connections.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::System;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, frame, request};
use crate::support::program::{exchange, forward_to, get, group, in_front_of};

/// A target that answers by the head when the body is late, and reads that before the next request.
#[derive(Clone, Default)]
struct Strict(Arc<Mutex<Vec<Read>>>);

/// A request as it was read.
#[derive(Debug)]
struct Read {
    /// Over which of the target's connections.
    connection: usize,
    head: String,
    /// With the framing of its chunks.
    body: String,
}

impl Read {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// A header, written as hyper writes it.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(sent, _)| *sent == name).map(|(_, value)| value)
    }
}

impl Strict {
    async fn start() -> (Self, System, u16) {
        let target = Self::default();
        let recorder = target.clone();
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = socket.accept().await.expect("a connection");
                let recorder = recorder.clone();
                tokio::spawn(async move { recorder.read(stream, connection).await });
            }
        });
        let (system, port) = in_front_of(vec![("strict", group(&[port]))], &forward_to("strict")).await;
        (target, system, port)
    }

    async fn read(&self, mut stream: TcpStream, connection: usize) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let head = until(&mut stream, &mut buffer, |bytes| after(bytes, b"\r\n\r\n")).await?;
            let mut read = Read {
                connection,
                head,
                body: String::new(),
            };
            let length = read
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap_or(0));
            let chunked = read.header("transfer-encoding") == Some("chunked");
            let whole = |bytes: &[u8]| {
                if chunked {
                    after(bytes, b"0\r\n\r\n")
                } else {
                    (bytes.len() >= length).then_some(length)
                }
            };
            let prompt = until(&mut stream, &mut buffer, whole);
            let prompt = tokio::time::timeout(Duration::from_millis(200), prompt).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await?;
            read.body = match prompt {
                Ok(body) => body?,
                Err(_) => until(&mut stream, &mut buffer, whole).await?,
            };
            self.0.lock().expect("no panic").push(read);
        }
    }

    /// What it has read. With an answer the request may be there an instant later.
    async fn take(&self) -> Vec<Read> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

fn after(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes
        .windows(end.len())
        .position(|window| window == end)
        .map(|at| at + end.len())
}

/// Takes out of the buffer what is whole, once it is.
async fn until(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    whole: impl Fn(&[u8]) -> Option<usize>,
) -> io::Result<String> {
    loop {
        if let Some(end) = whole(buffer) {
            let taken: Vec<u8> = buffer.drain(..end).collect();
            return Ok(String::from_utf8_lossy(&taken).into_owned());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// That the connection over which the target read the first of these is still in step: its next request is whole.
async fn next_is_whole(target: &Strict, port: u16, what: &str) -> Read {
    let answer = get(port, "/next").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    let mut read = target.take().await;
    let lines: Vec<&str> = read.iter().map(Read::line).skip(1).collect();
    assert_eq!(lines, ["GET /next HTTP/1.1"], "{what}: {read:?}");
    assert_eq!(
        read[0].connection, read[1].connection,
        "{what}: the same connection"
    );
    assert_eq!(read[1].body, "", "{what}");
    read.swap_remove(0)
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn g12b_an_upgrade_with_a_body_leaves_its_connection_in_step() {
    let (target, _system, port) = Strict::start().await;
    let length = format!("Content-Length: {}", SMUGGLED.len());
    let chunks = format!("{:X}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (method, framing, body) in [
        ("GET", length.as_str(), SMUGGLED),
        ("POST", &length, SMUGGLED),
        ("POST", "Transfer-Encoding: chunked", &chunks),
        ("POST", "Content-Length: 0", ""),
    ] {
        let what = format!("{method} {framing}");
        let sent = format!(
            "{method} /a HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{framing}\r\n\r\n{body}"
        );
        let answer = exchange(port, sent).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        let read = next_is_whole(&target, port, &what).await;
        assert_eq!(read.line(), format!("{method} /a HTTP/1.1"));
        assert_eq!(read.body, body, "{what}: forwarded with its body");
        assert!(read.header("upgrade").is_none(), "{what}: {read:?}");
    }
}

#[tokio::test]
async fn a_body_without_length_reaches_the_target_whatever_the_method() {
    let (target, _system, port) = Strict::start().await;
    for (method, announced) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ""),
        ("GET", "trailer: X-One\r\ntrailer: X-Two\r\n"),
    ] {
        let sent = format!(
            "{method} /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
             {announced}\r\n4\r\nbody\r\n0\r\n\r\n"
        );
        let answer = exchange(port, sent).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
        let read = next_is_whole(&target, port, method).await;
        assert_eq!(read.body, "4\r\nbody\r\n0\r\n\r\n", "{method}: {read:?}");
        assert!(read.head.contains(announced), "{method}: {read:?}");
    }
    for method in ["GET", "POST"] {
        let mut stream = frames::connect(port).await;
        let mut sent = frame(HEADERS, END_HEADERS, 1, &request(method, "/a", &[]));
        sent.extend(frame(DATA, END_STREAM, 1, b"body"));
        stream.write_all(&sent).await.expect("sent");
        frames::all(&mut stream, Duration::from_millis(300)).await;
        let read = next_is_whole(&target, port, method).await;
        assert_eq!(read.body, "4\r\nbody\r\n0\r\n\r\n", "HTTP/2 {method}: {read:?}");
    }
    // Nothing is made of no body, nor of one whose length is known.
    for (method, length) in [("GET", None), ("GET", Some("4")), ("POST", Some("0"))] {
        let declared = length.map(|length| format!("Content-Length: {length}\r\n"));
        let body = if length == Some("4") { "body" } else { "" };
        let declared = declared.unwrap_or_default();
        let sent =
            format!("{method} /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{declared}\r\n{body}");
        let answer = exchange(port, sent).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{method} {length:?}: {answer}"
        );
        let read = next_is_whole(&target, port, method).await;
        assert_eq!(read.header("transfer-encoding"), None, "{read:?}");
        assert_eq!(
            (read.header("content-length"), read.body.as_str()),
            (length, body)
        );
    }
}
