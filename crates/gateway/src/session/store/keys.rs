//! The gateway's own keys.

use countersign_crypto::{KeyPurpose, KeyRow, KeyState, Timestamp};
use countersign_db::{DbError, Row, Value, params, record_change};

use super::{Store, inconsistent};

/// The kind under which the change feed reports keys.
pub(crate) const KEY_CHANGED: &str = "gateway-key";

/// Adds a key, unless there is one of this purpose and version.
const INSERT: &str =
    "INSERT INTO key (id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (account, purpose, version) DO NOTHING";

/// The parameters of [`INSERT`].
fn inserted(row: &KeyRow) -> Vec<Value> {
    params![
        row.id.clone(),
        row.account.clone(),
        row.resource.clone(),
        row.purpose.as_str(),
        row.version,
        row.state.as_str(),
        row.wrapped.clone(),
        row.provider_key_id.clone(),
        row.created_at.as_micros()
    ]
}

impl Store {
    /// The account's keys, oldest first.
    pub(crate) async fn list_keys(&self, account: &str) -> Result<Vec<KeyRow>, DbError> {
        self.pool
            .fetch_all(
                "SELECT id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at
                 FROM key WHERE account = $1 ORDER BY purpose, version",
                params![account],
            )
            .await?
            .iter()
            .map(key_row)
            .collect()
    }

    /// The keys of all accounts.
    pub(crate) async fn list_all_keys(&self) -> Result<Vec<KeyRow>, DbError> {
        self.pool
            .fetch_all(
                "SELECT id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at
                 FROM key ORDER BY account, purpose, version",
                params![],
            )
            .await?
            .iter()
            .map(key_row)
            .collect()
    }

    /// Stores a key as another root key wrapped it, unless another replica was first.
    pub(crate) async fn set_wrapped_key(&self, row: &KeyRow, wrapped_before: &[u8]) -> Result<(), DbError> {
        self.pool
            .execute(
                "UPDATE key SET wrapped = $2, provider_key_id = $3 WHERE id = $1 AND wrapped = $4",
                params![
                    row.id.as_str(),
                    row.wrapped.as_slice(),
                    row.provider_key_id.as_str(),
                    wrapped_before
                ],
            )
            .await
            .map(drop)
    }

    /// Adds a key, unless another replica has added one of this purpose and version.
    pub(crate) async fn insert_key(&self, row: &KeyRow) -> Result<(), DbError> {
        self.pool.execute(INSERT, inserted(row)).await?;
        Ok(())
    }

    /// Adds a key that is not primary yet, and tells all replicas. `false`: another rotation was first.
    pub(crate) async fn publish_key(&self, row: &KeyRow, now: Timestamp) -> Result<bool, DbError> {
        let mut tx = self.pool.begin().await?;
        if tx.execute(INSERT, inserted(row)).await? == 0 {
            return Ok(false);
        }
        record_change(&mut tx, KEY_CHANGED, row.purpose.as_str(), now.as_micros()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Makes `row`, which was published, the primary key of its purpose; the one before it still opens and verifies.
    /// `false`: a newer one is primary already, or this one was retired.
    pub(crate) async fn promote_key(&self, row: &KeyRow, now: Timestamp) -> Result<bool, DbError> {
        let mut tx = self.pool.begin().await?;
        // In this order: at no time are there two. What cannot be done as a whole is not committed.
        let demoted = tx
            .execute(
                "UPDATE key SET state = $4 WHERE account = $1 AND purpose = $2 AND state = $3 AND version < $5",
                params![
                    row.account.clone(),
                    row.purpose.as_str(),
                    KeyState::Primary.as_str(),
                    KeyState::Enabled.as_str(),
                    row.version
                ],
            )
            .await?;
        let promoted = tx
            .execute(
                "UPDATE key SET state = $3 WHERE account = $1 AND id = $2 AND state = $4",
                params![
                    row.account.clone(),
                    row.id.clone(),
                    KeyState::Primary.as_str(),
                    KeyState::Enabled.as_str()
                ],
            )
            .await?;
        if demoted != 1 || promoted != 1 {
            return Ok(false);
        }
        record_change(&mut tx, KEY_CHANGED, row.purpose.as_str(), now.as_micros()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Retires a key that is not primary. `false`: there is none such.
    pub(crate) async fn retire_key(&self, account: &str, id: &str, now: Timestamp) -> Result<bool, DbError> {
        let mut tx = self.pool.begin().await?;
        let retired = tx
            .execute(
                "UPDATE key SET state = $3 WHERE account = $1 AND id = $2 AND state = $4",
                params![
                    account,
                    id,
                    KeyState::Retired.as_str(),
                    KeyState::Enabled.as_str()
                ],
            )
            .await?;
        if retired == 1 {
            record_change(&mut tx, KEY_CHANGED, id, now.as_micros()).await?;
            tx.commit().await?;
        }
        Ok(retired == 1)
    }

    /// The newest version of a purpose; 0 when there is none.
    pub(crate) async fn newest_key_version(
        &self,
        account: &str,
        purpose: KeyPurpose,
    ) -> Result<i64, DbError> {
        let rows = self.list_keys(account).await?;
        let versions = rows
            .iter()
            .filter(|row| row.purpose == purpose)
            .map(|row| row.version);
        Ok(versions.max().unwrap_or(0))
    }
}

fn key_row(row: &Row) -> Result<KeyRow, DbError> {
    let id = row.text("id")?;
    Ok(KeyRow {
        account: row.text("account")?,
        resource: row.text("resource")?,
        purpose: row
            .text("purpose")?
            .parse()
            .map_err(|_| inconsistent("key", "purpose", &id))?,
        version: row.int("version")?,
        state: row
            .text("state")?
            .parse()
            .map_err(|_| inconsistent("key", "state", &id))?,
        wrapped: row.bytes("wrapped")?,
        provider_key_id: row.text("provider_key_id")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        id,
    })
}
