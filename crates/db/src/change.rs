//! The change feed: how each replica learns within a second what to drop from its caches.
//!
//! A store records a change in the transaction that makes it. Every replica polls the table; a commit of its
//! own wakes it at once. Sequence numbers are given out before they commit, so a lower one can appear after
//! a higher one: the reader remembers each missing number until it appears or until no transaction could
//! still hold it. No LISTEN: it does not survive poolers and the `CockroachDB` family lacks it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Pool, Result, Transaction, params};

const POLL: Duration = Duration::from_millis(250);
/// Older than this, caches must be read through.
const FRESH: Duration = Duration::from_secs(1);
/// Longer than a transaction can live (statement and idle time-outs of 15 s each).
const GAP_PATIENCE: Duration = Duration::from_mins(1);
/// How long rows stay, for replicas that were away.
const KEEP: Duration = Duration::from_mins(10);
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// Rows of one poll; more wait for the next, which follows at once.
const PAGE: i64 = 1000;
const CHANNEL: usize = 4096;

/// Something changed: whoever caches `key` of `kind` drops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number in the table.
    pub seq: i64,
    /// What kind of thing: a store's own word, such as `grant` or `principal`.
    pub kind: String,
    /// Which one.
    pub key: String,
}

impl Change {
    /// The kind that means: changes were missed, drop everything.
    pub const EVERYTHING: &'static str = "*";

    /// Whether changes were missed and every cache must be emptied.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.kind == Self::EVERYTHING
    }
}

/// Records a change in the transaction that makes it. Commit delivers it to every replica's feed.
pub async fn record_change(
    tx: &mut Transaction,
    kind: &'static str,
    key: &str,
    now_micros: i64,
) -> Result<()> {
    tx.execute(
        "INSERT INTO change (kind, key, recorded_at) VALUES ($1, $2, $3)",
        params![kind, key, now_micros],
    )
    .await?;
    tx.changed(kind, key);
    Ok(())
}

/// Follows the change table in a task of its own, which ends with the last clone of the feed.
#[derive(Clone, Debug)]
pub struct ChangeFeed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Change>,
    freshness: Arc<Freshness>,
    task: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When the last successful poll began, in microseconds after `origin`.
#[derive(Debug)]
struct Freshness {
    origin: Instant,
    polled: AtomicU64,
}

impl Freshness {
    fn mark(&self, at: Instant) {
        let micros = u64::try_from(at.duration_since(self.origin).as_micros()).unwrap_or(u64::MAX);
        self.polled.store(micros, Ordering::Release);
    }

    fn age(&self) -> Duration {
        let polled = Duration::from_micros(self.polled.load(Ordering::Acquire));
        self.origin.elapsed().saturating_sub(polled)
    }
}

impl ChangeFeed {
    /// Starts following. Subscribe before filling a cache: only later changes are delivered.
    pub async fn start(pool: Pool) -> Result<Self> {
        let freshness = Arc::new(Freshness {
            origin: Instant::now(),
            polled: AtomicU64::new(0),
        });
        let cursor = Cursor::at_end(&pool).await?;
        let (sender, _) = broadcast::channel(CHANNEL);
        let task = tokio::spawn(follow(pool, cursor, sender.clone(), Arc::clone(&freshness)));
        Ok(Self(Arc::new(Shared {
            sender,
            freshness,
            task,
        })))
    }

    /// Changes from now on. A receiver that lags (`RecvError::Lagged`) empties its caches, as it does on
    /// [`Change::is_everything`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.sender.subscribe()
    }

    /// Whether the feed has been read within the last second. If not, caches may be stale: read through.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.0.freshness.age() <= FRESH
    }
}

