//! From which network addresses principals have called.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, params};

/// A principal at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrincipalAddressRow {
    pub(crate) principal: String,
    pub(crate) address: String,
    pub(crate) first_seen_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
}

/// Most addresses counted of a principal.
const COUNTED: i64 = 1000;

/// Notes a principal at an address. False when it was known there.
pub(crate) async fn insert(
    pool: &Pool,
    account: &str,
    principal: &str,
    address: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "INSERT INTO principal_address (account, principal, address, first_seen_at, last_seen_at) \
               VALUES ($1, $2, $3, $4, $4) ON CONFLICT (account, principal, address) DO NOTHING";
    let values = params![account, principal, address, now.as_micros()];
    Ok(pool.execute(sql, values).await? == 1)
}

/// At how many addresses a principal is known, counted up to 1,000.
pub(crate) async fn count(pool: &Pool, account: &str, principal: &str) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM principal_address WHERE account = $1 \
               AND principal = $2 LIMIT $3) known";
    let row = pool
        .fetch_optional(sql, params![account, principal, COUNTED])
        .await?;
    row.map_or(Ok(0), |row| row.int("n"))
}

/// Notes that a principal was seen at an address again.
pub(crate) async fn set_last_seen(
    pool: &Pool,
    account: &str,
    principal: &str,
    address: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE principal_address SET last_seen_at = $4 WHERE account = $1 AND principal = $2 AND address = $3 \
               AND last_seen_at < $4";
    let values = params![account, principal, address, at.as_micros()];
    pool.execute(sql, values).await?;
    Ok(())
}

/// Who called last, newest first.
pub(crate) async fn list_recent(
    pool: &Pool,
    account: &str,
    limit: i64,
) -> Result<Vec<PrincipalAddressRow>, DbError> {
    let sql = "SELECT principal, address, first_seen_at, last_seen_at FROM principal_address WHERE account = $1 \
               ORDER BY last_seen_at DESC LIMIT $2";
    let rows = pool.fetch_all(sql, params![account, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(PrincipalAddressRow {
                principal: row.text("principal")?,
                address: row.text("address")?,
                first_seen_at: Timestamp::from_micros(row.int("first_seen_at")?),
                last_seen_at: Timestamp::from_micros(row.int("last_seen_at")?),
            })
        })
        .collect()
}

/// Forgets where nobody was seen since `before`, in every account.
pub(crate) async fn purge(pool: &Pool, before: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM principal_address WHERE last_seen_at < $1";
    pool.execute(sql, params![before.as_micros()]).await
}
