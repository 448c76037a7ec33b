//! HTTP/2 frames by hand, for what no honest client sends (RFC 9113 section 4.1, RFC 7541).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields as literals that are neither indexed nor compressed.
pub(crate) fn fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            assert!(text.len() < 127, "one byte of length");
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text);
        }
    }
    block
}

/// The fields of a request for `path`, with `more` behind them.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let own: [(&str, &[u8]); 4] = [
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":path", path.as_bytes()),
        (":authority", b"localhost"),
    ];
    fields(&[&own[..], more].concat())
}

/// A connection that has said its preface and settings.
pub(crate) async fn connect(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    let beginning = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&beginning).await.expect("sent");
    stream
}

/// Reads until the other side closes, or `patience` is over. Answers kind, stream and payload of each frame.
pub(crate) async fn all(stream: &mut TcpStream, patience: Duration) -> (Vec<(u8, u32, Vec<u8>)>, bool) {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let closed = tokio::time::timeout(patience, read).await.is_ok();
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        let end = (9 + length).min(rest.len());
        frames.push((rest[3], stream, rest[9..end].to_vec()));
        rest = &rest[end..];
    }
    (frames, closed)
}