async fn follow(
    pool: Pool,
    mut cursor: Cursor,
    sender: broadcast::Sender<Change>,
    freshness: Arc<Freshness>,
) {
    let mut purge = Purge::default();
    loop {
        let began = Instant::now();
        match cursor.poll(&pool).await {
            Ok(page) => {
                for change in page.changes {
                    // No receiver is not an error: nothing is cached yet.
                    let _ = sender.send(change);
                }
                if page.more {
                    continue;
                }
                freshness.mark(began);
                if let Err(error) = purge.run(&pool, cursor.highest).await {
                    tracing::warn!(%error, "old changes could not be purged");
                }
            }
            Err(error) => tracing::warn!(%error, "the change feed could not be read"),
        }
        tokio::select! {
            () = pool.0.changed.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Where the reader stands.
#[derive(Debug)]
struct Cursor {
    /// Every number up to here was delivered or given up.
    low: i64,
    highest: i64,
    /// Delivered numbers above `low`.
    seen: BTreeSet<i64>,
    /// Numbers between `low` and `highest` that were not there, and since when; `low + 1` is the oldest.
    gap_since: Option<Instant>,
}

struct Page {
    changes: Vec<Change>,
    more: bool,
}

impl Cursor {
    /// After all that has committed, but still waiting for numbers that are under way.
    async fn at_end(pool: &Pool) -> Result<Self> {
        let rows = pool
            .fetch_all("SELECT seq FROM change ORDER BY seq DESC LIMIT $1", params![PAGE])
            .await?;
        let seen = rows
            .iter()
            .map(|row| row.int("seq"))
            .collect::<Result<BTreeSet<_>>>()?;
        // In a young table the oldest row may itself have overtaken one that is under way. In an old one it
        // was written minutes or a thousand changes ago.
        let low = seen
            .first()
            .map_or(0, |&first| if first <= PAGE { 0 } else { first - 1 });
        let highest = seen.last().copied().unwrap_or(0);
        let mut cursor = Self {
            low,
            highest,
            seen,
            gap_since: None,
        };
        cursor.advance();
        Ok(cursor)
    }

    async fn poll(&mut self, pool: &Pool) -> Result<Page> {
        let rows = pool
            .fetch_all(
                "SELECT seq, kind, key, (SELECT min(seq) FROM change) AS oldest FROM change \
                 WHERE seq > $1 ORDER BY seq LIMIT $2",
                params![
                    self.low,
                    PAGE.saturating_add(i64::try_from(self.seen.len()).unwrap_or(i64::MAX))
                ],
            )
            .await?;
        let mut changes = Vec::new();
        for row in &rows {
            let (seq, oldest) = (row.int("seq")?, row.int("oldest")?);
            if oldest > self.low + 1 && self.low > 0 {
                // What came between was purged while this replica was away.
                changes.push(Change {
                    seq,
                    kind: Change::EVERYTHING.to_owned(),
                    key: String::new(),
                });
                self.low = oldest - 1;
                self.seen = self.seen.split_off(&oldest);
            }
            self.highest = self.highest.max(seq);
            if self.seen.insert(seq) {
                changes.push(Change {
                    seq,
                    kind: row.text("kind")?,
                    key: row.text("key")?,
                });
            }
        }
        self.advance();
        let more = i64::try_from(changes.len()).is_ok_and(|found| found >= PAGE);
        Ok(Page { changes, more })
    }

    /// Moves `low` over what was delivered, and over a gap that has been open for too long.
    fn advance(&mut self) {
        loop {
            let before = self.low;
            while self.seen.remove(&(self.low + 1)) {
                self.low += 1;
            }
            if self.low != before {
                self.gap_since = None;
            }
            let Some(&next) = self.seen.first() else {
                self.gap_since = None;
                return;
            };
            let since = *self.gap_since.get_or_insert_with(Instant::now);
            if since.elapsed() < GAP_PATIENCE {
                return;
            }
            self.low = next - 1;
            self.gap_since = None;
        }
    }
}

/// Deletes rows that every replica has had ten minutes to read, by the feed's own memory of what it saw when
/// (so that no clock of another machine matters). The newest purged number's row stays: it tells a replica
/// that was away that it missed something.
#[derive(Debug, Default)]
struct Purge {
    samples: std::collections::VecDeque<(Instant, i64)>,
}

impl Purge {
    async fn run(&mut self, pool: &Pool, highest: i64) -> Result<()> {
        let now = Instant::now();
        if self
            .samples
            .back()
            .is_some_and(|(at, _)| now.duration_since(*at) < PURGE_EVERY)
        {
            return Ok(());
        }
        self.samples.push_back((now, highest));
        let mut below = None;
        while let Some(&(at, seq)) = self.samples.front()
            && now.duration_since(at) >= KEEP
        {
            below = Some(seq);
            self.samples.pop_front();
        }
        if let Some(below) = below {
            pool.execute("DELETE FROM change WHERE seq < $1", params![below])
                .await?;
        }
        Ok(())
    }
}
