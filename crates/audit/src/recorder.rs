//! The handle through which everything else records.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_crypto::{Keyring, SharedClock, SharedRandom, SigningKey, uuid_v7};
use countersign_db::{Change, ChangeFeed, Pool, database_identity};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError, broadcast, mpsc, oneshot};

use crate::anchor_lag::anchor_lag;
use crate::checkpointer::{Checkpointer, Last};
use crate::courier::{Couriers, Handed};
use crate::person::{self, PersonKeys};
use crate::record::{Personal, Record, unchained};
use crate::refusals::{Refusals, Summary};
use crate::writer::{Chain, Message, Writer};
use crate::{AuditError, CheckpointFile, Entry, Outcome, RecordId};

/// Records that may wait; then callers wait for room.
const QUEUE: usize = 1024;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
const SUMMARIES_EVERY: Duration = Duration::from_secs(15);
/// Bytes of an entry's personal or plain details as JSON.
const MAX_DETAILS: usize = 32 * 1024;

/// What a recorder needs.
pub struct RecorderConfig {
    /// The database, migrated with [`crate::MIGRATIONS`].
    pub pool: Pool,
    /// By which a forgotten person's key leaves the memory of every replica.
    pub changes: ChangeFeed,
    /// The clock.
    pub clock: SharedClock,
    /// The random generator.
    pub random: SharedRandom,
    /// Signs checkpoints; purpose [`countersign_crypto::KeyPurpose::AuditSigning`].
    pub signing_key: SigningKey,
    /// Seals person keys; purpose [`countersign_crypto::KeyPurpose::Person`].
    pub persons: Arc<Keyring>,
    /// Where checkpoints are appended outside the database; several databases may share a file.
    pub checkpoint_file: Option<PathBuf>,
    /// `identity` or `gateway`.
    pub role: &'static str,
    /// The account of entries that name none.
    pub account: String,
    /// The region of entries that name none.
    pub region: String,
}

/// Records entries; cheap to clone. Dropping all clones without [`Recorder::close`] is what a crash does:
/// no last checkpoint, and nothing lost that was acknowledged.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    queue: mpsc::UnboundedSender<Message>,
    /// Bounds the queue.
    room: Arc<Semaphore>,
    couriers: Couriers,
    chain: Arc<Chain>,
    checkpoints: mpsc::Sender<Demand>,
    persons: PersonKeys,
    refusals: Mutex<Refusals>,
    changes: ChangeFeed,
    clock: SharedClock,
    random: SharedRandom,
    role: &'static str,
    account: String,
    region: String,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("role", &self.0.role)
            .finish_non_exhaustive()
    }
}

/// A checkpoint wanted now; the last one when `last`.
struct Demand {
    last: bool,
    done: oneshot::Sender<Result<(), AuditError>>,
}

