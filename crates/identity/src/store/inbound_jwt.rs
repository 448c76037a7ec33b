//! People's own tokens that are too long to travel inside a workload access token (design D7), sealed.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, params};

/// Keeps one until `expires_at`.
pub(crate) async fn insert(
    pool: &Pool,
    account: &str,
    id: &str,
    sealed: &[u8],
    expires_at: Timestamp,
) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO inbound_jwt (id, account, jwt, expires_at) VALUES ($1, $2, $3, $4)",
        params![id, account, sealed, expires_at.as_micros()],
    )
    .await?;
    Ok(())
}

/// The sealed token; `None` once it has expired.
pub(crate) async fn find(
    pool: &Pool,
    account: &str,
    id: &str,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, DbError> {
    pool.fetch_optional(
        "SELECT jwt FROM inbound_jwt WHERE id = $1 AND account = $2 AND expires_at > $3",
        params![id, account, now.as_micros()],
    )
    .await?
    .map(|row| row.bytes("jwt"))
    .transpose()
}

/// Deletes what has expired.
pub(crate) async fn purge(pool: &Pool, now: Timestamp) -> Result<u64, DbError> {
    pool.execute(
        "DELETE FROM inbound_jwt WHERE expires_at <= $1",
        params![now.as_micros()],
    )
    .await
}
