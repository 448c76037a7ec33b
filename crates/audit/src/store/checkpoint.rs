//! Checkpoints.

use countersign_db::{DbError, Pool, Row, Transaction, params};

/// The columns of `audit_checkpoint`, in order.
pub(crate) const CHECKPOINT_COLUMNS: [&str; 3] = ["number", "statement", "signature"];

/// A stored checkpoint, unparsed.
pub(crate) struct CheckpointRow {
    pub(crate) number: i64,
    pub(crate) statement: String,
    pub(crate) signature: String,
}

pub(crate) fn checkpoint(row: &Row) -> Result<CheckpointRow, DbError> {
    Ok(CheckpointRow {
        number: row.int("number")?,
        statement: row.text("statement")?,
        signature: row.text("signature")?,
    })
}

pub(crate) async fn last_checkpoint_number(pool: &Pool) -> Result<i64, DbError> {
    let row = pool
        .fetch_optional(
            "SELECT number FROM audit_checkpoint ORDER BY number DESC LIMIT 1",
            params![],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int("number"))
}

pub(crate) async fn checkpoints_after(pool: &Pool, after: i64) -> Result<Vec<CheckpointRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT number, statement, signature FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT 500",
            params![after],
        )
        .await?;
    rows.iter().map(checkpoint).collect()
}

/// [`DbError::Constraint`]: another replica has taken the number.
pub(crate) async fn insert_checkpoint(
    pool: &Pool,
    number: i64,
    statement: &str,
    signature: &str,
) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO audit_checkpoint (number, statement, signature) VALUES ($1, $2, $3)",
        params![number, statement, signature],
    )
    .await?;
    Ok(())
}

/// A page of checkpoints, for verification.
pub(crate) async fn scan_checkpoints(tx: &mut Transaction, after: i64) -> Result<Vec<Row>, DbError> {
    tx.fetch_all(
        "SELECT * FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT 1000",
        params![after],
    )
    .await
}
