//! Principals: who calls the API, and what their policy lets them do.

use countersign_api::Arn;
use countersign_api::admin::TrustPolicy;
use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, Transaction, params};

use crate::policy::{Policy, Tags};

const TABLE: &str = "principal";
/// The kind of its rows in the change feed; the key is the internal id.
pub(crate) const CHANGE: &str = "principal";

/// A stored principal.
#[derive(Debug, Clone)]
pub(crate) struct PrincipalRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    /// `None`: may do nothing.
    pub(crate) policy: Option<StoredPolicy>,
    pub(crate) tags: Tags,
    /// Who may assume it as a role. `None`: it is none.
    pub(crate) trust: Option<TrustPolicy>,
    pub(crate) created_at: Timestamp,
}

impl PrincipalRow {
    /// Of a role or of a user.
    pub(crate) fn arn(&self) -> Arn {
        match self.trust {
            Some(_) => Arn::role(&self.account, &self.name),
            None => Arn::principal(&self.account, &self.name),
        }
    }
}

/// A principal's policy.
#[derive(Debug, Clone)]
pub(crate) struct StoredPolicy {
    /// The document as it was given.
    pub(crate) document: serde_json::Value,
    /// What it means.
    pub(crate) policy: Policy,
    /// Whether it may join what design D6 keeps apart.
    pub(crate) break_glass: bool,
    pub(crate) updated_at: Timestamp,
}

pub(crate) async fn find(pool: &Pool, account: &str, name: &str) -> Result<Option<PrincipalRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM principal WHERE account = $1 AND name = $2",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// By internal id, whatever the account: for the caller that an access key leads to.
pub(crate) async fn find_by_id(pool: &Pool, id: &str) -> Result<Option<PrincipalRow>, DbError> {
    pool.fetch_optional("SELECT * FROM principal WHERE id = $1", params![id])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// Up to `limit` principals with names after `after`.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<PrincipalRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM principal WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3",
            params![account, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Stores a principal without a policy; `false` when the name is taken.
pub(crate) async fn insert(tx: &mut Transaction, new: &PrincipalRow) -> Result<bool, DbError> {
    let inserted = tx
        .execute(
            "INSERT INTO principal (id, account, name, break_glass, tags, trust, created_at) \
             VALUES ($1, $2, $3, 0, $4, $5, $6) ON CONFLICT (account, name) DO NOTHING",
            params![
                new.id.as_str(),
                new.account.as_str(),
                new.name.as_str(),
                json_text(&new.tags),
                new.trust.as_ref().map(json_text),
                new.created_at.as_micros()
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Replaces the policy, or with `None` removes it; `false` when there is no such principal.
pub(crate) async fn put_policy(
    tx: &mut Transaction,
    id: &str,
    document: Option<&serde_json::Value>,
    break_glass: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    let updated = tx
        .execute(
            "UPDATE principal SET policy = $2, break_glass = $3, policy_updated_at = $4 WHERE id = $1",
            params![
                id,
                document.map(ToString::to_string),
                break_glass,
                now.as_micros()
            ],
        )
        .await?;
    Ok(updated == 1)
}

/// Replaces tags, trust or both, whatever is given, and nothing else: another's change of the other member stays. Gives the
/// principal as it stands then; `None` when there is none.
pub(crate) async fn update(
    tx: &mut Transaction,
    id: &str,
    tags: Option<&Tags>,
    trust: Option<&TrustPolicy>,
) -> Result<Option<PrincipalRow>, DbError> {
    let row = tx
        .fetch_optional(
            "UPDATE principal SET tags = COALESCE($2, tags), trust = COALESCE($3, trust) WHERE id = $1 RETURNING *",
            params![id, tags.map(json_text), trust.map(json_text)],
        )
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Nobody may assume it any more.
pub(crate) async fn withdraw_trust(tx: &mut Transaction, id: &str) -> Result<(), DbError> {
    tx.execute("UPDATE principal SET trust = NULL WHERE id = $1", params![id])
        .await
        .map(drop)
}

/// Removes the principal and its access keys.
pub(crate) async fn delete(tx: &mut Transaction, id: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM access_key WHERE principal_id = $1", params![id])
        .await?;
    tx.execute("DELETE FROM principal WHERE id = $1", params![id])
        .await
        .map(drop)
}

fn read(row: &Row) -> Result<PrincipalRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    let policy = match (row.opt_text("policy")?, row.opt_int("policy_updated_at")?) {
        (Some(text), Some(updated_at)) => {
            let document: serde_json::Value =
                serde_json::from_str(&text).map_err(|_| inconsistent("policy"))?;
            Some(StoredPolicy {
                policy: Policy::parse(&document).map_err(|_| inconsistent("policy"))?,
                document,
                break_glass: row.int("break_glass")? == 1,
                updated_at: Timestamp::from_micros(updated_at),
            })
        }
        _ => None,
    };
    let tags = serde_json::from_str(&row.text("tags")?).map_err(|_| inconsistent("tags"))?;
    let trust = row
        .opt_text("trust")?
        .map(|text| serde_json::from_str(&text))
        .transpose();
    Ok(PrincipalRow {
        tags,
        trust: trust.map_err(|_| inconsistent("trust"))?,
        account: row.text("account")?,
        name: row.text("name")?,
        policy,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        id,
    })
}

/// Maps of texts and structs of ours always are JSON.
fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
