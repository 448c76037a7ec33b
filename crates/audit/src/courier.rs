//! Records on their way to the writer and answers on their way back, many at a time.
//!
//! Waking another thread costs more than making a record. So the records of a runtime travel together: a task of that
//! runtime takes what its other tasks have handed in, as soon as none of them has more, to the writer in one message;
//! and it is woken once for all answers of a commit, which it hands out where nobody needs to be woken across threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::AuditError;
use crate::record::Record;
use crate::writer::{BATCH, Message};

/// Who waits for a record to be on disk; gets its number in the chain.
pub(crate) type Waiter = oneshot::Sender<Result<i64, AuditError>>;

/// A record, and how whoever waits for it is told.
pub(crate) struct Handed {
    pub(crate) record: Box<Record>,
    pub(crate) back: Option<(Waiter, Arc<Courier>)>,
}

/// The courier of one runtime.
#[derive(Default)]
pub(crate) struct Courier {
    outgoing: Mutex<Vec<Handed>>,
    returned: Mutex<Vec<(Waiter, Result<i64, AuditError>)>>,
    /// Rung when there is something to carry either way.
    bell: Notify,
    /// Its task is gone, with its runtime or with the recorder.
    over: AtomicBool,
}

impl Courier {
    /// Hands in a record.
    pub(crate) fn take(self: &Arc<Self>, record: Box<Record>, waiter: Waiter) {
        let back = Some((waiter, Arc::clone(self)));
        let mut outgoing = lock(&self.outgoing);
        outgoing.push(Handed { record, back });
        let first = outgoing.len() == 1;
        drop(outgoing);
        if first {
            self.bell.notify_one();
        }
    }

    /// Leaves an answer; [`Self::ring`] follows.
    pub(crate) fn give_back(&self, waiter: Waiter, answer: Result<i64, AuditError>) {
        lock(&self.returned).push((waiter, answer));
    }

    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    async fn carry(self: Arc<Self>, queue: mpsc::UnboundedSender<Message>) {
        let courier = Ends(self);
        while !courier.0.over.load(Ordering::Acquire) {
            courier.0.bell.notified().await;
            courier.0.gather().await;
            let records = std::mem::take(&mut *lock(&courier.0.outgoing));
            // A writer that has ended drops them, and so tells whoever waits.
            if !records.is_empty() && queue.send(Message::Records(records)).is_err() {
                return;
            }
        }
    }

    /// Lets whoever is about to record get into this commit: a commit of one record would make all others wait for it
    /// and for their own. No clock is involved; when nobody is about to, this takes no time.
    async fn gather(&self) {
        let mut before = 0;
        loop {
            for (waiter, answer) in std::mem::take(&mut *lock(&self.returned)) {
                // A caller that went away has its record all the same.
                let _ = waiter.send(answer);
            }
            let waiting = lock(&self.outgoing).len();
            if waiting == before || waiting >= BATCH {
                return;
            }
            before = waiting;
            tokio::task::yield_now().await;
        }
    }
}

/// Whose drop marks the end of a courier, also when its runtime drops the task.
struct Ends(Arc<Courier>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        lock(&self.0.outgoing).clear();
        lock(&self.0.returned).clear();
    }
}

/// The couriers of a recorder, one for each runtime that records.
pub(crate) struct Couriers {
    queue: mpsc::UnboundedSender<Message>,
    of_runtimes: RwLock<Vec<(runtime::Id, Arc<Courier>)>>,
}

impl Couriers {
    pub(crate) fn new(queue: mpsc::UnboundedSender<Message>) -> Self {
        Self {
            queue,
            of_runtimes: RwLock::default(),
        }
    }

    /// The one of the runtime that runs the caller.
    pub(crate) fn here(&self) -> Arc<Courier> {
        let runtime = Handle::current();
        let find = |couriers: &[(runtime::Id, Arc<Courier>)]| {
            let mut couriers = couriers.iter();
            let of_this = couriers.find(|(id, _)| *id == runtime.id());
            // Ids of runtimes that have ended are given out again.
            of_this
                .map(|(_, courier)| Arc::clone(courier))
                .filter(|courier| !courier.over.load(Ordering::Acquire))
        };
        if let Some(courier) = find(&self.of_runtimes.read().unwrap_or_else(PoisonError::into_inner)) {
            return courier;
        }
        let mut couriers = self.of_runtimes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(courier) = find(&couriers) {
            return courier;
        }
        couriers.retain(|(_, courier)| !courier.over.load(Ordering::Acquire));
        let courier = Arc::new(Courier::default());
        runtime.spawn(Arc::clone(&courier).carry(self.queue.clone()));
        couriers.push((runtime.id(), Arc::clone(&courier)));
        courier
    }
}

/// The recorder is gone, and nobody waits any more.
impl Drop for Couriers {
    fn drop(&mut self) {
        let couriers = self.of_runtimes.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (_, courier) in couriers {
            courier.over.store(true, Ordering::Release);
            courier.ring();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half-done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
