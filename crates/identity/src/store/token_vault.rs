//! The token vault of an account as a whole: when its key last changed, and what goes when its key is lost.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Transaction, params};

/// What wraps the vault's keys has changed.
pub(crate) async fn changed(tx: &mut Transaction, account: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO token_vault (account, changed_at) VALUES ($1, $2) \
         ON CONFLICT (account) DO UPDATE SET changed_at = $2",
        params![account, now.as_micros()],
    )
    .await
    .map(drop)
}

/// When that was last; `None`: never.
pub(crate) async fn last_changed(pool: &Pool, account: &str) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT changed_at FROM token_vault WHERE account = $1";
    let row = pool.fetch_optional(sql, params![account]).await?;
    row.map(|row| row.int("changed_at").map(Timestamp::from_micros))
        .transpose()
}

/// Destroys what only the lost key would open: tokens, and authorization sessions under way. Gives how many grants need
/// consent again. Nothing can be revoked at the vendors any more.
pub(crate) async fn empty(tx: &mut Transaction, account: &str, now: Timestamp) -> Result<usize, DbError> {
    let values = || params![account, now.as_micros()];
    let grants = tx
        .execute(
            "UPDATE oauth2_grant SET state = 'needs_consent', reason = 'key_material_reset', access_token = NULL, \
             refresh_token = NULL, fence = fence + 1, lease_until = NULL, retry_at = NULL, updated_at = $2, \
             ended_at = $2 WHERE account = $1 AND ended_at IS NULL",
            values(),
        )
        .await?;
    // Of ended ones the vendor's account name is left, which does not open either.
    tx.execute(
        "UPDATE oauth2_grant SET account_identity = NULL WHERE account = $1",
        params![account],
    )
    .await?;
    tx.execute(
        "UPDATE authorization_session SET status = 'failed', reason = 'key_material_reset', code = NULL, \
         ended_at = $2 WHERE account = $1 AND ended_at IS NULL",
        values(),
    )
    .await?;
    tx.execute(
        "UPDATE authorization_session SET secrets = $2, code = NULL WHERE account = $1",
        params![account, b"".as_slice()],
    )
    .await?;
    tx.execute(
        "UPDATE revocation SET state = 'failed', reason = 'key_material_reset', access_token = NULL, \
         refresh_token = NULL, updated_at = $2 WHERE account = $1 AND state = 'pending'",
        values(),
    )
    .await?;
    tx.execute("DELETE FROM client_token WHERE account = $1", params![account])
        .await?;
    Ok(usize::try_from(grants).unwrap_or(usize::MAX))
}
