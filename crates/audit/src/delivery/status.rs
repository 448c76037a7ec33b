//! How deliveries stand, for `doctor`.

use countersign_crypto::Timestamp;
use countersign_db::Pool;

use super::config::{AnchorPlace, EvidenceConfig, S3Config};
use super::store;
use super::target::s3::Bucket;
use crate::{AuditError, store as trail};

/// How one delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// `anchor NAME` or `export NAME`.
    pub name: String,
    /// Checkpoints that have not been handed over wholly.
    pub behind: i64,
    /// When something was last acknowledged.
    pub delivered_at: Option<Timestamp>,
    /// Since when nothing can be handed over.
    pub failing_since: Option<Timestamp>,
    /// Why.
    pub last_error: Option<String>,
}

/// Every delivery that was ever begun in a database; a read-only pool will do.
pub async fn statuses(pool: &Pool) -> Result<Vec<DeliveryStatus>, AuditError> {
    let newest = trail::last_checkpoint_number(pool).await?;
    let rows = store::list(pool).await?;
    Ok(rows
        .into_iter()
        .map(|row| DeliveryStatus {
            name: row.name,
            behind: newest - row.delivered.checkpoint,
            delivered_at: row.delivered_at,
            failing_since: row.failing_since,
            last_error: row.last_error,
        })
        .collect())
}

/// Whether an anchor's bucket keeps what is put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockCheck {
    /// It has Object Lock.
    Locked,
    /// It does not: whoever may delete objects may delete the anchor.
    Unlocked,
    /// It cannot be told, and why.
    Unknown(String),
}

/// The buckets of a configuration's anchors, by the anchor's name.
pub async fn lock_of(config: &EvidenceConfig) -> Vec<(String, LockCheck)> {
    let mut checks = Vec::new();
    for anchor in &config.anchors {
        if let AnchorPlace::S3(s3) = &anchor.to {
            checks.push((anchor.name.clone(), check(s3).await));
        }
    }
    checks
}

async fn check(s3: &S3Config) -> LockCheck {
    let asked = async { Bucket::new(s3)?.has_object_lock().await };
    match asked.await {
        Ok(true) => LockCheck::Locked,
        Ok(false) => LockCheck::Unlocked,
        Err(error) => LockCheck::Unknown(error.to_string()),
    }
}
