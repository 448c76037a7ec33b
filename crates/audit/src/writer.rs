//! The one task that appends to this process's chain, a batch at a time (group commit, design D26).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_crypto::chain::GENESIS;
use countersign_crypto::merkle::TreeFrontier;
use countersign_db::Pool;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::courier::{Courier, Handed};
use crate::record::{Record, RecordId};
use crate::{AuditError, store};

/// Most records of one commit.
pub(crate) const BATCH: usize = store::MAX_BATCH;

/// A chain as far as it is committed.
pub(crate) struct Chain {
    id: String,
    state: Mutex<State>,
    /// Rung when it has grown.
    pub(crate) grown: Notify,
}

struct State {
    seq: i64,
    hash: [u8; 32],
    tree: TreeFrontier,
}

impl Chain {
    pub(crate) fn new(id: String) -> Self {
        let state = State {
            seq: 0,
            hash: GENESIS,
            tree: TreeFrontier::new(),
        };
        Self {
            id,
            state: Mutex::new(state),
            grown: Notify::new(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Number and hash of the last record, and the root of the tree of all.
    pub(crate) fn head(&self) -> (i64, [u8; 32], [u8; 32]) {
        let state = self.state();
        (state.seq, state.hash, state.tree.root())
    }

    fn last(&self) -> (i64, [u8; 32]) {
        let state = self.state();
        (state.seq, state.hash)
    }

    fn grow(&self, hashes: impl Iterator<Item = [u8; 32]>) {
        let mut state = self.state();
        for hash in hashes {
            state.seq += 1;
            state.hash = hash;
            state.tree.push(&hash);
        }
        drop(state);
        self.grown.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the queue carries.
pub(crate) enum Message {
    /// Records, in the order in which they were handed in.
    Records(Vec<Handed>),
    /// Take no more; tell when all that came before is written.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) chain: Arc<Chain>,
    /// Room for records that wait, given back when they are written.
    pub(crate) room: Arc<Semaphore>,
    /// A commit failed, perhaps only its acknowledgement: look where the chain stands before going on.
    pub(crate) unsure: bool,
}

impl Writer {
    /// Runs until closed, or until nobody is left to send.
    pub(crate) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Message>) {
        let mut messages = Vec::new();
        while queue.recv_many(&mut messages, BATCH).await > 0 {
            let mut waiting = Vec::new();
            let mut closed = None;
            for message in messages.drain(..) {
                match message {
                    Message::Records(records) => waiting.extend(records),
                    Message::Close(done) => {
                        // Senders now fail; what they had queued before is still read.
                        queue.close();
                        self.room.close();
                        closed = Some(done);
                    }
                }
            }
            if closed.is_some() {
                while let Some(message) = queue.recv().await {
                    if let Message::Records(records) = message {
                        waiting.extend(records);
                    }
                }
            }
            let mut waiting = waiting.into_iter();
            while waiting.len() > 0 {
                self.write(waiting.by_ref().take(BATCH)).await;
            }
            if let Some(done) = closed {
                // Nobody may be waiting any more.
                let _ = done.send(());
                return;
            }
        }
    }

    async fn write(&mut self, handed: impl Iterator<Item = Handed>) {
        let (batch, waiters): (Vec<_>, Vec<_>) = handed.map(|handed| (*handed.record, handed.back)).unzip();
        let records = batch.len();
        let written = self.append(batch).await;
        self.room.add_permits(records);
        if let Err(error) = &written {
            // Once here; the callers' requests fail without a word of the cause.
            tracing::error!(audit.records = records, %error, "audit records were not written");
        }
        let mut seq = written.ok();
        let mut told: Option<Arc<Courier>> = None;
        for waiter in waiters {
            let answer = seq.ok_or(AuditError::NotWritten);
            seq = seq.map(|seq| seq + 1);
            let Some((waiter, courier)) = waiter else { continue };
            courier.give_back(waiter, answer);
            // Records of one courier lie together: it is rung once, behind the last of them.
            if told.as_ref().is_some_and(|told| !Arc::ptr_eq(told, &courier))
                && let Some(told) = told.take()
            {
                told.ring();
            }
            told = Some(courier);
        }
        if let Some(told) = told {
            told.ring();
        }
    }

    /// Chains a batch, commits it, and only then moves the head. Gives the number of the first record.
    pub(crate) async fn append(&mut self, mut batch: Vec<Record>) -> Result<i64, AuditError> {
        if self.unsure {
            self.find_head().await?;
        }
        let (last, mut hash) = self.chain.last();
        let mut hashes = Vec::with_capacity(batch.len());
        for (record, seq) in batch.iter_mut().zip(last + 1..) {
            record.id = RecordId {
                writer: self.chain.id().to_owned(),
                seq,
            };
            record.previous = hash;
            record.hash = record.expected_hash();
            hash = record.hash;
            hashes.push(hash);
        }
        self.unsure = true;
        store::insert(&self.pool, batch.into_iter()).await?;
        self.unsure = false;
        self.chain.grow(hashes.into_iter());
        Ok(last + 1)
    }

    /// After a failed commit the records may or may not be there.
    async fn find_head(&mut self) -> Result<(), AuditError> {
        let (seq, _) = self.chain.last();
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let found = store::hashes(&self.pool, self.chain.id(), seq, limit).await?;
        if !found.is_empty() {
            self.chain.grow(found.into_iter().map(|(_, hash)| hash));
        }
        self.unsure = false;
        Ok(())
    }
}
