//! Wrapped keys of every purpose (design D24, D27).

use std::str::FromStr as _;

use countersign_crypto::{KeyPurpose, KeyRow, KeyState, Timestamp};
use countersign_db::{DbError, Pool, Row, Transaction, Value, params};

const TABLE: &str = "key_version";
/// The keys of an account (the change's key) are others, or their states.
pub(crate) const CHANGE: &str = "key";

/// All keys of an account and purpose that are not retired, newest first.
pub(crate) async fn list(pool: &Pool, account: &str, purpose: KeyPurpose) -> Result<Vec<KeyRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM key_version WHERE account = $1 AND purpose = $2 AND state <> 'retired' \
             ORDER BY version DESC",
            params![account, purpose.as_str()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The keys of an account that a page shows, retired ones too, after that purpose and version.
pub(crate) async fn list_page(
    pool: &Pool,
    account: &str,
    (purpose, version): (&str, i64),
    limit: i64,
) -> Result<Vec<KeyRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM key_version WHERE account = $1 AND (purpose > $2 OR (purpose = $2 AND version > $3)) \
             ORDER BY purpose, version LIMIT $4",
            params![account, purpose, version, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// A key of an account, whatever its state.
pub(crate) async fn find(pool: &Pool, account: &str, id: &str) -> Result<Option<KeyRow>, DbError> {
    let sql = "SELECT * FROM key_version WHERE account = $1 AND id = $2";
    let row = pool.fetch_optional(sql, params![account, id]).await?;
    row.map(|row| read(&row)).transpose()
}

/// Makes an enabled key the primary one of its account and purpose; the one before opens what it sealed. `false`: it is
/// not enabled, or a newer one is primary; then the transaction must not be committed.
pub(crate) async fn promote(tx: &mut Transaction, key: &KeyRow) -> Result<bool, DbError> {
    // In this order: no more than one primary key may stand at any moment.
    tx.execute(
        "UPDATE key_version SET state = 'enabled' WHERE account = $1 AND purpose = $2 AND state = 'primary' \
         AND version < $3",
        params![key.account.as_str(), key.purpose.as_str(), key.version],
    )
    .await?;
    let promoted = tx
        .execute(
            "UPDATE key_version SET state = 'primary' WHERE id = $1 AND state = 'enabled' AND NOT EXISTS \
             (SELECT 1 FROM key_version other WHERE other.account = $2 AND other.purpose = $3 \
             AND other.state = 'primary')",
            params![key.id.as_str(), key.account.as_str(), key.purpose.as_str()],
        )
        .await?;
    Ok(promoted == 1)
}

/// Retires a key that a newer primary one has replaced. `false`: it is none.
pub(crate) async fn retire(tx: &mut Transaction, key: &KeyRow) -> Result<bool, DbError> {
    let retired = tx
        .execute(
            "UPDATE key_version SET state = 'retired' WHERE id = $1 AND state = 'enabled' AND EXISTS \
             (SELECT 1 FROM key_version other WHERE other.account = $2 AND other.purpose = $3 \
             AND other.state = 'primary' AND other.version > $4)",
            params![
                key.id.as_str(),
                key.account.as_str(),
                key.purpose.as_str(),
                key.version
            ],
        )
        .await?;
    Ok(retired == 1)
}

/// All keys of a purpose, retired ones too, whatever the account: what was once signed stays verifiable.
pub(crate) async fn list_by_purpose(pool: &Pool, purpose: KeyPurpose) -> Result<Vec<KeyRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM key_version WHERE purpose = $1 ORDER BY version DESC",
            params![purpose.as_str()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Stores a key; `false` when another replica was first with this version.
pub(crate) async fn insert(pool: &Pool, key: &KeyRow) -> Result<bool, DbError> {
    let inserted = pool
        .execute(
            "INSERT INTO key_version (id, account, purpose, version, state, resource, wrapped, provider_key_id, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            new_values(key),
        )
        .await?;
    Ok(inserted == 1)
}

fn new_values(key: &KeyRow) -> Vec<Value> {
    params![
        key.id.as_str(),
        key.account.as_str(),
        key.purpose.as_str(),
        key.version,
        key.state.as_str(),
        key.resource.as_str(),
        key.wrapped.as_slice(),
        key.provider_key_id.as_str(),
        key.created_at.as_micros(),
    ]
}

/// All keys of all accounts that the root key `provider_key_id` wrapped, retired ones too.
pub(crate) async fn list_of_root(pool: &Pool, provider_key_id: &str) -> Result<Vec<KeyRow>, DbError> {
    let sql = "SELECT * FROM key_version WHERE provider_key_id = $1 ORDER BY account, purpose, version";
    let rows = pool.fetch_all(sql, params![provider_key_id]).await?;
    rows.iter().map(read).collect()
}

/// All keys of an account and purpose, retired ones too, newest first.
pub(crate) async fn list_all(
    pool: &Pool,
    account: &str,
    purpose: KeyPurpose,
) -> Result<Vec<KeyRow>, DbError> {
    let sql = "SELECT * FROM key_version WHERE account = $1 AND purpose = $2 ORDER BY version DESC";
    let rows = pool.fetch_all(sql, params![account, purpose.as_str()]).await?;
    rows.iter().map(read).collect()
}

/// As [`set_wrapped`], in `tx`; `false` when another replica was first.
pub(crate) async fn rewrapped(
    tx: &mut Transaction,
    key: &KeyRow,
    wrapped_before: &[u8],
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE key_version SET wrapped = $2, provider_key_id = $3 WHERE id = $1 AND wrapped = $4",
            params![
                key.id.as_str(),
                key.wrapped.as_slice(),
                key.provider_key_id.as_str(),
                wrapped_before,
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Puts `key` in the place of all keys of its account and purpose, which are lost. `false`: it has been done.
pub(crate) async fn replace_all(tx: &mut Transaction, key: &KeyRow) -> Result<bool, DbError> {
    tx.execute(
        "UPDATE key_version SET state = 'retired' WHERE account = $1 AND purpose = $2 AND version < $3",
        params![key.account.as_str(), key.purpose.as_str(), key.version],
    )
    .await?;
    let inserted = tx
        .execute(
            "INSERT INTO key_version (id, account, purpose, version, state, resource, wrapped, provider_key_id, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            new_values(key),
        )
        .await?;
    Ok(inserted == 1)
}

/// All keys of all accounts that another root key than `provider_key_id` wrapped, retired ones too.
pub(crate) async fn list_of_other_roots(pool: &Pool, provider_key_id: &str) -> Result<Vec<KeyRow>, DbError> {
    let sql = "SELECT * FROM key_version WHERE provider_key_id <> $1 ORDER BY account, purpose, version";
    let rows = pool.fetch_all(sql, params![provider_key_id]).await?;
    rows.iter().map(read).collect()
}

/// Stores a key as another root key wrapped it, unless another replica was first.
pub(crate) async fn set_wrapped(pool: &Pool, key: &KeyRow, wrapped_before: &[u8]) -> Result<(), DbError> {
    pool.execute(
        "UPDATE key_version SET wrapped = $2, provider_key_id = $3 WHERE id = $1 AND wrapped = $4",
        params![
            key.id.as_str(),
            key.wrapped.as_slice(),
            key.provider_key_id.as_str(),
            wrapped_before,
        ],
    )
    .await
    .map(drop)
}

fn read(row: &Row) -> Result<KeyRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    Ok(KeyRow {
        account: row.text("account")?,
        resource: row.text("resource")?,
        purpose: KeyPurpose::from_str(&row.text("purpose")?).map_err(|_| inconsistent("purpose"))?,
        version: row.int("version")?,
        state: KeyState::from_str(&row.text("state")?).map_err(|_| inconsistent("state"))?,
        wrapped: row.bytes("wrapped")?,
        provider_key_id: row.text("provider_key_id")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        id,
    })
}
