//! The SQL of deliveries: how far each has come.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Fence, Pool, Row, params};

use super::stream::Position;
use crate::AuditError;
use crate::record::Record;
use crate::store::{self, CheckpointRow};

/// How far a delivery has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    /// `anchor NAME` or `export NAME`.
    pub(crate) name: String,
    /// Acknowledged up to here.
    pub(crate) delivered: Position,
    /// Sending was begun up to here: what lies between may have arrived.
    pub(crate) tried: Position,
    /// When something was last acknowledged.
    pub(crate) delivered_at: Option<Timestamp>,
    /// Since when nothing can be handed over.
    pub(crate) failing_since: Option<Timestamp>,
    /// Why.
    pub(crate) last_error: Option<String>,
}

fn delivery(row: &Row) -> Result<DeliveryRow, DbError> {
    let position = |number, writer, seq| -> Result<Position, DbError> {
        Ok(Position {
            checkpoint: row.int(number)?,
            writer: row.text(writer)?,
            seq: row.int(seq)?,
        })
    };
    Ok(DeliveryRow {
        name: row.text("name")?,
        delivered: position("checkpoint_number", "writer", "seq")?,
        tried: position("tried_checkpoint", "tried_writer", "tried_seq")?,
        delivered_at: row.opt_int("delivered_at")?.map(Timestamp::from_micros),
        failing_since: row.opt_int("failing_since")?.map(Timestamp::from_micros),
        last_error: row.opt_text("last_error")?,
    })
}

pub(crate) async fn find(pool: &Pool, name: &str) -> Result<Option<DeliveryRow>, DbError> {
    let sql = "SELECT name, checkpoint_number, writer, seq, tried_checkpoint, tried_writer, tried_seq, \
               delivered_at, failing_since, last_error FROM evidence_delivery WHERE name = $1";
    let row = pool.fetch_optional(sql, params![name]).await?;
    row.as_ref().map(delivery).transpose()
}

pub(crate) async fn list(pool: &Pool) -> Result<Vec<DeliveryRow>, DbError> {
    let sql = "SELECT name, checkpoint_number, writer, seq, tried_checkpoint, tried_writer, tried_seq, \
               delivered_at, failing_since, last_error FROM evidence_delivery ORDER BY name";
    let rows = pool.fetch_all(sql, params![]).await?;
    rows.iter().map(delivery).collect()
}

/// Leaves one that exists as it is.
pub(crate) async fn insert(pool: &Pool, name: &str, from: &Position) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO evidence_delivery (name, fence, checkpoint_number, writer, seq, tried_checkpoint, \
         tried_writer, tried_seq) VALUES ($1, 0, $2, $3, $4, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
        params![name, from.checkpoint, &from.writer, from.seq],
    )
    .await?;
    Ok(())
}

/// Notes that sending up to `tried` begins. `false`: another replica holds the lease by now.
pub(crate) async fn begin(pool: &Pool, name: &str, fence: Fence, tried: &Position) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE evidence_delivery SET fence = $1, tried_checkpoint = $2, tried_writer = $3, tried_seq = $4 \
             WHERE name = $5 AND fence <= $1",
            params![fence.0, tried.checkpoint, &tried.writer, tried.seq, name],
        )
        .await?;
    Ok(changed == 1)
}

/// Notes that everything up to `delivered` was acknowledged. `false`: another replica holds the lease by now, and may
/// hand it over again.
pub(crate) async fn acknowledge(
    pool: &Pool,
    name: &str,
    fence: Fence,
    delivered: &Position,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE evidence_delivery SET checkpoint_number = $1, writer = $2, seq = $3, delivered_at = $4, \
             failing_since = NULL, last_error = NULL WHERE name = $5 AND fence = $6",
            params![
                delivered.checkpoint,
                &delivered.writer,
                delivered.seq,
                now.as_micros(),
                name,
                fence.0
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Notes that the receiver does not take it.
pub(crate) async fn fail(pool: &Pool, name: &str, error: &str, now: Timestamp) -> Result<(), DbError> {
    pool.execute(
        "UPDATE evidence_delivery SET failing_since = COALESCE(failing_since, $1), last_error = $2 WHERE name = $3",
        params![now.as_micros(), error, name],
    )
    .await?;
    Ok(())
}

pub(crate) async fn checkpoint(pool: &Pool, number: i64) -> Result<Option<CheckpointRow>, DbError> {
    let sql = "SELECT number, statement, signature FROM audit_checkpoint WHERE number = $1";
    let row = pool.fetch_optional(sql, params![number]).await?;
    row.as_ref().map(store::checkpoint).transpose()
}

/// Records of a writer with numbers above `after`, up to `until`, at most `limit`.
pub(crate) async fn records(
    pool: &Pool,
    writer: &str,
    after: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<Record>, AuditError> {
    let sql = "SELECT * FROM audit_record WHERE writer = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4";
    let rows = pool.fetch_all(sql, params![writer, after, until, limit]).await?;
    rows.iter().map(store::record).collect()
}
