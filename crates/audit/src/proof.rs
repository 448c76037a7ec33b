//! One record, shown to somebody who holds only a checkpoint and the public key: RFC 6962 proofs that the record is in
//! its writer's tree and that tree in the checkpoint's, and that nothing an older checkpoint vouched for was taken
//! back.

use countersign_crypto::JwkSet;
use countersign_crypto::chain::link;
use countersign_crypto::merkle;
use countersign_db::Pool;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError, Head, Statement};
use crate::checkpointer::Last;
use crate::export::{RecordLine, digest};
use crate::record::{Record, RecordId};
use crate::{AuditError, store};

/// The version of the form.
const VERSION: u32 = 1;
/// Hashes read at a time.
const HASHES: i64 = 10_000;

/// The proof, as JSON; `docs/audit.md` says how to check it by other means than ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    version: u32,
    record: RecordLine,
    /// From the record, which is leaf `seq - 1`, to the root of its writer's head.
    path: Vec<String>,
    head: AnchoredHead,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
}

/// A writer's head, and the path from it to the root that a checkpoint signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnchoredHead {
    head: Head,
    /// Place among the heads of all writers, from 0.
    index: u64,
    path: Vec<String>,
    /// The line of the checkpoint.
    checkpoint: String,
}

/// An older checkpoint, whose tree of the same writer the newer one extends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Since {
    head: AnchoredHead,
    consistency: Vec<String>,
}

/// What a proof shows once it has been checked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The record.
    pub record: Record,
    /// Id of the database that held it.
    pub database: String,
    /// Number of the checkpoint that vouches for it.
    pub checkpoint: i64,
    /// When that was signed, RFC 3339.
    pub at: String,
    /// Number of the older checkpoint that was also shown to hold.
    pub since: Option<i64>,
}

/// Why no proof can be given, or why one does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no such record.
    #[error("there is no record {0}")]
    NoRecord(RecordId),
    /// No checkpoint covers the record yet; one follows within ten seconds.
    #[error("record {0} is newer than the newest checkpoint: try again in ten seconds")]
    NotAnchored(RecordId),
    /// The older checkpoint is not one of this database's, or does not know the writer.
    #[error("the older checkpoint {0}")]
    Since(&'static str),
    /// The text is not a proof of version 1.
    #[error("this is not a proof of version 1: {0}")]
    Form(String),
    /// A part of the proof does not follow from the others.
    #[error("the proof does not hold: {0}")]
    Broken(String),
    /// The trail could not be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Proof {
    /// Proves that the record with this id is under the newest checkpoint, and, where `since` is the line of an older
    /// checkpoint, that the newest extends it.
    pub async fn of(pool: &Pool, id: &RecordId, since: Option<&str>) -> Result<Self, ProofError> {
        let record = store::by_id(pool, id).await?;
        let record = record.ok_or_else(|| ProofError::NoRecord(id.clone()))?;
        let newest = store::last_checkpoint_number(pool)
            .await
            .map_err(AuditError::from)?;
        let head = AnchoredHead::of(pool, newest, &id.writer)
            .await?
            .filter(|anchored| anchored.head.seq >= id.seq)
            .ok_or_else(|| ProofError::NotAnchored(id.clone()))?;
        let hashes = hashes(pool, &id.writer, head.head.seq).await?;
        let index = usize::try_from(id.seq - 1).unwrap_or(usize::MAX);
        let path = merkle::inclusion_proof(&hashes, index).ok_or_else(|| ProofError::NoRecord(id.clone()))?;
        let since = match since {
            Some(line) => Some(Since::of(pool, line, &id.writer, &hashes).await?),
            None => None,
        };
        Ok(Self {
            version: VERSION,
            record: RecordLine::from(&record),
            path: encode(&path),
            head,
            since,
        })
    }

    /// Reads a proof from its JSON.
    pub fn parse(json: &str) -> Result<Self, ProofError> {
        let proof: Self = serde_json::from_str(json).map_err(|error| ProofError::Form(error.to_string()))?;
        if proof.version == VERSION {
            Ok(proof)
        } else {
            Err(ProofError::Form(format!("it is of version {}", proof.version)))
        }
    }

    /// Checks every step from the record's columns to the signature; `keys` must have come another way than the proof.
    pub fn check(&self, keys: &JwkSet) -> Result<Shown, ProofError> {
        let record = Record::try_from(self.record.clone()).map_err(|error| broken(error.to_string()))?;
        if link(&record.previous, &record.canonical()) != record.hash {
            return Err(broken("the record does not have the hash of its content"));
        }
        let statement = self.head.check(keys)?;
        let head = &self.head.head;
        let root = hash(&head.root)?;
        let (index, size) = (record.id.seq - 1, head.seq);
        let included = head.writer == record.id.writer
            && merkle::verify_inclusion(
                &record.hash,
                unsigned(index)?,
                unsigned(size)?,
                &decode(&self.path)?,
                &root,
            );
        if !included {
            return Err(broken("the record is not in its writer's tree"));
        }
        let since = match &self.since {
            Some(since) => Some(since.check(keys, head, &statement)?),
            None => None,
        };
        Ok(Shown {
            database: statement.database,
            checkpoint: statement.number,
            at: countersign_crypto::Timestamp::from_micros(statement.at).to_rfc3339(),
            since,
            record,
        })
    }
}