impl Recorder {
    /// Begins a chain of its own: writes the record `OpenAuditWriter`, which names the heads of all others.
    pub async fn start(config: RecorderConfig) -> Result<Self, AuditError> {
        let RecorderConfig {
            pool,
            changes,
            clock,
            random,
            ..
        } = config;
        let persons = PersonKeys::new(&pool, config.persons);
        persons.prepare(&*random, clock.now()).await?;
        let file = match config.checkpoint_file {
            Some(path) => Some(CheckpointFile::open(path).await?),
            None => None,
        };
        let chain = Arc::new(Chain::new(uuid_v7(&*clock, &*random).simple().to_string()));
        let checkpointer = Checkpointer {
            database: database_identity(&pool).await?,
            last: Last::load(&pool).await?,
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            key: config.signing_key,
            file,
            unwritten: std::collections::VecDeque::new(),
            role: config.role,
            own: Arc::clone(&chain),
            trees: std::collections::HashMap::new(),
        };
        let (queue, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE));
        let (checkpoints, demands) = mpsc::channel(4);
        let shared = Arc::new(Shared {
            couriers: Couriers::new(queue.clone()),
            queue,
            room: Arc::clone(&room),
            chain: Arc::clone(&chain),
            checkpoints,
            persons,
            refusals: Mutex::default(),
            changes,
            clock,
            random,
            role: config.role,
            account: config.account,
            region: config.region,
        });
        let mut writer = Writer {
            pool: pool.clone(),
            chain,
            room,
            unsure: false,
        };
        let opening = shared.opening(&checkpointer, &pool).await?;
        writer.append(vec![opening]).await?;
        tokio::spawn(writer.run(receiver));
        tokio::spawn(keep_checkpoints(checkpointer, demands));
        let forgotten = shared.changes.subscribe();
        tokio::spawn(drop_forgotten_keys(Arc::downgrade(&shared), forgotten));
        tokio::spawn(write_summaries(Arc::downgrade(&shared)));
        tokio::spawn(measure_anchor_lag(pool, Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// Records, and resolves when the record is on disk. On an error release nothing.
    #[tracing::instrument(name = "audit.record", level = "debug", skip_all, fields(audit.action = entry.action))]
    pub async fn record(&self, entry: Entry) -> Result<RecordId, AuditError> {
        self.0.count(&entry);
        let record = Box::new(self.0.prepare(entry).await?);
        match self.0.room.try_acquire() {
            Ok(room) => room.forget(),
            Err(TryAcquireError::Closed) => return Err(AuditError::Closed),
            Err(TryAcquireError::NoPermits) => Box::pin(self.0.room_in_time()).await?,
        }
        let (waiter, answer) = oneshot::channel();
        self.0.couriers.here().take(record, waiter);
        let seq = answer.await.map_err(|_| AuditError::Closed)??;
        Ok(RecordId {
            writer: self.0.chain.id().to_owned(),
            seq,
        })
    }

    /// Counts a refusal of somebody unknown. The first ten of a source, reason and minute become records,
    /// the rest one summary. Never waits. Whom the entry names is not recorded: nothing proves it.
    pub fn record_unauthenticated_refusal(&self, source: &str, entry: Entry) {
        self.0.count(&entry);
        let now = self.0.clock.now();
        let (record, summaries) = self.0.refusals().count(source, &entry, now);
        self.0.tell(summaries);
        if record {
            let mut entry = entry.with_source(source);
            entry.person = None;
            entry.personal.clear();
            if let Some(entry) = self.0.offer(entry) {
                self.0.refusals().count_dropped(source, &entry);
            }
        }
    }

    /// Writes a checkpoint now, if there are records that none covers.
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        self.0.demand_checkpoint(false).await
    }

    /// Writes what is queued and a last checkpoint. Entries that arrive later get [`AuditError::Closed`].
    pub async fn close(self) -> Result<(), AuditError> {
        let summaries = self.0.refusals().end();
        self.0.tell_in_time(summaries).await;
        let (done, written) = oneshot::channel();
        self.0
            .queue
            .send(Message::Close(done))
            .map_err(|_| AuditError::Closed)?;
        written.await.map_err(|_| AuditError::Closed)?;
        self.0.demand_checkpoint(true).await
    }
}

impl Shared {
    /// Counts what was not done, by its reason: a word of a closed list, so that strangers make no series.
    fn count(&self, entry: &Entry) {
        if entry.outcome != Outcome::Done {
            let reason = entry.reason.unwrap_or("unknown");
            let labels = [
                ("role", self.role),
                ("outcome", entry.outcome.as_str()),
                ("reason", reason),
            ];
            metrics::counter!("countersign_audit_not_done_total", &labels).increment(1);
        }
    }

    /// Fills in what the recorder knows, seals what is personal.
    async fn prepare(&self, mut entry: Entry) -> Result<Record, AuditError> {
        let now = self.clock.now();
        if entry.account.is_empty() {
            entry.account.clone_from(&self.account);
        }
        if entry.region.is_empty() {
            entry.region.clone_from(&self.region);
        }
        let person = entry.person;
        let mut personal = std::mem::take(&mut entry.personal);
        if person.is_none() && !personal.is_empty() {
            return Err(AuditError::NoPerson);
        }
        // An address that belongs to a person's request is the person's.
        if person.is_some()
            && let Some(source) = entry.source.take()
        {
            personal.insert("source".to_owned(), source.into());
        }
        let mut record = unchained(entry, self.role, now);
        if record.stored.detail.len() > MAX_DETAILS {
            return Err(AuditError::TooLarge);
        }
        if let Some(person) = person {
            let fresh = self.changes.fresh();
            let key = self.persons.key_for(&person, fresh, &*self.random, now).await?;
            if !personal.is_empty() {
                let sealed = key.seal(&*self.random, &record.account, &personal);
                if sealed.len() > MAX_DETAILS {
                    return Err(AuditError::TooLarge);
                }
                record.stored.personal = Some(sealed);
                record.personal = Personal::Sealed;
            }
            record.person = Some(key.pseudonym.clone());
        }
        Ok(record)
    }

    /// The first record of the chain.
    async fn opening(&self, checkpointer: &Checkpointer, pool: &Pool) -> Result<Record, AuditError> {
        let mut entry = Entry::new("OpenAuditWriter", Outcome::Done)
            .with_account(&*self.account, &*self.region)
            .with_detail("database", &*checkpointer.database.id)
            .with_detail("restoreEpoch", checkpointer.database.restore_epoch);
        if let Value::Object(predecessors) = checkpointer.last.predecessors(pool).await? {
            entry.detail.extend(predecessors);
        }
        Ok(unchained(entry, self.role, self.clock.now()))
    }

