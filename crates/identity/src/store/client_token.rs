//! Access tokens of workloads themselves (client credentials), sealed, until they expire.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, params};

use super::json_list;

const TABLE: &str = "client_token";

/// A stored token.
#[derive(Debug, Clone)]
pub(crate) struct ClientTokenRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) workload_id: String,
    pub(crate) provider_id: String,
    /// The version of the provider's registration under which it was got.
    pub(crate) provider_version: i64,
    pub(crate) vault_key: [u8; 32],
    /// The hash of the scopes asked for.
    pub(crate) scope_set: [u8; 32],
    /// What was granted, sorted.
    pub(crate) scopes: Vec<String>,
    /// Sealed.
    pub(crate) access_token: Vec<u8>,
    pub(crate) expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
}

/// The token of a vault key and scope set that is still good at `now` under this version of the provider.
pub(crate) async fn find(
    pool: &Pool,
    vault_key: &[u8; 32],
    scope_set: &[u8; 32],
    provider_version: i64,
    now: Timestamp,
) -> Result<Option<ClientTokenRow>, DbError> {
    let sql = "SELECT * FROM client_token WHERE vault_key = $1 AND scope_set = $2 AND provider_version = $3 \
               AND expires_at > $4";
    let values = params![vault_key, scope_set, provider_version, now.as_micros()];
    pool.fetch_optional(sql, values)
        .await?
        .map(|row| read(&row, *vault_key, *scope_set))
        .transpose()
}

/// Stores a token in the place of an earlier one.
pub(crate) async fn replace(pool: &Pool, new: &ClientTokenRow) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO client_token (id, account, workload_id, provider_id, provider_version, vault_key, scope_set, \
         scopes, access_token, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (vault_key, scope_set) DO UPDATE SET id = excluded.id, \
         provider_version = excluded.provider_version, scopes = excluded.scopes, \
         access_token = excluded.access_token, expires_at = excluded.expires_at, created_at = excluded.created_at",
        params![
            new.id.as_str(),
            new.account.as_str(),
            new.workload_id.as_str(),
            new.provider_id.as_str(),
            new.provider_version,
            new.vault_key,
            new.scope_set,
            serde_json::json!(new.scopes).to_string(),
            new.access_token.as_slice(),
            new.expires_at.as_micros(),
            new.created_at.as_micros(),
        ],
    )
    .await?;
    Ok(())
}

/// Deletes what has expired.
pub(crate) async fn purge(pool: &Pool, now: Timestamp) -> Result<u64, DbError> {
    pool.execute(
        "DELETE FROM client_token WHERE expires_at <= $1",
        params![now.as_micros()],
    )
    .await
}

fn read(row: &Row, vault_key: [u8; 32], scope_set: [u8; 32]) -> Result<ClientTokenRow, DbError> {
    let id = row.text("id")?;
    let scopes = json_list(&row.text("scopes")?).ok_or_else(|| DbError::Inconsistent {
        table: TABLE,
        column: "scopes",
        id: id.clone(),
    })?;
    Ok(ClientTokenRow {
        account: row.text("account")?,
        workload_id: row.text("workload_id")?,
        provider_id: row.text("provider_id")?,
        provider_version: row.int("provider_version")?,
        vault_key,
        scope_set,
        scopes,
        access_token: row.bytes("access_token")?,
        expires_at: Timestamp::from_micros(row.int("expires_at")?),
        created_at: Timestamp::from_micros(row.int("created_at")?),
        id,
    })
}
