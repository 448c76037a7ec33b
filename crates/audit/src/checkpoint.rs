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
            whole_lines(path)?;
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

    /// Appends a line by one write, and waits for the disk. On an error the line may be there, whole or in part: it is
    /// to be appended again, and the same line twice says no more than once.
    pub(crate) async fn append(&self, line: String) -> Result<(), AuditError> {
        self.blocking(move |path| {
            let mut file = whole_lines(path)?;
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

/// The file, created if there is none, locked until it is closed, and without a last line that a crash or a full disk
/// had cut. Without the lock that could be the half that another process has written so far.
fn whole_lines(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    match file.lock() {
        // A file system without locks: there each process needs a file of its own.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
        locked => locked?,
    }
    if cut_partial_line(&mut file)? {
        tracing::warn!(path = %path.display(), "removed a checkpoint line that a crash or a full disk had cut");
    }
    Ok(file)
}

/// Whether there was one.
fn cut_partial_line(file: &mut File) -> std::io::Result<bool> {
    const PAGE: u64 = 64 << 10;
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        // Mostly the last byte tells.
        let from = end.saturating_sub(if end == length { 1 } else { PAGE });
        let mut page = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        Read::by_ref(file).take(end - from).read_to_end(&mut page)?;
        end = from;
        if let Some(newline) = page.iter().rposition(|byte| *byte == b'\n') {
            end += u64::try_from(newline + 1).unwrap_or(0);
            break;
        }
    }
    if end == length {
        return Ok(false);
    }
    file.set_len(end)?;
    file.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("checkpoints");
        (directory, path)
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).expect("read")
    }

    #[tokio::test]
    async fn nothing_is_glued_to_a_line_that_was_cut() {
        let (_directory, path) = file();
        let file = CheckpointFile::open(path.clone()).await.expect("opens");
        for cut in ["fragment".to_owned(), "x".repeat(200_000)] {
            for before in ["", "first\n"] {
                std::fs::write(&path, format!("{before}{cut}")).expect("written");
                file.append("line".to_owned()).await.expect("appended");
                assert_eq!(text(&path), format!("{before}line\n"));
            }
        }
    }

    /// Several databases share the file: what one process has written of a line is not the other's to remove.
    #[tokio::test]
    async fn the_half_line_of_another_process_is_waited_for() {
        let (_directory, path) = file();
        let mut other = File::create(&path).expect("created");
        other.lock().expect("locked");
        other.write_all(b"the other's ").expect("written");
        let opening = tokio::spawn(CheckpointFile::open(path.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!opening.is_finished());
        other.write_all(b"line\n").expect("written");
        drop(other);
        let file = opening.await.expect("no panic").expect("opens");
        file.append("ours".to_owned()).await.expect("appended");
        assert_eq!(text(&path), "the other's line\nours\n");
    }
}
