//! The signed statement over all heads, and the file outside the database that it is appended to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use countersign_crypto::chain::Canonical;
use countersign_crypto::{Algorithm, JwkSet, SigningKey, b64url, b64url_decode, sha256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::AuditError;

/// The version of the statement's form.
pub(crate) const VERSION: u32 = 1;

/// Where a writer's chain stands. Hashes are 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Head {
    /// The chain.
    pub writer: String,
    /// Its last record's number, which is also the number of its records.
    pub seq: i64,
    /// That record's hash.
    pub hash: String,
    /// Root of the RFC 6962 tree whose leaves are the hashes of records 1 to `seq`.
    pub root: String,
}

impl Head {
    /// The leaf of the tree over all heads.
    pub(crate) fn leaf(&self) -> Vec<u8> {
        Canonical::new()
            .text(&self.writer)
            .int(self.seq)
            .text(&self.hash)
            .text(&self.root)
            .finish()
    }
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Statement {
    /// 1.
    pub version: u32,
    /// Id of the database.
    pub database: String,
    /// How often the database was restored from a backup.
    pub restore_epoch: i64,
    /// `identity` or `gateway`.
    pub role: String,
    /// From 1, without gaps.
    pub number: i64,
    /// Microseconds since the epoch.
    pub at: i64,
    /// SHA-256 of the checkpoint line before; zeros in the first.
    pub previous: String,
    /// How many writers there are.
    pub writers: u64,
    /// Root of the RFC 6962 tree over the heads of all writers, in the order of their ids.
    pub root: String,
    /// Whether `heads` are those of all writers, not only of those that moved since the last checkpoint.
    pub complete: bool,
    /// Heads, in the order of the writers' ids.
    pub heads: Vec<Head>,
    /// Id of the signing key.
    pub kid: String,
}

/// A statement with its signature: what a row and a line of the file hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) statement: String,
    /// ES256 over the bytes of `statement`, base64url.
    pub(crate) signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    checkpoint: Box<RawValue>,
    signature: String,
}

/// Text that is no checkpoint, by what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("is not a checkpoint line")]
    Line,
    #[error("does not hold a statement of version 1")]
    Statement,
    #[error("is signed by key {0}, which is not among the audit signing keys")]
    UnknownKey(String),
    #[error("has a signature that does not verify")]
    Signature,
}

impl Checkpoint {
    pub(crate) fn sign(statement: &Statement, key: &SigningKey) -> Result<Self, serde_json::Error> {
        let statement = serde_json::to_string(statement)?;
        let signature = b64url(&key.sign_raw(statement.as_bytes()));
        Ok(Self { statement, signature })
    }

    /// Reads a line of the file, exactly as [`Checkpoint::line`] writes it.
    pub(crate) fn parse(line: &str) -> Result<Self, CheckpointError> {
        let parsed: Line = serde_json::from_str(line).map_err(|_| CheckpointError::Line)?;
        let checkpoint = Self {
            statement: parsed.checkpoint.get().to_owned(),
            signature: parsed.signature,
        };
        if checkpoint.line() == line {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Line)
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            r#"{{"checkpoint":{},"signature":"{}"}}"#,
            self.statement, self.signature
        )
    }

    /// SHA-256 of the line: what the next checkpoint names.
    pub(crate) fn hash(&self) -> String {
        hex::encode(sha256(self.line().as_bytes()))
    }

    /// The statement, without a look at the signature.
    pub(crate) fn read(&self) -> Result<Statement, CheckpointError> {
        let statement: Statement =
            serde_json::from_str(&self.statement).map_err(|_| CheckpointError::Statement)?;
        // One statement, one spelling.
        let canonical = serde_json::to_string(&statement).is_ok_and(|text| text == self.statement);
        if canonical && statement.version == VERSION {
            Ok(statement)
        } else {
            Err(CheckpointError::Statement)
        }
    }

    /// The statement, if one of `keys` has signed it.
    pub(crate) fn verify(&self, keys: &JwkSet) -> Result<Statement, CheckpointError> {
        let statement = self.read()?;
        let key = keys
            .find(&statement.kid)
            .ok_or_else(|| CheckpointError::UnknownKey(statement.kid.clone()))?;
        let signature = b64url_decode(&self.signature).ok_or(CheckpointError::Signature)?;
        // base64url text can have unused bits: only the one spelling counts.
        let spelled = b64url(&signature) == self.signature;
        if spelled && key.verifies(Algorithm::Es256, self.statement.as_bytes(), &signature) {
            Ok(statement)
        } else {
            Err(CheckpointError::Signature)
        }
    }
}

/// The append-only file beside the database: one checkpoint a line, of one or several databases.
#[derive(Debug, Clone)]
pub struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// Opens the file, or creates it readable by its owner only. A last line without its newline was cut by a
    /// crash and never acknowledged: it is removed.
    pub async fn open(path: PathBuf) -> Result<Self, AuditError> {
        let file = Self { path };
        file.blocking(|path| {
            let mut file = append(path)?;
            let end = cut_partial_line(&mut file)?;
            if end {
                tracing::warn!(path = %path.display(), "removed a checkpoint line that a crash had cut");
            }
            // The directory too: a file whose name is lost is no anchor.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        })
        .await?;
        Ok(file)
    }

    /// The whole text of the file, for [`crate::verify::verify`]; empty when there is none.
    pub async fn read(path: PathBuf) -> Result<String, AuditError> {
        Self { path }
            .blocking(|path| match std::fs::read_to_string(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                text => text,
            })
            .await
    }

    /// Appends a line by one write, and waits for the disk.
    pub(crate) async fn append(&self, line: String) -> Result<(), AuditError> {
        self.blocking(move |path| {
            let mut file = append(path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, AuditError> {
        let path = self.path.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&path)).await;
        outcome
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|source| AuditError::CheckpointFile {
                path: self.path.clone(),
                source,
            })
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether there was one.
fn cut_partial_line(file: &mut File) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(false);
    }
    // Lines are a few kilobytes; the last newline is near the end.
    let from = length.saturating_sub(4 << 20);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    if end.last() == Some(&b'\n') {
        return Ok(false);
    }
    let keep = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    file.set_len(from + u64::try_from(keep).unwrap_or(0))?;
    file.sync_all()?;
    Ok(true)
}
