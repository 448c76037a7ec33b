//! Making checkpoints: at most every ten seconds of activity, and at the end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use countersign_crypto::merkle::{self, TreeFrontier};
use countersign_crypto::{SharedClock, SigningKey};
use countersign_db::{DatabaseIdentity, DbError, Pool};
use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, CheckpointFile, Head, Statement, VERSION};
use crate::writer::Chain;
use crate::{AuditError, store};

/// Every hundredth checkpoint lists all heads, so that a new process need not read them all from the first.
const COMPLETE_EVERY: i64 = 100;
/// Replicas that take the same number at the same time: the loser reads the winner's and tries again.
const ATTEMPTS: u32 = 10;
const HASHES: i64 = 1000;
/// Lines that wait for the file to take them, nearly three hours of activity. Beyond them the oldest goes: those after
/// it name it by its hash.
const UNWRITTEN: usize = 1000;

/// Knows all heads and the last checkpoint.
pub(crate) struct Checkpointer {
    pub(crate) pool: Pool,
    pub(crate) clock: SharedClock,
    pub(crate) key: SigningKey,
    pub(crate) file: Option<CheckpointFile>,
    /// What the file has not taken yet, the oldest first.
    pub(crate) unwritten: VecDeque<String>,
    pub(crate) role: &'static str,
    pub(crate) database: DatabaseIdentity,
    /// This process's chain, whose tree need not be read back from the database.
    pub(crate) own: Arc<Chain>,
    pub(crate) last: Last,
    pub(crate) trees: HashMap<String, (i64, TreeFrontier)>,
}

/// The last checkpoint, and all heads as of it.
#[derive(Default)]
pub(crate) struct Last {
    number: i64,
    checkpoint: Option<Checkpoint>,
    hash: String,
    heads: BTreeMap<String, Head>,
}

impl Last {
    /// Reads from the last checkpoint that lists all heads.
    pub(crate) async fn load(pool: &Pool) -> Result<Self, AuditError> {
        let newest = store::last_checkpoint_number(pool).await?;
        Self::as_of(pool, newest).await
    }

    /// The checkpoint with this number and all heads as of it; without a checkpoint when there is none so far.
    pub(crate) async fn as_of(pool: &Pool, number: i64) -> Result<Self, AuditError> {
        let complete = number - (number - 1).rem_euclid(COMPLETE_EVERY);
        let mut last = Self {
            number: (complete - 1).max(0),
            ..Self::default()
        };
        last.catch_up(pool, number).await?;
        Ok(last)
    }

    /// All heads, by writer.
    pub(crate) fn heads(&self) -> &BTreeMap<String, Head> {
        &self.heads
    }

    /// The checkpoint itself, if there is one.
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    async fn catch_up(&mut self, pool: &Pool, until: i64) -> Result<(), AuditError> {
        loop {
            let mut rows = store::checkpoints_after(pool, self.number).await?;
            rows.retain(|row| row.number <= until);
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let checkpoint = Checkpoint {
                    statement: row.statement,
                    signature: row.signature,
                };
                let statement = checkpoint.read().map_err(|error| AuditError::Inconsistent {
                    place: format!("audit_checkpoint {}", row.number),
                    what: error.to_string(),
                })?;
                self.take(row.number, checkpoint, statement);
            }
        }
    }

    /// Goes on to the next checkpoint.
    pub(crate) fn take(&mut self, number: i64, checkpoint: Checkpoint, statement: Statement) {
        self.number = number;
        self.hash = checkpoint.hash();
        self.checkpoint = Some(checkpoint);
        if statement.complete {
            self.heads.clear();
        }
        self.heads.extend(
            statement
                .heads
                .into_iter()
                .map(|head| (head.writer.clone(), head)),
        );
    }

    /// What a new writer's first record says about the others: the last checkpoint, which names their heads,
    /// and the heads that have moved since.
    pub(crate) async fn predecessors(&self, pool: &Pool) -> Result<Value, AuditError> {
        let tips = store::tips(pool).await?;
        let moved = tips
            .iter()
            .filter(|tip| self.heads.get(&tip.writer).is_none_or(|head| head.seq < tip.seq));
        let heads: Vec<Value> = moved
            .map(|tip| json!({"writer": tip.writer, "seq": tip.seq, "hash": hex::encode(tip.hash)}))
            .collect();
        let checkpoint = (self.number > 0).then(|| json!({"number": self.number, "hash": self.hash}));
        Ok(json!({"checkpoint": checkpoint, "heads": heads}))
    }
}

