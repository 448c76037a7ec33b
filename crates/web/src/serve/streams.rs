//! What is under way on an HTTP/2 connection, and how long its client has taken nothing of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::End;

/// The streams of one HTTP/2 connection. A client may open a stream and no window for its answer (RFC 9113 section 5.2),
/// or one of a byte. It answers PINGs, so its connection is alive, and would hold the answer, and with it a target's
/// connection, for ever. As over HTTP/1.1, what counts is the whole connection: whoever pauses one download while others
/// go on is served, and so is whoever pauses one while another request, or a WebSocket, is under way.
pub(super) struct Streams {
    born: Instant,
    /// Requests that are answered, until the client has taken the answer; a WebSocket (RFC 8441), until it ends.
    alive: AtomicU32,
    /// Those of them of which a piece waits for the client.
    waiting: AtomicU32,
    /// When something was last handed on, taken, or over: microseconds after `born`. Whatever makes `alive` and `waiting`
    /// equal is told here first, so that whoever sees them so (`Release`, `Acquire`) sees no older time.
    since: AtomicU64,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            alive: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// The time begins anew.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
    }

    /// Resolves when there has been nothing but answers that the client does not take: at once then, and gracefully where
    /// there has been nothing at all.
    pub(super) async fn for_too_long(&self, patience: Duration) -> End {
        loop {
            let now = Instant::now();
            let waiting = self.waiting.load(Ordering::Acquire);
            let alive = self.alive.load(Ordering::Acquire);
            let since = if alive > waiting {
                // The time begins later than now, and so it ends later than this.
                now
            } else {
                self.born + Duration::from_micros(self.since.load(Ordering::Relaxed))
            };
            if since + patience <= now {
                return if alive == 0 { End::Graceful } else { End::AtOnce };
            }
            tokio::time::sleep_until(since + patience).await;
        }
    }
}

/// One stream: held by whoever makes its answer, by the answer, and by each piece of it that has not been sent.
pub(super) struct Stream {
    streams: Arc<Streams>,
    /// Pieces that wait: HTTP has asked for the next one before the last is sent.
    pieces: AtomicU32,
}

impl Stream {
    pub(super) fn begin(streams: &Arc<Streams>) -> Arc<Self> {
        streams.alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            streams: Arc::clone(streams),
            pieces: AtomicU32::new(0),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.touch();
        self.streams.alive.fetch_sub(1, Ordering::Release);
    }
}

/// Whoever speaks another protocol over the stream of a CONNECT keeps this, an extension of the request, until the end:
/// HTTP does not see what passes there, and takes a connection on which nothing else happens for idle.
#[derive(Clone)]
pub struct InUse {
    _stream: Arc<Stream>,
}

impl InUse {
    pub(super) fn new(stream: &Arc<Stream>) -> Self {
        Self {
            _stream: Arc::clone(stream),
        }
    }
}

impl std::fmt::Debug for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}

/// A piece of an answer. HTTP drops a body with its last piece, which it keeps until the client has opened the window
/// for all of it: what was taken is known here alone.
pub(super) struct Piece {
    bytes: Bytes,
    stream: Arc<Stream>,
}

impl Piece {
    fn new(bytes: Bytes, stream: &Arc<Stream>) -> Self {
        stream.streams.touch();
        if stream.pieces.fetch_add(1, Ordering::Relaxed) == 0 {
            stream.streams.waiting.fetch_add(1, Ordering::Release);
        }
        Self {
            bytes,
            stream: Arc::clone(stream),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.stream.streams.touch();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.stream.pieces.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stream.streams.waiting.fetch_sub(1, Ordering::Release);
        }
    }
}

/// The body of an answer, in pieces.
pub(super) struct Answer<B> {
    body: B,
    stream: Arc<Stream>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, stream: Arc<Stream>) -> Self {
        Self { body, stream }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Answer<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, &self.stream)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
