//! Access keys of principals. The secret is sealed under the account's credential keyring.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, Transaction, params};

/// The kind of its rows in the change feed; the key is the access key id.
pub(crate) const CHANGE: &str = "access_key";

/// A stored access key.
#[derive(Debug, Clone)]
pub(crate) struct AccessKeyRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) principal_id: String,
    /// Sealed.
    pub(crate) secret: Vec<u8>,
    /// Whether it signs.
    pub(crate) active: bool,
    /// To about a minute.
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
}

const ACTIVE: &str = "active";
const INACTIVE: &str = "inactive";

/// By id, whatever the account: a caller names nothing else.
pub(crate) async fn find(pool: &Pool, id: &str) -> Result<Option<AccessKeyRow>, DbError> {
    pool.fetch_optional("SELECT * FROM access_key WHERE id = $1", params![id])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// Those of a principal, oldest first.
pub(crate) async fn list(pool: &Pool, principal_id: &str) -> Result<Vec<AccessKeyRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM access_key WHERE principal_id = $1 ORDER BY created_at, id",
            params![principal_id],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Stores a key. An id that exists is a [`DbError::Constraint`].
pub(crate) async fn insert(tx: &mut Transaction, new: &AccessKeyRow) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO access_key (id, account, principal_id, secret, status, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            new.id.as_str(),
            new.account.as_str(),
            new.principal_id.as_str(),
            new.secret.as_slice(),
            status(new.active),
            new.created_at.as_micros(),
        ],
    )
    .await
    .map(drop)
}

/// Removes a key of the account; `false` when it has none of this id.
pub(crate) async fn delete(tx: &mut Transaction, account: &str, id: &str) -> Result<bool, DbError> {
    let deleted = tx
        .execute(
            "DELETE FROM access_key WHERE account = $1 AND id = $2",
            params![account, id],
        )
        .await?;
    Ok(deleted == 1)
}

/// Makes a key of the account sign, or not; `false` when it has none of this id.
pub(crate) async fn set_active(
    tx: &mut Transaction,
    account: &str,
    id: &str,
    active: bool,
) -> Result<bool, DbError> {
    let updated = tx
        .execute(
            "UPDATE access_key SET status = $3 WHERE account = $1 AND id = $2",
            params![account, id, status(active)],
        )
        .await?;
    Ok(updated == 1)
}

/// Moves the time of a key's last use forward. Not in the change feed: nothing is decided by it.
pub(crate) async fn set_last_used(pool: &Pool, id: &str, at: Timestamp) -> Result<(), DbError> {
    pool.execute(
        "UPDATE access_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
        params![id, at.as_micros()],
    )
    .await
    .map(drop)
}

const fn status(active: bool) -> &'static str {
    if active { ACTIVE } else { INACTIVE }
}

fn read(row: &Row) -> Result<AccessKeyRow, DbError> {
    Ok(AccessKeyRow {
        id: row.text("id")?,
        account: row.text("account")?,
        principal_id: row.text("principal_id")?,
        secret: row.bytes("secret")?,
        active: row.text("status")? == ACTIVE,
        last_used_at: row.opt_int("last_used_at")?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(row.int("created_at")?),
    })
}
