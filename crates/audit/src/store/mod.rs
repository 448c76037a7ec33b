//! The only SQL of the audit trail, with that of reports.

mod checkpoint;
mod ends;
mod person_key;
mod search;

use std::sync::LazyLock;

use countersign_crypto::Timestamp;
use countersign_db::ColumnType::{Bytes, Int, Text};
use countersign_db::{BulkInsert, ColumnType, DbError, Engine, Pool, Row, Transaction, Value, params};

use crate::AuditError;
use crate::record::{Personal, Record, RecordId, Stored};
pub(crate) use checkpoint::{
    CHECKPOINT_COLUMNS, CheckpointRow, checkpoint, checkpoints_after, insert_checkpoint,
    last_checkpoint_number, scan_checkpoints,
};
pub(crate) use ends::{Ends, by_grant, by_request, by_session};
pub(crate) use person_key::{
    PersonKeyRow, delete_person_key, empty_write_ahead_log, inactive_persons, insert_person_key,
    person_key_by_id, person_key_by_pseudonym,
};
pub(crate) use search::{Access, Position, list, position_beyond};

/// The columns of `audit_record`, in order. There are no others: verification checks it.
pub(crate) const RECORD_COLUMNS: [(&str, ColumnType); 23] = [
    ("writer", Text),
    ("seq", Int),
    ("recorded_at", Int),
    ("role", Text),
    ("account", Text),
    ("region", Text),
    ("action", Text),
    ("outcome", Text),
    ("reason", Text),
    ("principal", Text),
    ("request_id", Text),
    ("trace_id", Text),
    ("source", Text),
    ("sid", Text),
    ("workload", Text),
    ("provider", Text),
    ("session_id", Text),
    ("grant_id", Text),
    ("person", Text),
    ("personal", Bytes),
    ("detail", Text),
    ("previous", Bytes),
    ("hash", Bytes),
];

static RECORDS: LazyLock<BulkInsert> = LazyLock::new(|| BulkInsert::new("audit_record", &RECORD_COLUMNS));

/// Most records of one commit.
pub(crate) const MAX_BATCH: usize = BulkInsert::MAX_ROWS;

/// Writes up to [`MAX_BATCH`] records with one multi-row INSERT and commits it.
pub(crate) async fn insert(
    pool: &Pool,
    records: impl ExactSizeIterator<Item = Record>,
) -> Result<(), DbError> {
    let mut values = Vec::with_capacity(records.len() * RECORD_COLUMNS.len());
    for record in records {
        push_columns(&mut values, record);
    }
    RECORDS.run(pool, values).await
}

fn push_columns(values: &mut Vec<Value>, record: Record) {
    values.extend::<[Value; RECORD_COLUMNS.len()]>([
        record.id.writer.into(),
        record.id.seq.into(),
        record.at.as_micros().into(),
        record.role.into(),
        record.account.into(),
        record.region.into(),
        record.action.into(),
        record.outcome.into(),
        record.reason.into(),
        record.principal.into(),
        record.request_id.into(),
        record.trace_id.into(),
        record.source.into(),
        record.sid.into(),
        record.workload.into(),
        record.provider.into(),
        record.session.into(),
        record.grant.into(),
        record.person.into(),
        record.stored.personal.into(),
        record.stored.detail.into(),
        record.previous.into(),
        record.hash.into(),
    ]);
}

/// A record from its row.
pub(crate) fn record(row: &Row) -> Result<Record, AuditError> {
    let id = record_id(row)?;
    let place = |error: DbError| AuditError::Inconsistent {
        place: format!("audit_record {id}"),
        what: error.to_string(),
    };
    let parse = || -> Result<Record, DbError> {
        let personal = row.opt_bytes("personal")?;
        let detail = row.text("detail")?;
        Ok(Record {
            id: id.clone(),
            at: Timestamp::from_micros(row.int("recorded_at")?),
            role: row.text("role")?,
            account: row.text("account")?,
            region: row.text("region")?,
            action: row.text("action")?,
            outcome: row.text("outcome")?,
            reason: row.opt_text("reason")?,
            principal: row.opt_text("principal")?,
            request_id: row.opt_text("request_id")?,
            trace_id: row.opt_text("trace_id")?,
            source: row.opt_text("source")?,
            sid: row.opt_text("sid")?,
            workload: row.opt_text("workload")?,
            provider: row.opt_text("provider")?,
            session: row.opt_text("session_id")?,
            grant: row.opt_text("grant_id")?,
            person: row.opt_text("person")?,
            personal: if personal.is_some() {
                Personal::Sealed
            } else {
                Personal::None
            },
            // Text that is no JSON was not written by us; it is shown as it stands, and fails verification.
            detail: serde_json::from_str(&detail).unwrap_or_else(|_| detail.clone().into()),
            stored: Stored { personal, detail },
            previous: hash(row, "previous")?,
            hash: hash(row, "hash")?,
        })
    };
    parse().map_err(place)
}

pub(crate) fn record_id(row: &Row) -> Result<RecordId, AuditError> {
    Ok(RecordId {
        writer: row.text("writer")?,
        seq: row.int("seq")?,
    })
}

pub(crate) fn hash(row: &Row, column: &'static str) -> Result<[u8; 32], DbError> {
    let bytes = row.bytes(column)?;
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| DbError::Column {
        column,
        reason: format!("{} bytes instead of 32", bytes.len()),
    })
}

fn records(rows: &[Row]) -> Result<Vec<Record>, AuditError> {
    rows.iter().map(record).collect()
}

