//! How long the client of an HTTP/2 connection has taken nothing of the answers that wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// A client may open a stream and no window for its answer (RFC 9113 section 5.2). It answers PINGs, so its connection is
/// alive, and would hold the answer, and with it a target's connection, for ever. As over HTTP/1.1, what counts is the
/// whole connection: whoever pauses one download while others go on is served.
pub(super) struct Unread {
    born: Instant,
    /// Answers of which something waits: HTTP asks for the next piece once the client has room for it.
    waiting: AtomicU32,
    /// When the last piece of any answer was handed on, microseconds after `born`.
    since: AtomicU64,
}

impl Unread {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            waiting: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    fn waits(&self) {
        let now = u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) async fn for_too_long(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let since = match self.waiting.load(Ordering::Relaxed) {
                // The time begins later than now, and so it ends later than this.
                0 => now,
                _ => self.born + Duration::from_micros(self.since.load(Ordering::Relaxed)),
            };
            if since + patience <= now {
                return;
            }
            tokio::time::sleep_until(since + patience).await;
        }
    }
}

/// The body of an answer, as the client takes it.
pub(super) struct Taken<B> {
    body: B,
    unread: Arc<Unread>,
    /// Whether something of it waits for the client.
    waits: bool,
}

impl<B: HttpBody> Taken<B> {
    pub(super) fn new(body: B, unread: Arc<Unread>) -> Self {
        let waits = !body.is_end_stream();
        if waits {
            unread.waits();
        }
        Self { body, unread, waits }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Taken<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if std::mem::take(&mut self.waits) {
            self.unread.taken();
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.waits = true;
            self.unread.waits();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Taken<B> {
    fn drop(&mut self) {
        if self.waits {
            self.unread.taken();
        }
    }
}