impl Checkpointer {
    /// Signs and stores a checkpoint if any chain has grown since the last one, and writes the file what it lacks. A file
    /// that takes nothing is no reason for the database to have no checkpoint, nor the other way round.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), AuditError> {
        let stored = self.store_checkpoint().await;
        // After the database: a line whose checkpoint the database lacks would be a roll-back.
        self.write_lines().await?;
        stored
    }

    async fn write_lines(&mut self) -> Result<(), AuditError> {
        let Some(file) = &self.file else { return Ok(()) };
        while let Some(line) = self.unwritten.front() {
            file.append(line.clone()).await?;
            self.unwritten.pop_front();
        }
        Ok(())
    }

    async fn store_checkpoint(&mut self) -> Result<(), AuditError> {
        for _ in 0..ATTEMPTS {
            // In this order: heads read after a checkpoint are never behind it.
            self.last.catch_up(&self.pool, i64::MAX).await?;
            let moved = self.moved().await?;
            if moved.is_empty() {
                return Ok(());
            }
            let statement = self.statement(moved);
            let checkpoint =
                Checkpoint::sign(&statement, &self.key).map_err(|error| AuditError::Inconsistent {
                    place: "checkpoint".to_owned(),
                    what: error.to_string(),
                })?;
            let number = statement.number;
            let (text, signature) = (&checkpoint.statement, &checkpoint.signature);
            match store::insert_checkpoint(&self.pool, number, text, signature).await {
                Ok(()) => {}
                Err(DbError::Constraint(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            if self.file.is_some() {
                self.unwritten.push_back(checkpoint.line());
                let surplus = self.unwritten.len().saturating_sub(UNWRITTEN);
                self.unwritten.drain(..surplus);
            }
            self.last.take(number, checkpoint, statement);
            return Ok(());
        }
        Err(DbError::Conflict("checkpoint number".to_owned()).into())
    }

    /// The heads that have grown.
    async fn moved(&mut self) -> Result<Vec<Head>, AuditError> {
        let mut moved = Vec::new();
        for tip in store::tips(&self.pool).await? {
            let known = self.last.heads.get(&tip.writer).map_or(0, |head| head.seq);
            let own = self.own.id() == tip.writer;
            let (seq, hash, root) = if own {
                self.own.head()
            } else if tip.seq > known {
                (tip.seq, tip.hash, self.root_of(&tip.writer, tip.seq).await?)
            } else {
                continue;
            };
            if seq > known {
                let (hash, root) = (hex::encode(hash), hex::encode(root));
                moved.push(Head {
                    writer: tip.writer,
                    seq,
                    hash,
                    root,
                });
            }
        }
        Ok(moved)
    }

    /// The tree of another writer, of which only the new hashes are read.
    async fn root_of(&mut self, writer: &str, seq: i64) -> Result<[u8; 32], AuditError> {
        let (read, tree) = self.trees.entry(writer.to_owned()).or_default();
        while *read < seq {
            let page = store::hashes(&self.pool, writer, *read, HASHES.min(seq - *read)).await?;
            let before = *read;
            for (number, hash) in page {
                if number != *read + 1 {
                    break;
                }
                tree.push(&hash);
                *read = number;
            }
            if *read == before {
                return Err(AuditError::Inconsistent {
                    place: format!("audit_record {writer}-{}", before + 1),
                    what: "is missing".to_owned(),
                });
            }
        }
        Ok(tree.root())
    }

    fn statement(&self, mut moved: Vec<Head>) -> Statement {
        let mut all = self.last.heads.clone();
        all.extend(moved.iter().map(|head| (head.writer.clone(), head.clone())));
        let number = self.last.number + 1;
        let complete = number.rem_euclid(COMPLETE_EVERY) == 1;
        let (writers, root) = root_of_heads(&all);
        if complete {
            moved = all.into_values().collect();
        }
        moved.sort_by(|a, b| a.writer.cmp(&b.writer));
        Statement {
            version: VERSION,
            database: self.database.id.clone(),
            restore_epoch: self.database.restore_epoch,
            role: self.role.to_owned(),
            number,
            at: self.clock.now().as_micros(),
            previous: if self.last.hash.is_empty() {
                "0".repeat(64)
            } else {
                self.last.hash.clone()
            },
            writers,
            root,
            complete,
            heads: moved,
            kid: self.key.kid().to_owned(),
        }
    }
}

/// Number and tree root of all heads.
pub(crate) fn root_of_heads(heads: &BTreeMap<String, Head>) -> (u64, String) {
    let leaves: Vec<Vec<u8>> = heads.values().map(Head::leaf).collect();
    (
        u64::try_from(leaves.len()).unwrap_or(u64::MAX),
        hex::encode(merkle::root(&leaves)),
    )
}
