//! Recomputing everything: chains, trees, checkpoints, signatures.

use countersign_crypto::JwkSet;
use countersign_db::Pool;
use serde::Serialize;

use crate::AuditError;

/// What is verified, and against what.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// The database; a read-only pool will do.
    pub pool: &'a Pool,
    /// Whose trail it should be: `identity` or `gateway`.
    pub role: &'a str,
    /// Public keys that may have signed checkpoints.
    pub keys: &'a JwkSet,
    /// The text of checkpoint files kept outside the database (one JSON line each), by default the local
    /// file. Empty: truncation and roll-back cannot be told from a shorter history.
    pub checkpoints: &'a str,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Table, writer and number, or line of a checkpoint file.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// How far a signed checkpoint vouches for the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// The newest checkpoint's number.
    pub checkpoint: i64,
    /// When it was signed, RFC 3339.
    pub at: String,
    /// Records that were written after it, which only their chains hold in place.
    pub records_after: u64,
}

/// The outcome.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// `identity` or `gateway`.
    pub role: String,
    /// The database's id.
    pub database: String,
    /// Chains.
    pub writers: u64,
    /// Records in all.
    pub records: u64,
    /// Checkpoints in the database.
    pub checkpoints: u64,
    /// By checkpoints in the database.
    pub anchored: Option<Anchor>,
    /// By checkpoints kept outside it.
    pub anchored_outside: Option<Anchor>,
    /// What is wrong, at most 100.
    pub faults: Vec<Fault>,
    /// Further faults that are not listed.
    pub more_faults: u64,
}

/// Verifies one database.
pub async fn verify(trail: &Trail<'_>) -> Result<Report, AuditError> {
    todo!()
}
