//! How long a connection of HTTP/1.1 has waited for its client: for a request, or to take what it has asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// Since when a connection waits for the head of a request: from its beginning, and from the end of each answer; and
/// since when its client reads nothing, which would hold an answer, and with it a target's connection, for ever. One
/// timer looks at it from time to time; a timer for each request would be set, and taken back, at every request.
pub(crate) struct Quiet {
    born: Instant,
    /// Microseconds after `born`, or [`BUSY`].
    since: AtomicU64,
    /// Since when the client takes nothing of what is written: microseconds after `born`, or [`BUSY`].
    blocked: AtomicU64,
}

/// A request is being answered; what is written is taken.
const BUSY: u64 = u64::MAX;

impl Quiet {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(BUSY),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(BUSY - 1)
    }

    /// What came of a write. The clock is looked at only where a client begins not to read.
    pub(crate) fn wrote<T>(&self, written: &Poll<T>) {
        let blocked = self.blocked.load(Ordering::Relaxed) != BUSY;
        if blocked != written.is_pending() {
            let since = if blocked { BUSY } else { self.micros() };
            self.blocked.store(since, Ordering::Relaxed);
        }
    }

    pub(super) async fn for_too_long(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let waits = self.since.load(Ordering::Relaxed);
            let since = match waits.min(self.blocked.load(Ordering::Relaxed)) {
                // The time begins later than now, and so it ends later than this.
                BUSY => now,
                micros => self.born + Duration::from_micros(micros),
            };
            if since + patience <= now {
                return;
            }
            tokio::time::sleep_until(since + patience).await;
        }
    }
}

/// The answer to one request, from its head to the last byte.
pub(super) struct Turn(Arc<Quiet>);

impl Turn {
    pub(super) fn begin(quiet: &Arc<Quiet>) -> Self {
        quiet.since.store(BUSY, Ordering::Relaxed);
        Self(Arc::clone(quiet))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.since.store(self.0.micros(), Ordering::Relaxed);
    }
}

/// The body of an answer, dropped when it has been handed on.
pub(super) struct Answering<B> {
    pub(super) body: B,
    pub(super) _turn: Turn,
}

impl<B: HttpBody + Unpin> HttpBody for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