    /// Waits until there is room for one more.
    async fn room_in_time(&self) -> Result<(), AuditError> {
        match tokio::time::timeout(QUEUE_TIMEOUT, self.room.acquire()).await {
            Err(_) => Err(AuditError::Busy),
            Ok(Err(_)) => Err(AuditError::Closed),
            Ok(Ok(room)) => {
                room.forget();
                Ok(())
            }
        }
    }

    /// Queues an entry without a person, without waiting. It comes back where there was no room.
    #[must_use]
    fn offer(&self, entry: Entry) -> Option<Entry> {
        let Ok(room) = self.room.try_acquire() else {
            return Some(entry);
        };
        self.queue(entry, room);
        None
    }

    fn queue(&self, mut entry: Entry, room: SemaphorePermit<'_>) {
        if entry.account.is_empty() {
            entry.account.clone_from(&self.account);
        }
        if entry.region.is_empty() {
            entry.region.clone_from(&self.region);
        }
        let mut record = unchained(entry, self.role, self.clock.now());
        if record.stored.detail.len() > MAX_DETAILS {
            record.stored.detail = String::from(r#"{"omitted":"details over 32 KiB"}"#);
        }
        room.forget();
        let handed = Handed {
            record: Box::new(record),
            back: None,
        };
        // A writer that has ended takes nothing from anybody.
        let _ = self.queue.send(Message::Records(vec![handed]));
    }

    /// Queues what was counted. What finds no room is told with the minute under way.
    fn tell(&self, summaries: Vec<Summary>) {
        for summary in summaries {
            if self.offer(summary.entry()).is_some() {
                self.refusals().put_back(summary);
            }
        }
    }

    /// Queues what was counted, and waits for room: there is no next minute.
    async fn tell_in_time(&self, summaries: Vec<Summary>) {
        let end = tokio::time::Instant::now() + QUEUE_TIMEOUT;
        let mut untold = 0;
        for summary in summaries {
            match tokio::time::timeout_at(end, self.room.acquire()).await {
                Ok(Ok(room)) => self.queue(summary.entry(), room),
                _ => untold += summary.refusals(),
            }
        }
        if untold > 0 {
            tracing::error!(
                audit.refusals = untold,
                "refusals were counted and are in no record"
            );
        }
    }

    async fn demand_checkpoint(&self, last: bool) -> Result<(), AuditError> {
        let (done, answer) = oneshot::channel();
        self.checkpoints
            .send(Demand { last, done })
            .await
            .map_err(|_| AuditError::Closed)?;
        answer.await.map_err(|_| AuditError::Closed)?
    }

    fn refusals(&self) -> std::sync::MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A checkpoint ten seconds after the first record that none covers, and on demand.
async fn keep_checkpoints(mut checkpointer: Checkpointer, mut demands: mpsc::Receiver<Demand>) {
    let chain = Arc::clone(&checkpointer.own);
    let mut due: Option<tokio::time::Instant> = None;
    loop {
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = chain.grown.notified(), if due.is_none() => {
                due = Some(tokio::time::Instant::now() + CHECKPOINT_EVERY);
            }
            () = timer => {
                due = None;
                if let Err(error) = checkpointer.checkpoint().await {
                    tracing::error!(%error, "no audit checkpoint could be written; trying again in 10 s");
                    due = Some(tokio::time::Instant::now() + CHECKPOINT_EVERY);
                }
            }
            demand = demands.recv() => {
                let Some(Demand { last, done }) = demand else { return };
                let written = checkpointer.checkpoint().await;
                // What failed is tried again though no record may come.
                due = written.is_err().then(|| tokio::time::Instant::now() + CHECKPOINT_EVERY);
                // Whoever asked may have gone.
                let _ = done.send(written);
                if last {
                    return;
                }
            }
        }
    }
}

async fn drop_forgotten_keys(shared: Weak<Shared>, mut changes: broadcast::Receiver<Change>) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = tokio::time::sleep(SUMMARIES_EVERY) => {
                if shared.strong_count() == 0 {
                    return;
                }
                continue;
            }
        };
        let Some(shared) = shared.upgrade() else { return };
        match change {
            Ok(change) if change.is_everything() => shared.persons.drop_cached(None),
            Ok(change) if change.kind == person::CHANGE => shared.persons.drop_cached(Some(&change.key)),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => shared.persons.drop_cached(None),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn write_summaries(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SUMMARIES_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let summaries = shared.refusals().end_minute(shared.clock.now());
        shared.tell(summaries);
    }
}

/// Tells for alerts how far the evidence is anchored, until the recorder ends.
async fn measure_anchor_lag(pool: Pool, shared: Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade() else { return };
        match anchor_lag(&pool).await {
            Ok(lag) => lag.set_gauges(shared.role, shared.clock.now()),
            Err(error) => tracing::warn!(%error, "how far the audit trail is anchored could not be measured"),
        }
        drop(shared);
        tokio::time::sleep(CHECKPOINT_EVERY).await;
    }
}
