//! Accounts. Their settings are the operator's and stand in the configuration; a row is what the other tables
//! refer to.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, params};

/// Makes the account unless it exists.
pub(crate) async fn ensure(pool: &Pool, id: &str, now: Timestamp) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO account (id, created_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        params![id, now.as_micros()],
    )
    .await
    .map(drop)
}

/// The ids of all accounts, those too that are not configured any more.
pub(crate) async fn list(pool: &Pool) -> Result<Vec<String>, DbError> {
    let rows = pool
        .fetch_all("SELECT id FROM account ORDER BY id", params![])
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}
