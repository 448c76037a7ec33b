//! The records of all chains in one order that never changes: that of the checkpoints that cover them, then by writer
//! and number. A place in it is three values, whatever the number of writers, and nothing can come in before it later,
//! as it can in the order of times. A record is in it once it is under a checkpoint, at most ten seconds after it was
//! written.

use std::fmt;
use std::str::FromStr;

use countersign_db::Pool;

use super::store;
use crate::AuditError;
use crate::checkpoint::{Checkpoint, Head};
use crate::checkpointer::Last;
use crate::record::Record;

/// A place in the stream: everything before it has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The last checkpoint of which every record has been read; 0 at the beginning.
    pub(crate) checkpoint: i64,
    /// In the next checkpoint, the writer of the last record read; empty when there is none.
    pub(crate) writer: String,
    /// That record's number.
    pub(crate) seq: i64,
}

impl Position {
    /// Behind all of a checkpoint.
    pub(crate) const fn after(checkpoint: i64) -> Self {
        Self {
            checkpoint,
            writer: String::new(),
            seq: 0,
        }
    }

    /// Whether it is further than `other`.
    pub(crate) fn is_beyond(&self, other: &Self) -> bool {
        (self.checkpoint, &self.writer, self.seq) > (other.checkpoint, &other.writer, other.seq)
    }
}

/// `<checkpoint>.<writer>.<seq>`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.checkpoint, self.writer, self.seq)
    }
}

impl FromStr for Position {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let mut parts = text.split('.');
        let (Some(checkpoint), Some(writer), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuditError::Cursor);
        };
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        let named = writer.len() == 32 && writer.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match (number(checkpoint), number(seq)) {
            // Within a checkpoint there is a writer and a number, or neither.
            (Some(checkpoint), Some(seq)) if (named && seq > 0) || (writer.is_empty() && seq == 0) => {
                Ok(Self {
                    checkpoint,
                    writer: writer.to_owned(),
                    seq,
                })
            }
            _ => Err(AuditError::Cursor),
        }
    }
}

/// Reads on from where it is.
pub(crate) struct Stream {
    pool: Pool,
    position: Position,
    /// All heads as of `position.checkpoint`.
    last: Last,
}

impl Stream {
    pub(crate) async fn at(pool: &Pool, position: Position) -> Result<Self, AuditError> {
        let last = Last::as_of(pool, position.checkpoint).await?;
        Ok(Self {
            pool: pool.clone(),
            position,
            last,
        })
    }

    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// At most `limit` records, none beyond `until` where that is given. None: all that is under checkpoints has been
    /// read.
    pub(crate) async fn next(
        &mut self,
        limit: usize,
        until: Option<&Position>,
    ) -> Result<Vec<Record>, AuditError> {
        let mut batch = Vec::new();
        while batch.len() < limit && until.is_none_or(|until| until.is_beyond(&self.position)) {
            let number = self.position.checkpoint + 1;
            let Some(row) = store::checkpoint(&self.pool, number).await? else {
                break;
            };
            let checkpoint = Checkpoint {
                statement: row.statement,
                signature: row.signature,
            };
            let statement = checkpoint.read().map_err(|error| AuditError::Inconsistent {
                place: format!("audit_checkpoint {number}"),
                what: error.to_string(),
            })?;
            let within = until.filter(|until| until.checkpoint + 1 == number);
            if !self
                .read_heads(&statement.heads, limit, within, &mut batch)
                .await?
            {
                break;
            }
            self.last.take(number, checkpoint, statement);
            self.position = Position::after(number);
        }
        Ok(batch)
    }

    /// The records up to the heads of one checkpoint, and up to `until` in it. Whether that was all of them.
    async fn read_heads(
        &mut self,
        heads: &[Head],
        limit: usize,
        until: Option<&Position>,
        batch: &mut Vec<Record>,
    ) -> Result<bool, AuditError> {
        for head in heads {
            if head.writer < self.position.writer {
                continue;
            }
            let mut after = self.last.heads().get(&head.writer).map_or(0, |head| head.seq);
            if head.writer == self.position.writer {
                after = after.max(self.position.seq);
            }
            let end = match until {
                Some(until) if head.writer > until.writer => return Ok(false),
                Some(until) if head.writer == until.writer => head.seq.min(until.seq),
                _ => head.seq,
            };
            while after < end && batch.len() < limit {
                let room = i64::try_from(limit - batch.len()).unwrap_or(i64::MAX);
                let records = store::records(&self.pool, &head.writer, after, end, room).await?;
                let Some(read) = records.last() else {
                    return Err(AuditError::Inconsistent {
                        place: format!("audit_record {}-{}", head.writer, after + 1),
                        what: "is missing".to_owned(),
                    });
                };
                after = read.id.seq;
                self.position.writer.clone_from(&head.writer);
                self.position.seq = after;
                batch.extend(records);
            }
            if after < head.seq {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
