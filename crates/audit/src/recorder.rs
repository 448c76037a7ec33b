//! The handle through which everything else records.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_crypto::{Keyring, SharedClock, SharedRandom, SigningKey};
use countersign_db::{ChangeFeed, Pool};

use crate::{AuditError, Entry, RecordId};

/// What a recorder needs.
pub struct RecorderConfig {
    /// The database, migrated with [`crate::MIGRATIONS`].
    pub pool: Pool,
    /// By which a forgotten person's key leaves the caches of every replica.
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

/// Records entries; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {}

impl Recorder {
    /// Begins a chain of its own: writes the record `OpenAuditWriter`, which names the heads of all others.
    pub async fn start(config: RecorderConfig) -> Result<Self, AuditError> {
        todo!()
    }

    /// Records, and resolves when the record is on disk. On an error release nothing.
    pub async fn record(&self, entry: Entry) -> Result<RecordId, AuditError> {
        todo!()
    }

    /// Counts a refusal of somebody unknown. The first ten of a source, reason and minute become records,
    /// the rest one summary. Never waits. A person named by the entry is ignored.
    pub fn record_unauthenticated_refusal(&self, source: &str, entry: Entry) {
        todo!()
    }

    /// Writes a checkpoint now, if there are records that none covers.
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        todo!()
    }

    /// Writes what is queued and a last checkpoint. Entries that arrive later get [`AuditError::Closed`].
    pub async fn close(self) -> Result<(), AuditError> {
        todo!()
    }
}
