//! Workload identities.

use std::collections::BTreeMap;

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, Transaction, params};

use super::json_list;

const TABLE: &str = "workload_identity";
/// The kind of its rows in the change feed; the key is the internal id.
pub(crate) const CHANGE: &str = "workload_identity";

/// What comes back to the return URL as `session_id` (design D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReturnHandle {
    /// A completion handle made at the callback.
    Fresh,
    /// The session URI, as the original does: open to whoever started the session.
    SessionUri,
}

impl ReturnHandle {
    /// Its stored spelling.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::SessionUri => "session-uri",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Fresh, Self::SessionUri]
            .into_iter()
            .find(|handle| handle.as_str() == text)
    }
}

/// A stored workload identity.
#[derive(Debug, Clone)]
pub(crate) struct WorkloadIdentityRow {
    /// Internal; a workload deleted and made again has another.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    /// Exact texts.
    pub(crate) allowed_return_urls: Vec<String>,
    pub(crate) return_handle: ReturnHandle,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

pub(crate) async fn find(
    pool: &Pool,
    account: &str,
    name: &str,
) -> Result<Option<WorkloadIdentityRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM workload_identity WHERE account = $1 AND name = $2",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

pub(crate) async fn find_by_id(
    pool: &Pool,
    account: &str,
    id: &str,
) -> Result<Option<WorkloadIdentityRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM workload_identity WHERE account = $1 AND id = $2",
        params![account, id],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Up to `limit` workload identities with names after `after`.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<WorkloadIdentityRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM workload_identity WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3",
            params![account, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many an account has.
pub(crate) async fn count(tx: &mut Transaction, account: &str) -> Result<i64, DbError> {
    let row = tx
        .fetch_optional(
            "SELECT COUNT(*) AS workloads FROM workload_identity WHERE account = $1",
            params![account],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int("workloads"))
}

/// Stores one; `false` when the name is taken.
pub(crate) async fn insert(tx: &mut Transaction, new: &WorkloadIdentityRow) -> Result<bool, DbError> {
    let inserted = tx
        .execute(
            "INSERT INTO workload_identity (id, account, name, allowed_return_urls, return_handle, tags, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (account, name) DO NOTHING",
            params![
                new.id.as_str(),
                new.account.as_str(),
                new.name.as_str(),
                serde_json::json!(new.allowed_return_urls).to_string(),
                new.return_handle.as_str(),
                serde_json::json!(new.tags).to_string(),
                new.created_at.as_micros(),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Replaces the return URLs; gives the new row, or `None` when there is none of this name.
pub(crate) async fn update_return_urls(
    tx: &mut Transaction,
    account: &str,
    name: &str,
    allowed_return_urls: &[String],
    now: Timestamp,
) -> Result<Option<WorkloadIdentityRow>, DbError> {
    tx.fetch_optional(
        "UPDATE workload_identity SET allowed_return_urls = $3, updated_at = $4 \
         WHERE account = $1 AND name = $2 RETURNING *",
        params![
            account,
            name,
            serde_json::json!(allowed_return_urls).to_string(),
            now.as_micros()
        ],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Chooses what comes back to the return URL; gives the new row, or `None` when there is none of this name.
pub(crate) async fn update_return_handle(
    tx: &mut Transaction,
    account: &str,
    name: &str,
    return_handle: ReturnHandle,
    now: Timestamp,
) -> Result<Option<WorkloadIdentityRow>, DbError> {
    tx.fetch_optional(
        "UPDATE workload_identity SET return_handle = $3, updated_at = $4 \
         WHERE account = $1 AND name = $2 RETURNING *",
        params![account, name, return_handle.as_str(), now.as_micros()],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Removes one; gives what it was.
pub(crate) async fn delete(
    tx: &mut Transaction,
    account: &str,
    name: &str,
) -> Result<Option<WorkloadIdentityRow>, DbError> {
    tx.fetch_optional(
        "DELETE FROM workload_identity WHERE account = $1 AND name = $2 RETURNING *",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

fn read(row: &Row) -> Result<WorkloadIdentityRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    let urls = row.text("allowed_return_urls")?;
    Ok(WorkloadIdentityRow {
        account: row.text("account")?,
        name: row.text("name")?,
        allowed_return_urls: json_list(&urls).ok_or_else(|| inconsistent("allowed_return_urls"))?,
        return_handle: ReturnHandle::parse(&row.text("return_handle")?)
            .ok_or_else(|| inconsistent("return_handle"))?,
        tags: serde_json::from_str(&row.text("tags")?).map_err(|_| inconsistent("tags"))?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        updated_at: Timestamp::from_micros(row.int("updated_at")?),
        id,
    })
}
