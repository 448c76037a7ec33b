//! How far the last checkpoint is behind the trail.

use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_db::Pool;

use crate::checkpointer::Last;
use crate::{AuditError, store};

/// What no checkpoint covers yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnchorLag {
    /// The number of the last checkpoint; 0 before the first.
    pub checkpoint: i64,
    /// When it was made.
    pub at: Option<Timestamp>,
    /// Records after it.
    pub records: i64,
    /// When the first of them was made.
    pub since: Option<Timestamp>,
}

impl AnchorLag {
    /// How long the oldest record that no checkpoint covers has waited.
    #[must_use]
    pub fn waited(&self, now: Timestamp) -> Duration {
        self.since.map(|since| now.since(since)).unwrap_or_default()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge need not be exact beyond 2^52 records"
    )]
    pub(crate) fn set_gauges(&self, role: &'static str, now: Timestamp) {
        metrics::gauge!("countersign_audit_anchor_lag_seconds", "role" => role)
            .set(self.waited(now).as_secs_f64());
        metrics::gauge!("countersign_audit_unanchored_records", "role" => role).set(self.records as f64);
    }
}

/// Measures it: one look at each writer's end, however long the trail is.
pub async fn anchor_lag(pool: &Pool) -> Result<AnchorLag, AuditError> {
    let last = Last::load(pool).await?;
    let statement = last.checkpoint().and_then(|checkpoint| checkpoint.read().ok());
    let mut lag = AnchorLag {
        checkpoint: statement.as_ref().map_or(0, |statement| statement.number),
        at: statement.map(|statement| Timestamp::from_micros(statement.at)),
        ..AnchorLag::default()
    };
    let mut since: Option<i64> = None;
    for tip in store::tips(pool).await? {
        let covered = last.heads().get(&tip.writer).map_or(0, |head| head.seq);
        if tip.seq <= covered {
            continue;
        }
        lag.records += tip.seq - covered;
        let first = store::next_recorded_at(pool, &tip.writer, covered).await?;
        since = since.into_iter().chain(first).min();
    }
    lag.since = since.map(Timestamp::from_micros);
    Ok(lag)
}
