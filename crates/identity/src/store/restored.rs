//! What a restored database is told: nothing that was handed out before is good any more.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Transaction, params};

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
