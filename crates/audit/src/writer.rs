//! The one task that appends to this process's chain, a batch at a time (group commit, design D26).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_crypto::chain::GENESIS;
use countersign_crypto::merkle::TreeFrontier;
use countersign_db::Pool;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::record::{Record, RecordId};
use crate::{AuditError, store};

/// Most records of one commit.
const BATCH: usize = store::MAX_BATCH;

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

/// Who waits for a record to be on disk.
pub(crate) type Waiter = oneshot::Sender<Result<RecordId, AuditError>>;

/// What the queue carries.
pub(crate) enum Message {
    /// A record; whoever waits for it is told.
    Record(Box<Record>, Option<Waiter>),
    /// Take no more; tell when all that came before is written.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) chain: Arc<Chain>,
    /// A commit failed, perhaps only its acknowledgement: look where the chain stands before going on.
    pub(crate) unsure: bool,
}

impl Writer {
    /// Runs until closed, or until nobody is left to send.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut messages, BATCH).await > 0 {
            gather(&mut queue, &mut messages).await;
            let mut batch = Vec::with_capacity(messages.len());
            let mut waiters = Vec::with_capacity(messages.len());
            let mut closed = None;
            for message in messages.drain(..) {
                match message {
                    Message::Record(record, waiter) => {
                        batch.push(*record);
                        waiters.push(waiter);
                    }
                    Message::Close(done) => {
                        // Senders now fail; what they had queued before is still read.
                        queue.close();
                        closed = Some(done);
                    }
                }
            }
            self.write(batch, waiters).await;
            if let Some(done) = closed {
                self.drain(&mut queue).await;
                // Nobody may be waiting any more.
                let _ = done.send(());
                return;
            }
        }
    }

    async fn drain(&mut self, queue: &mut mpsc::Receiver<Message>) {
        while let Some(message) = queue.recv().await {
            if let Message::Record(record, waiter) = message {
                self.write(vec![*record], vec![waiter]).await;
            }
        }
    }

    async fn write(&mut self, batch: Vec<Record>, waiters: Vec<Option<Waiter>>) {
        let records = batch.len();
        if records == 0 {
            return;
        }
        let written = self.append(batch).await;
        if let Err(error) = &written {
            // Once here; the callers' requests fail without a word of the cause.
            tracing::error!(audit.records = records, %error, "audit records were not written");
        }
        let mut seq = written.ok();
        for waiter in waiters {
            let answer = seq.ok_or(AuditError::NotWritten).map(|seq| RecordId {
                writer: self.chain.id().to_owned(),
                seq,
            });
            seq = seq.map(|seq| seq + 1);
            if let Some(waiter) = waiter {
                // A caller that went away has its record all the same.
                let _ = waiter.send(answer);
            }
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

/// Lets whoever is about to record get into this commit: a commit of one record would make all others wait for it
/// and for their own. No clock is involved; when nobody is about to, this takes no time.
async fn gather(queue: &mut mpsc::Receiver<Message>, messages: &mut Vec<Message>) {
    let mut before = 0;
    while before < messages.len() && messages.len() < BATCH {
        before = messages.len();
        tokio::task::yield_now().await;
        while messages.len() < BATCH
            && let Ok(message) = queue.try_recv()
        {
            messages.push(message);
        }
    }
}
