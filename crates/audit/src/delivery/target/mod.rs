//! The places that evidence is handed over to, one file each.

mod directory;
mod file;
mod journald;
mod kept;
pub(crate) mod s3;
pub(crate) mod syslog;
pub(crate) mod webhook;

use std::path::PathBuf;

use countersign_crypto::Timestamp;
use countersign_outbound::{Client, HostPort, OutboundError, Policy};
use url::Url;

pub use kept::{Kept, kept_in_s3};

use super::config::{AnchorPlace, ExportPlace};
use super::stream::Position;
use crate::RecordId;
use directory::Directory;
use journald::Journald;
use s3::Bucket;
use syslog::Syslog;
use webhook::Webhook;

/// What is handed over at once, and acknowledged at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// The same whenever this batch is sent, and no other's.
    pub(super) id: String,
    pub(super) role: &'static str,
    pub(super) database: String,
    pub(super) restore_epoch: i64,
    /// The checkpoint, or the one behind which the records begin.
    pub(super) number: i64,
    /// It may have been taken before.
    pub(super) repeated: bool,
    /// When it is sent this time.
    pub(super) sent_at: Timestamp,
    /// What it follows.
    pub(super) first: Position,
    pub(super) lines: Vec<Line>,
}

impl Batch {
    /// All lines, each with its newline.
    fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|line| line.text.len() + 1).sum());
        for line in &self.lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }

    /// Below it are the names of one life of a database: after a restore its numbers come again, with other content.
    fn place(&self) -> String {
        match self.restore_epoch {
            0 => self.database.clone(),
            epoch => format!("{}/restored-{epoch}", self.database),
        }
    }

    /// The name of a file or object for it: place, role, and a number that sorts.
    fn name(&self) -> String {
        let Position {
            checkpoint,
            writer,
            seq,
        } = &self.first;
        let within = if writer.is_empty() {
            String::new()
        } else {
            format!("-{writer}-{seq}")
        };
        format!("{}/{}-{checkpoint:012}{within}.ndjson", self.place(), self.role)
    }
}

/// One record or checkpoint, without a newline and without control characters.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) action: String,
    pub(super) text: String,
    /// Id and hash of the record, which stand for it where its text does not fit.
    pub(super) record: Option<(RecordId, [u8; 32])>,
}

/// A place.
pub(super) enum Target {
    File(PathBuf),
    Checkpoints(Bucket),
    Records(Bucket),
    Syslog(Syslog),
    Journald(Journald),
    Directory(Directory),
    Webhook(Webhook),
}

impl Target {
    pub(super) fn of_anchor(place: &AnchorPlace) -> Result<Self, TargetError> {
        Ok(match place {
            AnchorPlace::File(path) => Self::File(path.clone()),
            AnchorPlace::S3(s3) => Self::Checkpoints(Bucket::new(s3)?),
            AnchorPlace::Syslog(syslog) => Self::Syslog(Syslog::new(syslog)?),
            AnchorPlace::Journald(journald) => Self::Journald(Journald::new(journald)),
        })
    }

    pub(super) fn of_export(place: &ExportPlace) -> Result<Self, TargetError> {
        Ok(match place {
            ExportPlace::Directory(path) => Self::Directory(Directory::new(path)),
            ExportPlace::S3(s3) => Self::Records(Bucket::new(s3)?),
            ExportPlace::Syslog(syslog) => Self::Syslog(Syslog::new(syslog)?),
            ExportPlace::Webhook(webhook) => Self::Webhook(Webhook::new(webhook)?),
        })
    }

    /// Returns when the place has taken it. Whoever sends the same batch again does no harm.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), TargetError> {
        if batch.lines.is_empty() {
            return Ok(());
        }
        match self {
            Self::File(path) => file::append(path, batch).await,
            Self::Checkpoints(bucket) => bucket.anchor(batch).await,
            Self::Records(bucket) => bucket.export(batch).await,
            Self::Syslog(syslog) => syslog.send(batch).await,
            Self::Journald(journald) => journald.send(batch).await,
            Self::Directory(directory) => directory.write(batch).await,
            Self::Webhook(webhook) => webhook.post(batch).await,
        }
    }
}

/// Why a place did not take a batch. Says nothing that is secret.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It did not answer in time.
    #[error("no answer within 30 s")]
    TimedOut,
    /// It cannot be used as it is configured.
    #[error("{0}")]
    Unusable(String),
    /// It cannot be reached, or gave no usable answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It answered that it does not take it.
    #[error("{place} answered {status}{detail}")]
    Refused {
        /// The place.
        place: &'static str,
        /// The HTTP status.
        status: u16,
        /// A word of the answer, with a colon before it.
        detail: String,
    },
    /// It holds something else where this checkpoint belongs.
    #[error(
        "{0} holds another checkpoint of this number: the history forked, see `countersign audit verify --against`"
    )]
    Forked(String),
    /// The operating system refused.
    #[error("{place}: {source}")]
    Io {
        /// What was to be written or connected to.
        place: String,
        /// Its error.
        source: std::io::Error,
    },
}

impl TargetError {
    fn io(place: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let place = place.into();
        move |source| Self::Io { place, source }
    }
}

/// A client for one place that the operator named, wherever it is.
fn client(url: &Url, trust_root: Option<Vec<u8>>) -> Result<Client, TargetError> {
    let policy = Policy {
        allow: HostPort::of(url).into_iter().collect(),
        trust_root,
        ..Policy::default()
    };
    Client::new(policy).map_err(|error| TargetError::Unusable(format!("no HTTP client: {error}")))
}
