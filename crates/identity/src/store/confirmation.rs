//! What waits for a person's second word (design D12): a session in `confirming`, and its grant in `unconfirmed`, which
//! nothing serves. Both move in one transaction, so that a crash leaves them where they were.

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Pool, Transaction, params};

use super::authorization_session::SessionRow;
use super::grant::{self, GrantRow};
use crate::session::Status;

/// Takes the locks of a person's sessions at a provider through a workload that are about to change the connection: of
/// two that do so at this moment the second waits, and sees what the first has done.
pub(crate) async fn lock_connection(tx: &mut Transaction, session: &SessionRow) -> Result<(), DbError> {
    tx.execute(
        "UPDATE authorization_session SET slot = slot WHERE workload_id = $1 AND user_key = $2 AND provider_id = $3 \
         AND ended_at IS NULL AND status IN ('exchanging', 'confirming')",
        params![
            session.workload_id.as_str(),
            session.user_key.as_bytes(),
            session.provider_id.as_str()
        ],
    )
    .await?;
    Ok(())
}

/// exchanging → confirming, in the transaction that stores the grant.
pub(crate) async fn begin(
    tx: &mut Transaction,
    session_id: &str,
    grant_id: &str,
    deadline: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE authorization_session SET status = 'confirming', grant_id = $2, deadline = $3 \
             WHERE id = $1 AND status = 'exchanging'",
            params![session_id, grant_id, deadline.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// confirming → completed, in the transaction that makes the grant active.
pub(crate) async fn complete(
    tx: &mut Transaction,
    session_id: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE authorization_session SET status = 'completed', ended_at = $2 \
             WHERE id = $1 AND status = 'confirming' AND deadline > $2",
            params![session_id, now.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// unconfirmed → active; the live grant of the same vault key and scope set is replaced. False when it no longer waits.
pub(crate) async fn activate(
    tx: &mut Transaction,
    waiting: &GrantRow,
    now: Timestamp,
) -> Result<bool, DbError> {
    if !hold(tx, &waiting.id).await? {
        return Ok(false);
    }
    grant::replace(tx, waiting, now).await?;
    tx.execute(
        "UPDATE oauth2_grant SET state = 'active', updated_at = $2 WHERE id = $1 AND state = 'unconfirmed'",
        params![waiting.id.as_str(), now.as_micros()],
    )
    .await?;
    grant::record_changed(tx, &waiting.vault_key, now).await?;
    Ok(true)
}

/// Whether a grant still waits; holds its row until `tx` ends, so that one answer to it is the only one.
pub(crate) async fn hold(tx: &mut Transaction, grant_id: &str) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE oauth2_grant SET fence = fence WHERE id = $1 AND state = 'unconfirmed' AND ended_at IS NULL",
            params![grant_id],
        )
        .await?;
    Ok(changed == 1)
}

/// confirming → a terminal status without a grant, in the transaction that ends the grant.
pub(crate) async fn end(
    tx: &mut Transaction,
    session_id: &str,
    status: Status,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE authorization_session SET status = $2, reason = $3, ended_at = $4 \
             WHERE id = $1 AND status = 'confirming'",
            params![session_id, status.as_str(), reason, now.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// Ends every session of a workload identity that goes away, in the transaction that ends its grants, and before it looks
/// for them: an exchange that has stored one is waited for here, one that has not finds its session ended and gives the
/// tokens back.
pub(crate) async fn end_of_workload(
    tx: &mut Transaction,
    workload_id: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE authorization_session SET status = 'failed', reason = 'grant_ended', code = NULL, ended_at = $2 \
         WHERE workload_id = $1 AND ended_at IS NULL",
        params![workload_id, now.as_micros()],
    )
    .await?;
    Ok(())
}

/// As [`end_of_workload`], of a provider.
pub(crate) async fn end_of_provider(
    tx: &mut Transaction,
    provider_id: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE authorization_session SET status = 'failed', reason = 'grant_ended', code = NULL, ended_at = $2 \
         WHERE provider_id = $1 AND ended_at IS NULL",
        params![provider_id, now.as_micros()],
    )
    .await?;
    Ok(())
}

/// Ends the other sessions that wait for a word about the connection of `session`, which changes now: what their pages
/// say is no longer so. Gives the ids of their grants.
pub(crate) async fn supersede(
    tx: &mut Transaction,
    session: &SessionRow,
    now: Timestamp,
) -> Result<Vec<String>, DbError> {
    let rows = tx
        .fetch_all(
            "UPDATE authorization_session SET status = 'superseded', reason = 'newer_consent', ended_at = $5 \
             WHERE workload_id = $1 AND user_key = $2 AND provider_id = $3 AND ended_at IS NULL \
             AND status = 'confirming' AND id <> $4 RETURNING grant_id",
            params![
                session.workload_id.as_str(),
                session.user_key.as_bytes(),
                session.provider_id.as_str(),
                session.id.as_str(),
                now.as_micros()
            ],
        )
        .await?;
    rows.iter().map(|row| row.text("grant_id")).collect()
}

/// Every live grant of a person at a provider, through whatever workload, in the order of their ids; those that wait,
/// too.
pub(crate) async fn list_of_user(
    pool: &Pool,
    provider_id: &str,
    user: &UserKey,
) -> Result<(Vec<GrantRow>, Vec<String>), DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE user_key = $1 AND provider_id = $2 AND ended_at IS NULL \
               ORDER BY id LIMIT 1000";
    let rows = pool.fetch_all(sql, params![user.as_bytes(), provider_id]).await?;
    grant::readable(&rows)
}

/// The ids and states of [`list_of_user`], as `tx` sees them.
pub(crate) async fn standing_of_user(
    tx: &mut Transaction,
    provider_id: &str,
    user: &UserKey,
) -> Result<Vec<(String, bool)>, DbError> {
    let sql = "SELECT id, state FROM oauth2_grant WHERE user_key = $1 AND provider_id = $2 AND ended_at IS NULL \
               ORDER BY id LIMIT 1000";
    let rows = tx.fetch_all(sql, params![user.as_bytes(), provider_id]).await?;
    rows.iter()
        .map(|row| Ok((row.text("id")?, row.text("state")? == "unconfirmed")))
        .collect()
}

/// Grants that have waited since `before` or longer, of every account; and those from further ahead than `future`, which
/// were made before the clock jumped back, nobody knows how long ago.
pub(crate) async fn list_overdue(
    pool: &Pool,
    before: Timestamp,
    future: Timestamp,
    limit: i64,
) -> Result<Vec<GrantRow>, DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE state = 'unconfirmed' AND ended_at IS NULL \
               AND (created_at <= $1 OR created_at > $2) ORDER BY created_at LIMIT $3";
    let rows = pool
        .fetch_all(sql, params![before.as_micros(), future.as_micros(), limit])
        .await?;
    rows.iter().map(grant::read).collect()
}
