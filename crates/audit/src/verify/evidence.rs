//! Where the evidence is read from: a database, or a file that was exported from one.

use countersign_db::Transaction;

use crate::AuditError;
use crate::checkpoint::Checkpoint;
use crate::record::{Record, RecordId};
use crate::store::{self, CHECKPOINT_COLUMNS, RECORD_COLUMNS};

/// A record as it was found.
pub(super) struct FoundRecord {
    pub(super) id: RecordId,
    /// The record, or why it cannot be one.
    pub(super) record: Result<Record, String>,
    /// Its stored hash, even if the rest cannot be read.
    pub(super) hash: Option<[u8; 32]>,
    /// Whether the row has exactly the product's columns.
    pub(super) columns: bool,
}

/// A checkpoint as it was found.
pub(super) struct FoundCheckpoint {
    pub(super) number: i64,
    /// The checkpoint, or why it cannot be one.
    pub(super) checkpoint: Result<Checkpoint, String>,
    /// Whether the row has exactly the product's columns.
    pub(super) columns: bool,
}

/// One trail, read once from beginning to end in this order: faults of its container, checkpoints, first records,
/// records. A page is empty when there are no more.
pub(super) trait Evidence {
    /// What is wrong with the container itself: place and finding.
    async fn container_faults(&mut self) -> Result<Vec<(String, String)>, AuditError>;
    /// The next checkpoints, by number.
    async fn checkpoints(&mut self) -> Result<Vec<FoundCheckpoint>, AuditError>;
    /// The next writers' first records, by writer.
    async fn first_records(&mut self) -> Result<Vec<FoundRecord>, AuditError>;
    /// The next records, by writer and number. An error that ends the reading is a fault's text.
    async fn records(&mut self) -> Result<Result<Vec<FoundRecord>, String>, AuditError>;
}

/// One snapshot of a database.
pub(super) struct Snapshot<'a> {
    tx: &'a mut Transaction,
    checkpoint: i64,
    first: String,
    record: RecordId,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(tx: &'a mut Transaction) -> Self {
        Self {
            tx,
            checkpoint: i64::MIN,
            first: String::new(),
            record: RecordId {
                writer: String::new(),
                seq: i64::MIN,
            },
        }
    }
}

impl Evidence for Snapshot<'_> {
    async fn container_faults(&mut self) -> Result<Vec<(String, String)>, AuditError> {
        let faults = store::page_faults(self.tx).await?;
        Ok(faults
            .into_iter()
            .map(|(table, found)| (table.to_owned(), found))
            .collect())
    }

    async fn checkpoints(&mut self) -> Result<Vec<FoundCheckpoint>, AuditError> {
        let rows = store::scan_checkpoints(self.tx, self.checkpoint).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            self.checkpoint = row.int("number")?;
            found.push(FoundCheckpoint {
                number: self.checkpoint,
                checkpoint: store::checkpoint(row)
                    .map(|row| Checkpoint {
                        statement: row.statement,
                        signature: row.signature,
                    })
                    .map_err(|error| error.to_string()),
                columns: row.columns() == CHECKPOINT_COLUMNS,
            });
        }
        Ok(found)
    }

    async fn first_records(&mut self) -> Result<Vec<FoundRecord>, AuditError> {
        let rows = store::first_records(self.tx, &self.first).await?;
        if let Some(last) = rows.last() {
            self.first = last.text("writer")?;
        }
        // One without a readable id is reported when all records are read.
        Ok(rows.iter().filter_map(|row| found(row).ok()).collect())
    }

    async fn records(&mut self) -> Result<Result<Vec<FoundRecord>, String>, AuditError> {
        let rows = store::scan(self.tx, &self.record).await?;
        let found: Result<Vec<_>, String> = rows.iter().map(found).collect();
        if let Some(last) = found.as_ref().ok().and_then(|found| found.last()) {
            self.record = last.id.clone();
        }
        Ok(found)
    }
}

fn found(row: &countersign_db::Row) -> Result<FoundRecord, String> {
    Ok(FoundRecord {
        id: store::record_id(row).map_err(|error| error.to_string())?,
        record: store::record(row).map_err(|error| error.to_string()),
        hash: store::hash(row, "hash").ok(),
        columns: row.columns().into_iter().eq(RECORD_COLUMNS.map(|(name, _)| name)),
    })
}
