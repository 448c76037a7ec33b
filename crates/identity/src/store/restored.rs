//! What a restored database is told: nothing that was handed out before is good any more.

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Pool, Transaction, params};

use super::user_key;

/// Ends authorization sessions, cached tokens, workload access tokens and browser sessions. The keys that sealed the
/// last two go, and new ones are made at the next start.
pub(crate) async fn end_what_was_handed_out(tx: &mut Transaction, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE authorization_session SET status = 'expired', reason = 'restored', code = NULL, ended_at = $1 \
         WHERE ended_at IS NULL",
        params![now.as_micros()],
    )
    .await?;
    tx.execute("DELETE FROM client_token", params![]).await?;
    tx.execute("DELETE FROM inbound_jwt", params![]).await?;
    tx.execute(
        "DELETE FROM key_version WHERE purpose IN ('workload-access-token', 'session')",
        params![],
    )
    .await?;
    Ok(())
}

/// Makes every grant that can be refreshed prove itself at its next use, one by one: its access token counts as expired.
/// What was being refreshed has an outcome that nobody knows.
pub(crate) async fn distrust_grants(tx: &mut Transaction, now: Timestamp) -> Result<u64, DbError> {
    tx.execute(
        "UPDATE oauth2_grant SET access_expires_at = $1, lease_until = NULL, fence = fence + 1, \
         state = CASE state WHEN 'refreshing' THEN 'outcome_unknown' ELSE state END \
         WHERE ended_at IS NULL AND refresh_token IS NOT NULL",
        params![now.as_micros()],
    )
    .await
}

/// A person of whom something is stored: the user key, and the published user id where it is known.
pub(crate) async fn people(pool: &Pool) -> Result<Vec<(UserKey, Option<String>)>, DbError> {
    let sql = "SELECT user_key, person FROM oauth2_grant \
               UNION SELECT user_key, person FROM authorization_session";
    let rows = pool.fetch_all(sql, params![]).await?;
    let mut people = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(key) = user_key(row.bytes("user_key")?) {
            people.push((key, row.opt_text("person")?));
        }
    }
    Ok(people)
}

/// The live grants of a person at a provider through a workload, by their names.
pub(crate) async fn live_grants(
    pool: &Pool,
    account: &str,
    (workload, provider): (&str, &str),
    user: &UserKey,
) -> Result<Vec<String>, DbError> {
    let sql = "SELECT id FROM oauth2_grant WHERE account = $1 AND workload_name = $2 AND provider_name = $3 \
               AND user_key = $4 AND ended_at IS NULL";
    let rows = pool
        .fetch_all(sql, params![account, workload, provider, user.as_bytes()])
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// Ends a grant whose tokens are known to be spent or withdrawn: nothing is sent to the vendor with them. `generation`:
/// only if its pair is not newer than the one of that number.
pub(crate) async fn lose(
    tx: &mut Transaction,
    id: &str,
    reason: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE oauth2_grant SET state = 'needs_consent', reason = $2, access_token = NULL, refresh_token = NULL, \
             fence = fence + 1, lease_until = NULL, retry_at = NULL, updated_at = $3, ended_at = $3 \
             WHERE id = $1 AND ended_at IS NULL AND generation <= $4",
            params![id, reason, now.as_micros(), generation.unwrap_or(i64::MAX)],
        )
        .await?;
    Ok(changed == 1)
}

/// Makes every access key inactive.
pub(crate) async fn disable_access_keys(tx: &mut Transaction) -> Result<u64, DbError> {
    tx.execute(
        "UPDATE access_key SET status = 'inactive' WHERE status = 'active'",
        params![],
    )
    .await
}

/// Makes one access key active again.
pub(crate) async fn enable_access_key(tx: &mut Transaction, id: &str) -> Result<bool, DbError> {
    let sql = "UPDATE access_key SET status = 'active' WHERE id = $1";
    Ok(tx.execute(sql, params![id]).await? == 1)
}