impl AnchoredHead {
    /// The head of `writer` as of checkpoint `number`; `None` when that knows no such writer.
    async fn of(pool: &Pool, number: i64, writer: &str) -> Result<Option<Self>, ProofError> {
        let last = Last::as_of(pool, number).await?;
        let (Some(head), Some(checkpoint)) = (last.heads().get(writer), last.checkpoint()) else {
            return Ok(None);
        };
        let index = last.heads().range(..writer.to_owned()).count();
        let leaves: Vec<Vec<u8>> = last.heads().values().map(Head::leaf).collect();
        let path = merkle::inclusion_proof(&leaves, index).unwrap_or_default();
        Ok(Some(Self {
            head: head.clone(),
            index: u64::try_from(index).unwrap_or(u64::MAX),
            path: encode(&path),
            checkpoint: checkpoint.line(),
        }))
    }

    fn check(&self, keys: &JwkSet) -> Result<Statement, ProofError> {
        let of_checkpoint = |error: CheckpointError| broken(format!("the checkpoint {error}"));
        let checkpoint = Checkpoint::parse(&self.checkpoint).map_err(of_checkpoint)?;
        let statement = checkpoint.verify(keys).map_err(of_checkpoint)?;
        let (path, root) = (decode(&self.path)?, hash(&statement.root)?);
        if merkle::verify_inclusion(&self.head.leaf(), self.index, statement.writers, &path, &root) {
            Ok(statement)
        } else {
            Err(broken("the writer's head is not in the checkpoint's tree"))
        }
    }
}

impl Since {
    async fn of(pool: &Pool, line: &str, writer: &str, hashes: &[[u8; 32]]) -> Result<Self, ProofError> {
        let foreign = ProofError::Since("is not one of this database's: its history was forked or exchanged");
        let older = Checkpoint::parse(line.trim_end()).and_then(|older| older.read());
        let older = older.map_err(|_| ProofError::Since("is not a checkpoint line"))?;
        let head = AnchoredHead::of(pool, older.number, writer).await?;
        let Some(head) = head else {
            return Err(ProofError::Since("does not know the record's writer yet"));
        };
        if head.checkpoint != line.trim_end() {
            return Err(foreign);
        }
        let size = usize::try_from(head.head.seq).unwrap_or(usize::MAX);
        let consistency = merkle::consistency_proof(hashes, size).ok_or(foreign)?;
        Ok(Self {
            head,
            consistency: encode(&consistency),
        })
    }

    fn check(&self, keys: &JwkSet, newer: &Head, newest: &Statement) -> Result<i64, ProofError> {
        let statement = self.head.check(keys)?;
        let older = &self.head.head;
        let extends = statement.database == newest.database
            && older.writer == newer.writer
            && merkle::verify_consistency(
                unsigned(older.seq)?,
                unsigned(newer.seq)?,
                &hash(&older.root)?,
                &hash(&newer.root)?,
                &decode(&self.consistency)?,
            );
        if extends {
            Ok(statement.number)
        } else {
            Err(broken("the newer checkpoint does not extend the older one"))
        }
    }
}

/// Hashes of the writer's records 1 to `count`.
async fn hashes(pool: &Pool, writer: &str, count: i64) -> Result<Vec<[u8; 32]>, ProofError> {
    let mut hashes = Vec::new();
    let mut read = 0;
    while read < count {
        let page = store::hashes(pool, writer, read, HASHES.min(count - read)).await?;
        for (number, hash) in &page {
            if *number != read + 1 {
                break;
            }
            hashes.push(*hash);
            read = *number;
        }
        if page.last().is_none_or(|(number, _)| *number != read) {
            return Err(ProofError::Audit(AuditError::Inconsistent {
                place: format!("audit_record {writer}-{}", read + 1),
                what: "is missing".to_owned(),
            }));
        }
    }
    Ok(hashes)
}

fn broken(what: impl Into<String>) -> ProofError {
    ProofError::Broken(what.into())
}

fn encode(path: &[[u8; 32]]) -> Vec<String> {
    path.iter().map(hex::encode).collect()
}

fn decode(path: &[String]) -> Result<Vec<[u8; 32]>, ProofError> {
    path.iter().map(|text| hash(text)).collect()
}

fn hash(text: &str) -> Result<[u8; 32], ProofError> {
    digest(text).ok_or_else(|| broken("a hash is not 64 hexadecimal digits"))
}

fn unsigned(number: i64) -> Result<u64, ProofError> {
    u64::try_from(number).map_err(|_| broken("a number is negative"))
}
