//! Tags: a column of the tables whose rows can be tagged, and a table for the directory and the vault, which have
//! no rows of their own.

use std::collections::BTreeMap;

use countersign_db::{DbError, Pool, Transaction, params};

use super::{api_key_provider, oauth2_provider, workload_identity};

/// The kind of the directory's and the vault's tags in the change feed; the key is account and resource.
pub(crate) const CHANGE: &str = "resource_tag";

/// What can be tagged in an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Taggable {
    /// The workload identity directory.
    Directory,
    /// The token vault.
    TokenVault,
    /// A workload identity, by name.
    WorkloadIdentity(String),
    /// An OAuth2 credential provider, by name.
    Oauth2Provider(String),
    /// An API-key credential provider, by name.
    ApiKeyProvider(String),
}

/// The tags of something that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tagged {
    /// Under which a change of it is announced.
    pub(crate) change: (&'static str, String),
    pub(crate) tags: BTreeMap<String, String>,
    /// As it is stored, to replace that and nothing newer.
    stored: Option<String>,
}

impl Taggable {
    /// The kind and the select of a table with rows.
    fn row(&self) -> Option<(&'static str, &'static str, &'static str, &str)> {
        Some(match self {
            Self::Directory | Self::TokenVault => return None,
            Self::WorkloadIdentity(name) => (
                workload_identity::CHANGE,
                "SELECT id, tags FROM workload_identity WHERE account = $1 AND name = $2",
                "UPDATE workload_identity SET tags = $3 WHERE account = $1 AND id = $2 AND tags = $4",
                name,
            ),
            Self::Oauth2Provider(name) => (
                oauth2_provider::CHANGE,
                "SELECT id, tags FROM oauth2_provider WHERE account = $1 AND name = $2",
                "UPDATE oauth2_provider SET tags = $3 WHERE account = $1 AND id = $2 AND tags = $4",
                name,
            ),
            Self::ApiKeyProvider(name) => (
                api_key_provider::CHANGE,
                "SELECT id, tags FROM api_key_provider WHERE account = $1 AND name = $2",
                "UPDATE api_key_provider SET tags = $3 WHERE account = $1 AND id = $2 AND tags = $4",
                name,
            ),
        })
    }

    /// The key in `resource_tag` of what has no row.
    fn resource(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            _ => "token_vault",
        }
    }
}

/// The tags of `subject`; `None` where there is no such thing. The directory and the vault always are.
pub(crate) async fn find(pool: &Pool, account: &str, subject: &Taggable) -> Result<Option<Tagged>, DbError> {
    let Some((kind, select, _, name)) = subject.row() else {
        let select = "SELECT tags FROM resource_tag WHERE account = $1 AND resource = $2";
        let row = pool
            .fetch_optional(select, params![account, subject.resource()])
            .await?;
        let stored = row.map(|row| row.text("tags")).transpose()?;
        let key = format!("{account}/{}", subject.resource());
        return Ok(Some(tagged((CHANGE, key), stored)?));
    };
    let row = pool.fetch_optional(select, params![account, name]).await?;
    row.map(|row| tagged((kind, row.text("id")?), Some(row.text("tags")?)))
        .transpose()
}

fn tagged(change: (&'static str, String), stored: Option<String>) -> Result<Tagged, DbError> {
    let tags = stored
        .as_deref()
        .map_or(Ok(BTreeMap::new()), serde_json::from_str);
    let tags = tags.map_err(|_| DbError::Inconsistent {
        table: change.0,
        column: "tags",
        id: change.1.clone(),
    })?;
    Ok(Tagged { change, tags, stored })
}

/// Replaces the tags that `found` has; `false` when somebody else did meanwhile.
pub(crate) async fn replace(
    tx: &mut Transaction,
    account: &str,
    subject: &Taggable,
    found: &Tagged,
    tags: &BTreeMap<String, String>,
) -> Result<bool, DbError> {
    let new = serde_json::json!(tags).to_string();
    let replaced = match (subject.row(), &found.stored) {
        (Some((_, _, update, _)), Some(old)) => {
            let id = found.change.1.as_str();
            tx.execute(update, params![account, id, new, old.as_str()])
                .await?
        }
        (None, Some(old)) => {
            let update =
                "UPDATE resource_tag SET tags = $3 WHERE account = $1 AND resource = $2 AND tags = $4";
            tx.execute(update, params![account, subject.resource(), new, old.as_str()])
                .await?
        }
        (_, None) => {
            let insert = "INSERT INTO resource_tag (account, resource, tags) VALUES ($1, $2, $3) \
                          ON CONFLICT (account, resource) DO NOTHING";
            tx.execute(insert, params![account, subject.resource(), new])
                .await?
        }
    };
    Ok(replaced == 1)
}
