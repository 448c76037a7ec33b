//! API-key credential providers. The key is sealed under the account's credential key.

use std::collections::BTreeMap;

use countersign_api::control::SecretReference;
use countersign_crypto::{Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, Timestamp};
use countersign_db::{DbError, Pool, Row, Transaction, params};

use crate::keys::AccountKeys;

const TABLE: &str = "api_key_provider";
/// The kind of its rows in the change feed; the key is the internal id.
pub(crate) const CHANGE: &str = "api_key_provider";

/// A stored provider.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeyProviderRow {
    /// Internal; a provider deleted and made again has another.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) key: StoredApiKey,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Where the key is.
#[derive(Debug, Clone)]
pub(crate) enum StoredApiKey {
    /// Here, sealed; [`ApiKeyProviderRow::open`].
    Sealed(Vec<u8>),
    /// In the customer's Secrets Manager.
    External(SecretReference),
}

impl StoredApiKey {
    /// Seals `key` for the provider `id` of `account`.
    pub(crate) fn seal(
        keyring: &Keyring,
        random: &dyn Random,
        account: &str,
        id: &str,
        key: &SecretString,
    ) -> Self {
        let place = Aad::new(account, TABLE, id, "api_key");
        Self::Sealed(
            keyring
                .seal(random, &place, key.expose_secret().as_bytes())
                .into_bytes(),
        )
    }

    fn columns(&self) -> (Option<&[u8]>, Option<String>) {
        match self {
            Self::Sealed(sealed) => (Some(sealed), None),
            Self::External(reference) => (None, Some(serde_json::json!(reference).to_string())),
        }
    }
}

impl ApiKeyProviderRow {
    /// Opens a key that was sealed for this provider.
    pub(crate) fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretString, OpenError> {
        let place = Aad::new(&self.account, TABLE, &self.id, "api_key");
        let plaintext = keys.open_provider_secret(&place, sealed)?;
        let text = std::str::from_utf8(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)?;
        Ok(text.to_owned().into())
    }
}

pub(crate) async fn find(
    pool: &Pool,
    account: &str,
    name: &str,
) -> Result<Option<ApiKeyProviderRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM api_key_provider WHERE account = $1 AND name = $2",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Up to `limit` providers with names after `after`.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ApiKeyProviderRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM api_key_provider WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3",
            params![account, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many an account has.
pub(crate) async fn count(tx: &mut Transaction, account: &str) -> Result<i64, DbError> {
    let row = tx
        .fetch_optional(
            "SELECT COUNT(*) AS providers FROM api_key_provider WHERE account = $1",
            params![account],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int("providers"))
}

/// Stores one; `false` when the name is taken.
pub(crate) async fn insert(tx: &mut Transaction, new: &ApiKeyProviderRow) -> Result<bool, DbError> {
    let (sealed, external) = new.key.columns();
    let inserted = tx
        .execute(
            "INSERT INTO api_key_provider (id, account, name, api_key, external, tags, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (account, name) DO NOTHING",
            params![
                new.id.as_str(),
                new.account.as_str(),
                new.name.as_str(),
                sealed,
                external,
                serde_json::json!(new.tags).to_string(),
                new.created_at.as_micros(),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Replaces the key; gives the new row, or `None` when it is gone.
pub(crate) async fn update(
    tx: &mut Transaction,
    account: &str,
    id: &str,
    key: &StoredApiKey,
    now: Timestamp,
) -> Result<Option<ApiKeyProviderRow>, DbError> {
    let (sealed, external) = key.columns();
    tx.fetch_optional(
        "UPDATE api_key_provider SET api_key = $3, external = $4, updated_at = $5 \
         WHERE account = $1 AND id = $2 RETURNING *",
        params![account, id, sealed, external, now.as_micros()],
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
) -> Result<Option<ApiKeyProviderRow>, DbError> {
    tx.fetch_optional(
        "DELETE FROM api_key_provider WHERE account = $1 AND name = $2 RETURNING *",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

fn read(row: &Row) -> Result<ApiKeyProviderRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    let key = match (row.opt_bytes("api_key")?, row.opt_text("external")?) {
        (Some(sealed), None) => StoredApiKey::Sealed(sealed),
        (None, Some(reference)) => {
            StoredApiKey::External(serde_json::from_str(&reference).map_err(|_| inconsistent("external"))?)
        }
        _ => return Err(inconsistent("api_key")),
    };
    Ok(ApiKeyProviderRow {
        account: row.text("account")?,
        name: row.text("name")?,
        key,
        tags: serde_json::from_str(&row.text("tags")?).map_err(|_| inconsistent("tags"))?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        updated_at: Timestamp::from_micros(row.int("updated_at")?),
        id,
    })
}
