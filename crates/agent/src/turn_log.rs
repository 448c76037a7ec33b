//! What a turn has told so far, for every page that watches it: the one that asked, and tabs that came later.
//!
//! A turn is written by one task and read by any number of streams, each from the beginning and at its own pace.
//! When the last of them has gone, so has the turn (H7): nothing is asked of anyone for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use crate::event::Event;

/// The events of one turn.
#[derive(Debug)]
pub(crate) struct TurnLog {
    events: Mutex<Vec<Event>>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    events: usize,
    ended: bool,
}

impl TurnLog {
    /// The log of a turn that is about to begin, and the stream of its first reader.
    pub(crate) fn new() -> (Arc<Self>, impl Stream<Item = Event> + use<>) {
        let (progress, first) = watch::channel(Progress::default());
        let log = Arc::new(Self {
            events: Mutex::default(),
            progress,
        });
        let events = read(Arc::clone(&log), first);
        (log, events)
    }

    /// All events from the first on, to the turn's end.
    pub(crate) fn watch(self: &Arc<Self>) -> impl Stream<Item = Event> + use<> {
        read(Arc::clone(self), self.progress.subscribe())
    }

    pub(crate) fn push(&self, event: Event) {
        let mut events = self.events();
        events.push(event);
        let count = events.len();
        drop(events);
        self.progress.send_modify(|progress| progress.events = count);
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Resolves once nobody reads any more.
    pub(crate) async fn abandoned(&self) {
        self.progress.closed().await;
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(log: Arc<TurnLog>, progress: watch::Receiver<Progress>) -> impl Stream<Item = Event> {
    stream::unfold((log, progress, 0), async |(log, mut progress, next)| {
        let seen = *progress
            .wait_for(|progress| progress.events > next || progress.ended)
            .await
            .ok()?;
        if next >= seen.events {
            return None;
        }
        let event = log.events().get(next).cloned()?;
        Some((event, (log, progress, next + 1)))
    })
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, pin_mut};

    use super::*;

    fn message(text: &str) -> Event {
        Event::Message {
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn every_reader_gets_every_event_and_the_last_one_to_go_ends_it() {
        let (log, first) = TurnLog::new();
        log.push(message("a"));
        let late = log.watch();
        log.push(message("b"));
        log.end();
        assert!(log.abandoned().now_or_never().is_none());
        assert_eq!(first.count().await, 2);
        assert!(log.abandoned().now_or_never().is_none(), "one still reads");
        assert_eq!(late.count().await, 2);
        assert!(log.abandoned().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_is_not_yet_there() {
        let (log, first) = TurnLog::new();
        pin_mut!(first);
        assert!(first.next().now_or_never().is_none());
        log.push(message("a"));
        assert!(first.next().now_or_never().flatten().is_some());
        assert!(first.next().now_or_never().is_none());
    }
}
