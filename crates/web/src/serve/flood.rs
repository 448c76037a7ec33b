//! Clients of HTTP/2 that take their requests back faster than they can be answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;

/// Requests taken back by the client after which a connection ends, where they are most of its requests.
const MAX_TAKEN_BACK: u32 = 200;

/// Counts the requests of one HTTP/2 connection that the client takes back while they are answered: cheap for
/// the client, not for targets. HTTP itself counts those it has not handed over yet.
#[derive(Default)]
pub(super) struct Flood {
    begun: AtomicU32,
    taken_back: AtomicU32,
    pub(super) noticed: Notify,
}

/// An answer in the making; dropped unfinished when the client takes its request back.
pub(super) struct Watched<F> {
    answer: Pin<Box<F>>,
    flood: Arc<Flood>,
    finished: bool,
}

impl<F> Watched<F> {
    pub(super) fn new(flood: Arc<Flood>, answer: F) -> Self {
        flood.begun.fetch_add(1, Ordering::Relaxed);
        Self {
            answer: Box::pin(answer),
            flood,
            finished: false,
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.answer.as_mut().poll(context);
        self.finished = polled.is_ready();
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let taken_back = self.flood.taken_back.fetch_add(1, Ordering::Relaxed) + 1;
        if taken_back > MAX_TAKEN_BACK && taken_back > self.flood.begun.load(Ordering::Relaxed) / 2 {
            self.flood.noticed.notify_one();
        }
    }
}
