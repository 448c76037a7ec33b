//! Handing the evidence over to places that the operators of the database do not govern: checkpoints to anchors,
//! records to exports.
//!
//! Each delivery is a row of `evidence_delivery`, worked at by one replica at a time under a lease. What is to be sent
//! is noted before it is sent, and that it was acknowledged after: a process that dies in between sends it again,
//! marked as a possible repetition, under the same identity. Nothing is skipped, however long a receiver is down,
//! because what is behind a position stays where it is in the trail.

mod config;
mod status;
mod store;
mod stream;
pub(crate) mod target;

use std::time::Duration;

use countersign_crypto::{SharedClock, SharedRandom, Timestamp, token};
use countersign_db::{
    DatabaseIdentity, Fence, Pool, claim_lease, database_identity, release_lease, renew_lease,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use config::{
    AnchorConfig, AnchorPlace, EvidenceConfig, EvidenceConfigError, ExportConfig, ExportPlace,
    JournaldConfig, LockConfig, LockMode, S3Config, SyslogConfig, WebhookConfig,
};
pub use status::{DeliveryStatus, LockCheck, lock_of, statuses};
pub use stream::Position;
pub(crate) use stream::Stream;
pub use target::{Kept, TargetError, kept_in_s3};

use crate::checkpoint::Checkpoint;
use crate::format::Format;
use crate::{AuditError, Record, Recorder};
use store::DeliveryRow;
use target::{Batch, Line, Target};

/// Between two looks for something new.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest wait of a delivery that fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// A replica that died keeps the others from a delivery for so long.
const LEASE: Duration = Duration::from_mins(1);
/// For one batch to be taken.
const SEND_TIME: Duration = Duration::from_secs(30);
/// For what is left when the process ends.
const LAST_TIME: Duration = Duration::from_secs(5);
/// Longest text of an error that is kept, bytes.
const MAX_ERROR: usize = 500;

/// What deliveries need.
pub struct DeliveryParts {
    /// The database with the trail.
    pub pool: Pool,
    /// The clock.
    pub clock: SharedClock,
    /// The random generator.
    pub random: SharedRandom,
    /// `identity` or `gateway`.
    pub role: &'static str,
    /// Records what is forgotten by itself; without one nothing is.
    pub recorder: Option<Recorder>,
}

/// The deliveries of one process. Dropping it stops them where they are, as a crash does.
pub struct Deliveries {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Ends wherever it is.
    retention: JoinSet<()>,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries")
            .field("deliveries", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Starts what the configuration names. [`AuditError::Evidence`] says what cannot be used.
    pub async fn start(config: &EvidenceConfig, parts: DeliveryParts) -> Result<Self, AuditError> {
        config.check()?;
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut retention) = (JoinSet::new(), JoinSet::new());
        let database = database_identity(&parts.pool).await?;
        // Tells this process from others that ask for a lease.
        let holder = token(&*parts.random);
        let mut deliveries = Vec::new();
        for anchor in &config.anchors {
            let target = Target::of_anchor(&anchor.to)?;
            deliveries.push((format!("anchor {}", anchor.name), Kind::Checkpoints, target));
        }
        for export in &config.exports {
            let (format, batch) = (export.format, usize::from(export.batch));
            let target = Target::of_export(&export.to)?;
            let kind = Kind::Records { format, batch };
            deliveries.push((format!("export {}", export.name), kind, target));
        }
        for (name, kind, target) in deliveries {
            let delivery = Delivery {
                meters: Meters::of(&name, parts.role),
                name,
                kind,
                target,
                database: database.clone(),
                holder: holder.clone(),
                pool: parts.pool.clone(),
                clock: parts.clock.clone(),
                random: parts.random.clone(),
                role: parts.role,
                stream: None,
            };
            // From now on, whatever is written before its first turn.
            if let Err(error) = delivery.row().await {
                tracing::warn!(delivery = delivery.name, %error, "a delivery begins when the database is back");
            }
            tasks.spawn(delivery.run(stopped.clone()));
        }
        if let (Some(days), Some(recorder)) = (config.forget_inactive_persons_after_days, parts.recorder) {
            let (pool, clock) = (parts.pool, parts.clock);
            retention.spawn(crate::retention::keep(pool, recorder, clock, holder, days));
        }
        Ok(Self {
            stop,
            tasks,
            retention,
        })
    }

    /// Hands over what is left, as far as that takes no longer than five seconds, and ends. After the recorder was
    /// closed, so that the last checkpoint is among it.
    pub async fn close(mut self) {
        self.retention.shutdown().await;
        // Nobody listens when there are none.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Reads on from a cursor: at most `limit` records that are under checkpoints, and the cursor behind them. Nothing is
/// remembered of it here. [`AuditError::Cursor`]: it is none, or one of before the database was restored, behind which
/// other records may have stood.
pub async fn read_on(
    pool: &Pool,
    cursor: Option<&str>,
    limit: usize,
) -> Result<(Vec<Record>, String), AuditError> {
    let life = match database_identity(pool).await?.restore_epoch {
        0 => String::new(),
        epoch => format!("{epoch}:"),
    };
    let position: Position = match cursor {
        None => Position::default(),
        Some(cursor) => cursor.strip_prefix(&life).ok_or(AuditError::Cursor)?.parse()?,
    };
    let newest = crate::store::last_checkpoint_number(pool).await?;
    if position.checkpoint > newest {
        return Err(AuditError::Cursor);
    }
    let mut stream = Stream::at(pool, position).await?;
    let records = stream.next(limit, None).await?;
    Ok((records, format!("{life}{}", stream.position())))
}

/// What is handed over.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Checkpoints,
    Records { format: Format, batch: usize },
}

/// The metrics of one delivery.
struct Meters {
    lag: metrics::Gauge,
    delivered: metrics::Counter,
    failed: metrics::Counter,
}

impl Meters {
    fn of(name: &str, role: &'static str) -> Self {
        let (kind, target) = name.split_once(' ').unwrap_or(("export", name));
        let labels = [("role", role.to_owned()), ("target", target.to_owned())];
        let lag = if kind == "anchor" {
            metrics::gauge!("countersign_audit_anchor_delivery_lag_seconds", &labels)
        } else {
            metrics::gauge!("countersign_audit_export_lag_seconds", &labels)
        };
        let counter = |outcome: &'static str| {
            let [role, target] = labels.clone();
            let labels = [
                role,
                target,
                ("kind", kind.to_owned()),
                ("outcome", outcome.to_owned()),
            ];
            metrics::counter!("countersign_audit_deliveries_total", &labels)
        };
        Self {
            lag,
            delivered: counter("delivered"),
            failed: counter("failed"),
        }
    }
}

/// One delivery in one process.
struct Delivery {
    name: String,
    kind: Kind,
    target: Target,
    database: DatabaseIdentity,
    holder: String,
    pool: Pool,
    clock: SharedClock,
    random: SharedRandom,
    role: &'static str,
    meters: Meters,
    /// Where this process reads on, if it did the last batch.
    stream: Option<Stream>,
}

impl Delivery {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let (last, limit) = (
                *stopped.borrow(),
                if *stopped.borrow() {
                    LAST_TIME
                } else {
                    Duration::MAX
                },
            );
            match tokio::time::timeout(limit, self.turn(&stopped)).await {
                Ok(Ok(())) => failures = 0,
                Ok(Err(error)) => {
                    failures += 1;
                    self.stream = None;
                    self.failed(failures, &error).await;
                }
                Err(_) => tracing::warn!(delivery = self.name, "evidence is left to be handed over"),
            }
            if last {
                return;
            }
            let pause = self.pause(failures);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The sender is gone as well when the process does not end in order.
                changed = stopped.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Doubles with each failure. Half of it is chance, so that replicas do not come all at once.
    fn pause(&self, failures: u32) -> Duration {
        if failures == 0 {
            return PAUSE;
        }
        let full = (PAUSE * 2u32.pow(failures.min(10) - 1)).min(LONGEST_PAUSE);
        let chance = u32::from(countersign_crypto::random_bytes::<1>(&*self.random)[0]);
        full / 2 + full / 2 * chance / 255
    }

    async fn failed(&self, failures: u32, error: &DeliveryError) {
        self.meters.failed.increment(1);
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(MAX_ERROR));
        if failures.is_power_of_two() {
            tracing::error!(
                delivery = self.name,
                failures,
                error = text,
                "evidence cannot be handed over"
            );
        }
        if let Err(error) = store::fail(&self.pool, &self.name, &text, self.clock.now()).await {
            tracing::warn!(delivery = self.name, %error, "a failed delivery could not be noted");
        }
    }

    /// Hands over all that there is.
    async fn turn(&mut self, stopped: &watch::Receiver<bool>) -> Result<(), DeliveryError> {
        let row = self.row().await?;
        let Some(next) = store::checkpoint(&self.pool, row.delivered.checkpoint + 1).await? else {
            self.meters.lag.set(0.0);
            return Ok(());
        };
        self.measure_lag(&next.statement);
        let now = self.clock.now().as_micros();
        let lease = format!("delivery {}", self.name);
        let ttl = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
        let Some(fence) = claim_lease(&self.pool, &lease, &self.holder, now, ttl).await? else {
            return Ok(());
        };
        let outcome = self.work(&lease, fence, stopped).await;
        release_lease(&self.pool, &lease, fence).await?;
        outcome
    }

    /// Batch after batch, while the lease is held.
    async fn work(
        &mut self,
        lease: &str,
        fence: Fence,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), DeliveryError> {
        let ending = *stopped.borrow();
        let ttl = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
        loop {
            // Read again under the lease: another replica may have been at it.
            let row = self.row().await?;
            let Some((batch, position)) = self.next_batch(&row).await? else {
                self.meters.lag.set(0.0);
                return Ok(());
            };
            if !store::begin(&self.pool, &self.name, fence, &position).await? {
                return Ok(());
            }
            tokio::time::timeout(SEND_TIME, self.target.send(&batch))
                .await
                .map_err(|_| TargetError::TimedOut)??;
            let now = self.clock.now();
            if !store::acknowledge(&self.pool, &self.name, fence, &position, now).await? {
                self.stream = None;
                return Ok(());
            }
            self.meters.delivered.increment(1);
            let stop_now = *stopped.borrow() != ending;
            if stop_now || !renew_lease(&self.pool, lease, fence, now.as_micros(), ttl).await? {
                return Ok(());
            }
        }
    }

    async fn row(&self) -> Result<DeliveryRow, DeliveryError> {
        if let Some(row) = store::find(&self.pool, &self.name).await? {
            return Ok(row);
        }
        let from = match self.kind {
            // Each checkpoint names the one before, so that the newest vouches for all.
            Kind::Checkpoints => {
                Position::after((crate::store::last_checkpoint_number(&self.pool).await? - 1).max(0))
            }
            Kind::Records { .. } => Position::default(),
        };
        store::insert(&self.pool, &self.name, &from).await?;
        let row = store::find(&self.pool, &self.name).await?;
        row.ok_or_else(|| DeliveryError::Audit(AuditError::Cursor))
    }

    /// What comes next, and where it ends. A batch that was begun before is made again as it was, so that the receiver
    /// can tell by its id that it is the same.
    async fn next_batch(&mut self, row: &DeliveryRow) -> Result<Option<(Batch, Position)>, DeliveryError> {
        // A restored database goes on from a position that it had before, with something else.
        let restored = match self.database.restore_epoch {
            0 => String::new(),
            epoch => format!(".restored-{epoch}"),
        };
        let id = format!(
            "{}{restored}.{}.{}",
            self.database.id,
            self.name.replace(' ', "."),
            row.delivered
        );
        let repeated = row.tried.is_beyond(&row.delivered);
        let number = row.delivered.checkpoint + 1;
        let (lines, position) = match self.kind {
            Kind::Checkpoints => {
                let Some(found) = store::checkpoint(&self.pool, number).await? else {
                    return Ok(None);
                };
                let checkpoint = Checkpoint {
                    statement: found.statement,
                    signature: found.signature,
                };
                let line = Line {
                    at: self.clock.now(),
                    action: "Checkpoint".to_owned(),
                    text: checkpoint.line(),
                    record: None,
                };
                (vec![line], Position::after(number))
            }
            Kind::Records { format, batch } => {
                let mut stream = match self.stream.take() {
                    Some(stream) if *stream.position() == row.delivered => stream,
                    _ => Stream::at(&self.pool, row.delivered.clone()).await?,
                };
                let until = repeated.then_some(&row.tried);
                let records = stream.next(batch, until).await?;
                let position = stream.position().clone();
                if records.is_empty() && position == row.delivered {
                    return Ok(None);
                }
                self.stream = Some(stream);
                let lines = records.iter().map(|record| Line {
                    at: record.at,
                    action: record.action.clone(),
                    text: format.line(record, repeated),
                    record: Some((record.id.clone(), record.hash)),
                });
                (lines.collect(), position)
            }
        };
        let batch = Batch {
            id,
            role: self.role,
            database: self.database.id.clone(),
            restore_epoch: self.database.restore_epoch,
            number,
            repeated,
            sent_at: self.clock.now(),
            first: row.delivered.clone(),
            lines,
        };
        Ok(Some((batch, position)))
    }

    /// How old what comes next is.
    fn measure_lag(&self, statement: &str) {
        let at = serde_json::from_str::<serde_json::Value>(statement)
            .ok()
            .and_then(|statement| statement["at"].as_i64());
        if let Some(at) = at {
            let lag = self.clock.now().since(Timestamp::from_micros(at));
            self.meters.lag.set(lag.as_secs_f64());
        }
    }
}

/// Why something was not handed over.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("audit store: {0}")]
    Database(#[from] countersign_db::DbError),
    #[error(transparent)]
    Target(#[from] TargetError),
}
