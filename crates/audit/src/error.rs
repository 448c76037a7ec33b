//! What can go wrong while recording or reading.

use std::path::PathBuf;

use countersign_db::DbError;

/// A failure to record or to read the trail. Whoever was to hand out a token on the strength of a record
/// hands out none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The database failed.
    #[error("audit store: {0}")]
    Database(#[from] DbError),
    /// The batch that held the record could not be committed; the cause was logged once by the writer. The
    /// record may or may not have been written.
    #[error("the audit record could not be written")]
    NotWritten,
    /// The queue stayed full for five seconds.
    #[error("the audit writer is behind")]
    Busy,
    /// The recorder was closed.
    #[error("the audit recorder is closed")]
    Closed,
    /// An entry's personal or plain details exceed 32 KiB as JSON.
    #[error("the details of an audit entry exceed 32 KiB")]
    TooLarge,
    /// An entry has personal details and names no person under whose key they could be sealed.
    #[error("an audit entry has personal details without a person")]
    NoPerson,
    /// A listing was to go on from a record that does not exist.
    #[error("the cursor is not the id of a record")]
    Cursor,
    /// A person key does not open: another key provider, or tampering.
    #[error("person key {0} does not open")]
    PersonKey(String),
    /// A stored row is not what the writer writes.
    #[error("audit row {place}: {what}")]
    Inconsistent {
        /// Table, writer and number.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// An exported file cannot be read, or is none.
    #[error("{path}: {source}")]
    Export {
        /// The file.
        path: PathBuf,
        /// The operating system's error, or the line that is wrong.
        source: std::io::Error,
    },
    /// What is configured for handing the evidence over cannot be used.
    #[error(transparent)]
    Evidence(#[from] crate::delivery::EvidenceConfigError),
    /// A place of the evidence cannot be used.
    #[error("evidence: {0}")]
    Target(#[from] crate::delivery::TargetError),
    /// The checkpoint file cannot be read or written.
    #[error("{path}: {source}")]
    CheckpointFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}
