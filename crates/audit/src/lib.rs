//! The audit trail: what was done for whom, by whom and why not, so that anyone can check it.
//!
//! A [`Recorder`] writes [`Entry`]s as rows of `audit_record`. Each process start is a writer with a hash
//! chain of its own; checkpoints over all heads are signed, and appended to a file outside the database.
//! [`verify`] recomputes everything, [`explain`] tells how one token came to be used, [`tail`] lists, [`report`]
//! answers which tokens were released, [`delivery`] hands checkpoints and records over to places outside. The format is
//! in `docs/audit.md`.
//!
//! It refuses: to acknowledge a record before it is on disk, to store personal details in clear, and to let
//! unauthenticated strangers fill the disk.

mod anchor_lag;
mod checkpoint;
mod checkpointer;
mod counted;
mod courier;
pub mod delivery;
mod entry;
mod error;
pub mod explain;
mod export;
mod format;
mod person;
mod proof;
mod record;
mod recorder;
mod refusals;
pub mod report;
pub mod retention;
mod schema;
mod store;
pub mod tail;
pub mod verify;
mod writer;

pub use anchor_lag::{AnchorLag, anchor_lag};
pub use checkpoint::CheckpointFile;
pub use counted::Counted;
pub use entry::{Entry, Outcome};
pub use error::AuditError;
pub use export::Exporter;
pub use format::Format;
pub use person::{PersonKeys, forget};
pub use proof::{Proof, ProofError, Shown};
pub use record::{Personal, Record, RecordId, RecordIdError};
pub use recorder::{Recorder, RecorderConfig};
pub use schema::MIGRATIONS;
