//! Stops in force (design D23).

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, Transaction, params};

/// The kind of its rows in the change feed.
pub(crate) const CHANGE: &str = "stop";

/// A stop in force. `kind` and `subject` are those of [`crate::stops::Subject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopRow {
    pub(crate) account: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) reason: Option<String>,
    /// ARN of the principal.
    pub(crate) stopped_by: String,
    pub(crate) stopped_at: Timestamp,
}

/// Every stop of every account: few, and all of them are kept in memory.
pub(crate) async fn list_all(pool: &Pool) -> Result<Vec<StopRow>, DbError> {
    let rows = pool.fetch_all("SELECT * FROM stop", params![]).await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` stops of the account after (`kind`, `subject`); of one kind, and of one subject, where they are given.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    only: (Option<&str>, Option<&str>),
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<StopRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM stop WHERE account = $1 AND (kind > $2 OR (kind = $2 AND subject > $3)) \
             AND ($5 IS NULL OR kind = $5) AND ($6 IS NULL OR subject = $6) ORDER BY kind, subject LIMIT $4",
            params![account, after.0, after.1, limit, only.0, only.1],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Stores a stop; one that is in force stays as it is. Gives the one in force.
pub(crate) async fn insert(tx: &mut Transaction, new: &StopRow) -> Result<StopRow, DbError> {
    let row = tx
        .fetch_optional(
            "INSERT INTO stop (account, kind, subject, reason, stopped_by, stopped_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (account, kind, subject) DO UPDATE SET kind = stop.kind RETURNING *",
            params![
                new.account.as_str(),
                new.kind.as_str(),
                new.subject.as_str(),
                new.reason.as_deref(),
                new.stopped_by.as_str(),
                new.stopped_at.as_micros(),
            ],
        )
        .await?;
    row.map_or_else(|| Ok(new.clone()), |row| read(&row))
}

/// Lifts a stop; `false` when there is none.
pub(crate) async fn delete(
    tx: &mut Transaction,
    account: &str,
    kind: &str,
    subject: &str,
) -> Result<bool, DbError> {
    let deleted = tx
        .execute(
            "DELETE FROM stop WHERE account = $1 AND kind = $2 AND subject = $3",
            params![account, kind, subject],
        )
        .await?;
    Ok(deleted == 1)
}

fn read(row: &Row) -> Result<StopRow, DbError> {
    Ok(StopRow {
        account: row.text("account")?,
        kind: row.text("kind")?,
        subject: row.text("subject")?,
        reason: row.opt_text("reason")?,
        stopped_by: row.text("stopped_by")?,
        stopped_at: Timestamp::from_micros(row.int("stopped_at")?),
    })
}
