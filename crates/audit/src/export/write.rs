//! Writing an export, page by page, from one snapshot of a database.

use countersign_db::{Pool, Transaction, database_identity};

use super::{End, Header, Line, RecordLine, VERSION};
use crate::checkpoint::Checkpoint;
use crate::record::RecordId;
use crate::{AuditError, store};

/// One database's section of an export, a page of lines at a time. The database may be written to meanwhile: the
/// section shows one moment of it.
pub struct Exporter {
    tx: Transaction,
    next: Next,
    written: End,
}

enum Next {
    Header(Header),
    Checkpoints { after: i64 },
    Records { after: RecordId },
    Nothing,
}

impl Exporter {
    /// Begins a section for `role` (`identity` or `gateway`); a read-only pool will do.
    pub async fn begin(pool: &Pool, role: &str) -> Result<Self, AuditError> {
        let database = database_identity(pool).await?;
        Ok(Self {
            tx: pool.snapshot().await?,
            next: Next::Header(Header {
                version: VERSION,
                role: role.to_owned(),
                database: database.id,
            }),
            written: End::default(),
        })
    }

    /// The next lines, each with its newline; `None` after the last. [`AuditError::Inconsistent`] names a row that does
    /// not have the form of a record, of which no export can be made (`verify` tells more).
    pub async fn next_lines(&mut self) -> Result<Option<String>, AuditError> {
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Header(header) => {
                self.next = Next::Checkpoints { after: i64::MIN };
                line(&Line::Export(header)).map(Some)
            }
            Next::Checkpoints { after } => self.checkpoints(after).await.map(Some),
            Next::Records { after } => self.records(after).await.map(Some),
            Next::Nothing => Ok(None),
        }
    }

    /// Records written so far.
    #[must_use]
    pub fn records_written(&self) -> u64 {
        self.written.records
    }

    async fn checkpoints(&mut self, after: i64) -> Result<String, AuditError> {
        let mut lines = String::new();
        let rows = store::scan_checkpoints(&mut self.tx, after).await?;
        let mut last = None;
        for row in &rows {
            let row = store::checkpoint(row)?;
            last = Some(row.number);
            let checkpoint = Checkpoint {
                statement: row.statement,
                signature: row.signature,
            };
            lines.push_str(&checkpoint.line());
            lines.push('\n');
            self.written.checkpoints += 1;
        }
        self.next = match last {
            Some(after) => Next::Checkpoints { after },
            None => Next::Records {
                after: RecordId {
                    writer: String::new(),
                    seq: i64::MIN,
                },
            },
        };
        Ok(lines)
    }

    async fn records(&mut self, after: RecordId) -> Result<String, AuditError> {
        let rows = store::scan(&mut self.tx, &after).await?;
        let mut lines = String::new();
        let mut last = None;
        for row in &rows {
            let record = store::record(row)?;
            lines.push_str(&line(&Line::Record(Box::new(RecordLine::from(&record))))?);
            self.written.records += 1;
            last = Some(record.id);
        }
        match last {
            Some(after) => self.next = Next::Records { after },
            None => lines.push_str(&line(&Line::End(self.written))?),
        }
        Ok(lines)
    }
}

fn line(line: &Line) -> Result<String, AuditError> {
    line.text()
        .map(|text| text + "\n")
        .map_err(|error| AuditError::Inconsistent {
            place: "export".to_owned(),
            what: error.to_string(),
        })
}