/// A writer and its last record's number and hash.
pub(crate) struct Tip {
    pub(crate) writer: String,
    pub(crate) seq: i64,
    pub(crate) hash: [u8; 32],
}

/// The last record of each writer: one index probe a writer, however many records there are.
pub(crate) async fn tips(pool: &Pool) -> Result<Vec<Tip>, AuditError> {
    let rows = pool
        .fetch_all(
            "SELECT t.writer, t.seq, r.hash FROM ( \
                 WITH RECURSIVE w(writer) AS ( \
                     SELECT min(writer) FROM audit_record \
                     UNION ALL \
                     SELECT (SELECT min(writer) FROM audit_record WHERE writer > w.writer) \
                     FROM w WHERE w.writer IS NOT NULL \
                 ) \
                 SELECT w.writer, (SELECT max(seq) FROM audit_record WHERE writer = w.writer) AS seq \
                 FROM w WHERE w.writer IS NOT NULL \
             ) t JOIN audit_record r ON r.writer = t.writer AND r.seq = t.seq",
            params![],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Tip {
                writer: row.text("writer")?,
                seq: row.int("seq")?,
                hash: hash(row, "hash")?,
            })
        })
        .collect()
}

/// Up to `limit` record hashes of a writer, after number `after`.
pub(crate) async fn hashes(
    pool: &Pool,
    writer: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, [u8; 32])>, AuditError> {
    let rows = pool
        .fetch_all(
            "SELECT seq, hash FROM audit_record WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            params![writer, after, limit],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.int("seq")?, hash(row, "hash")?)))
        .collect()
}

/// A page of records in chain order, for verification: nothing is left out and nothing is parsed.
pub(crate) async fn scan(tx: &mut Transaction, after: &RecordId) -> Result<Vec<Row>, DbError> {
    tx.fetch_all(
        "SELECT * FROM audit_record WHERE (writer, seq) > ($1, $2) ORDER BY writer, seq LIMIT 1000",
        params![&after.writer, after.seq],
    )
    .await
}

/// The first record of every chain.
pub(crate) async fn first_records(tx: &mut Transaction, after: &str) -> Result<Vec<Row>, DbError> {
    tx.fetch_all(
        "SELECT * FROM audit_record WHERE seq = 1 AND writer > $1 ORDER BY writer LIMIT 1000",
        params![after],
    )
    .await
}

/// What `SQLite` itself finds wrong with a table's pages and indexes; empty on PostgreSQL.
pub(crate) async fn page_faults(tx: &mut Transaction) -> Result<Vec<(&'static str, String)>, DbError> {
    let mut faults = Vec::new();
    if tx.engine() == Engine::Postgres {
        return Ok(faults);
    }
    for (table, sql) in [
        ("audit_record", "PRAGMA integrity_check(audit_record)"),
        ("audit_checkpoint", "PRAGMA integrity_check(audit_checkpoint)"),
    ] {
        for row in tx.fetch_all(sql, params![]).await? {
            let found = row.text("integrity_check")?;
            if found != "ok" {
                faults.push((table, found));
            }
        }
    }
    Ok(faults)
}

/// One record.
pub(crate) async fn by_id(pool: &Pool, id: &RecordId) -> Result<Option<Record>, AuditError> {
    let row = pool
        .fetch_optional(
            "SELECT * FROM audit_record WHERE writer = $1 AND seq = $2",
            params![&id.writer, id.seq],
        )
        .await?;
    row.as_ref().map(record).transpose()
}

/// The newest records of an action on a grant, newest first.
pub(crate) async fn newest_by_grant(
    pool: &Pool,
    grant: &str,
    action: &str,
    limit: i64,
) -> Result<Vec<Record>, AuditError> {
    let sql = "SELECT * FROM audit_record WHERE grant_id = $1 AND action = $2 AND outcome = 'done' \
               ORDER BY recorded_at DESC, writer DESC, seq DESC LIMIT $3";
    records(&pool.fetch_all(sql, params![grant, action, limit]).await?)
}

/// The login that began a session of the gateway.
pub(crate) async fn login(pool: &Pool, sid: &str) -> Result<Option<Record>, AuditError> {
    let sql = "SELECT * FROM audit_record WHERE sid = $1 AND action = 'Login' AND outcome = 'done' \
               ORDER BY recorded_at, writer, seq LIMIT 1";
    pool.fetch_optional(sql, params![sid])
        .await?
        .as_ref()
        .map(record)
        .transpose()
}

/// The workload access token that a request of `workload` under `sid` must have used: the last one before.
pub(crate) async fn workload_access_token(
    pool: &Pool,
    sid: &str,
    workload: &str,
    before: Timestamp,
) -> Result<Option<Record>, AuditError> {
    let sql = "SELECT * FROM audit_record WHERE sid = $1 AND workload = $2 AND recorded_at <= $3 \
               AND outcome = 'done' AND action IN \
               ('GetWorkloadAccessToken', 'GetWorkloadAccessTokenForJWT', 'GetWorkloadAccessTokenForUserId') \
               ORDER BY recorded_at DESC, writer DESC, seq DESC LIMIT 1";
    let params = params![sid, workload, before.as_micros()];
    pool.fetch_optional(sql, params)
        .await?
        .as_ref()
        .map(record)
        .transpose()
}

/// When the first record of a writer after number `seq` was made.
pub(crate) async fn next_recorded_at(pool: &Pool, writer: &str, seq: i64) -> Result<Option<i64>, DbError> {
    let sql = "SELECT recorded_at FROM audit_record WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT 1";
    let row = pool.fetch_optional(sql, params![writer, seq]).await?;
    row.map(|row| row.int("recorded_at")).transpose()
}
