//! The refresh ledger's rows of design D14: the columns of a grant that say who refreshes it, what is known of the last
//! attempt, and when the next may be.
//!
//! Two numbers guard them. The fence grows with every holding of the lease, so that who was asleep past its end decides
//! nothing. The generation grows with every pair of tokens, so that a new pair is stored exactly in the place of the
//! one that was presented for it: also by a holder who lost the lease, since its pair is the only one that lives.

use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, params};

use super::grant::{GrantState, record_changed};

/// No lease and no pause is longer. What ends later was written by a clock that was wrong.
pub(crate) const LONGEST: Duration = Duration::from_mins(10);

/// What a grant's row says about its refreshes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RefreshLedger {
    /// How many pairs of tokens it has had before this one.
    pub(crate) generation: i64,
    /// When the refresh token was first sent, where what came of it is not known.
    pub(crate) presented_at: Option<Timestamp>,
    /// Whether its last refresh gave another refresh token; `None` before the first.
    pub(crate) rotates: Option<bool>,
    /// Attempts that failed since the last that did not.
    pub(crate) failures: i64,
    /// Nobody tries again before.
    pub(crate) retry_at: Option<Timestamp>,
    /// When the access token was got.
    pub(crate) access_issued_at: Option<Timestamp>,
}

/// The tokens of a refresh, sealed.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) access_token: Vec<u8>,
    /// `None`: the vendor sent none, the old one stays (design D14).
    pub(crate) refresh_token: Option<Vec<u8>>,
    pub(crate) access_expires_at: Option<Timestamp>,
    /// Whether there is another refresh token than the one presented.
    pub(crate) rotates: bool,
}

/// How an attempt ended that gave no tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    /// Whether the server may have used the refresh token up.
    pub(crate) outcome_unknown: bool,
    pub(crate) reason: &'static str,
    pub(crate) retry_at: Timestamp,
}

/// Claims the lease of a refresh and writes down the intent to present the refresh token, both in one statement.
/// Answers the fence, or `None` when the grant changed since `seen_fence` was read, or is not to be tried yet.
pub(crate) async fn claim(
    pool: &Pool,
    id: &str,
    seen_fence: i64,
    lease_until: Timestamp,
    now: Timestamp,
) -> Result<Option<i64>, DbError> {
    let row = pool
        .fetch_optional(
            "UPDATE oauth2_grant SET state = 'refreshing', fence = fence + 1, lease_until = $3, \
             presented_at = COALESCE(presented_at, $4), updated_at = $4 \
             WHERE id = $1 AND fence = $2 AND ended_at IS NULL AND state IN ('active', 'outcome_unknown') \
             AND (retry_at IS NULL OR retry_at <= $4 OR retry_at > $5) RETURNING fence",
            params![
                id,
                seen_fence,
                lease_until.as_micros(),
                now.as_micros(),
                now.plus(LONGEST).as_micros()
            ],
        )
        .await?;
    row.map(|row| row.int("fence")).transpose()
}

/// Moves the end of a lease that is still held. False: somebody else may have the grant now.
pub(crate) async fn renew(
    pool: &Pool,
    id: &str,
    fence: i64,
    lease_until: Timestamp,
) -> Result<bool, DbError> {
    let renewed = pool
        .execute(
            "UPDATE oauth2_grant SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'refreshing'",
            params![id, fence, lease_until.as_micros()],
        )
        .await?;
    Ok(renewed == 1)
}

/// Takes the lease from a holder that let it lapse. What became of the refresh token is unknown from here on.
pub(crate) async fn interrupt(
    pool: &Pool,
    id: &str,
    fence: i64,
    retry_at: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let mut tx = pool.begin().await?;
    let changed = tx
        .fetch_optional(
            "UPDATE oauth2_grant SET state = 'outcome_unknown', reason = 'interrupted', fence = fence + 1, \
             failures = failures + 1, lease_until = NULL, retry_at = $3, updated_at = $4 \
             WHERE id = $1 AND fence = $2 AND state = 'refreshing' AND (lease_until <= $4 OR lease_until > $5) \
             RETURNING vault_key",
            params![
                id,
                fence,
                retry_at.as_micros(),
                now.as_micros(),
                now.plus(LONGEST).as_micros()
            ],
        )
        .await?;
    if let Some(row) = &changed {
        record_changed(&mut tx, &row.bytes("vault_key")?, now).await?;
    }
    tx.commit().await?;
    Ok(changed.is_some())
}

/// Stores a new pair in the place of the one of `generation`. False when that one is gone: replaced or ended. True when
/// it was replaced by this very pair, so that who was not told how a commit ended may ask again.
pub(crate) async fn finish(
    pool: &Pool,
    id: &str,
    generation: i64,
    new: &Refreshed,
    now: Timestamp,
) -> Result<bool, DbError> {
    let mut tx = pool.begin().await?;
    let changed = tx
        .fetch_optional(
            "UPDATE oauth2_grant SET state = 'active', reason = NULL, access_token = $3, \
             refresh_token = COALESCE($4, refresh_token), access_expires_at = $5, access_issued_at = $6, \
             generation = generation + 1, presented_at = NULL, rotates = $7, failures = 0, retry_at = NULL, \
             fence = fence + 1, lease_until = NULL, updated_at = $6 \
             WHERE id = $1 AND generation = $2 AND ended_at IS NULL RETURNING vault_key",
            params![
                id,
                generation,
                new.access_token.as_slice(),
                new.refresh_token.as_deref(),
                new.access_expires_at.map(Timestamp::as_micros),
                now.as_micros(),
                i64::from(new.rotates)
            ],
        )
        .await?;
    let Some(row) = &changed else {
        // Sealed values are salted: no other pair is sealed to these bytes.
        let stored = tx
            .fetch_optional(
                "SELECT id FROM oauth2_grant WHERE id = $1 AND access_token = $2",
                params![id, new.access_token.as_slice()],
            )
            .await?;
        return Ok(stored.is_some());
    };
    record_changed(&mut tx, &row.bytes("vault_key")?, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// Gives the lease back without new tokens.
pub(crate) async fn abandon(
    pool: &Pool,
    id: &str,
    fence: i64,
    failure: Failure,
    now: Timestamp,
) -> Result<bool, DbError> {
    let state = if failure.outcome_unknown {
        GrantState::OutcomeUnknown
    } else {
        GrantState::Active
    };
    let mut tx = pool.begin().await?;
    let changed = tx
        .fetch_optional(
            "UPDATE oauth2_grant SET state = $3, reason = $4, retry_at = $5, failures = failures + 1, \
             presented_at = CASE WHEN $3 = 'active' THEN NULL ELSE presented_at END, lease_until = NULL, \
             updated_at = $6 WHERE id = $1 AND fence = $2 AND state = 'refreshing' RETURNING vault_key",
            params![
                id,
                fence,
                state.as_str(),
                failure.reason,
                failure.retry_at.as_micros(),
                now.as_micros()
            ],
        )
        .await?;
    if let Some(row) = &changed {
        record_changed(&mut tx, &row.bytes("vault_key")?, now).await?;
    }
    tx.commit().await?;
    Ok(changed.is_some())
}

/// Ends a grant whose refresh token is dead or must not be sent, if `fence` still holds, and destroys its tokens.
pub(crate) async fn refuse(
    pool: &Pool,
    id: &str,
    fence: i64,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let mut tx = pool.begin().await?;
    let changed = tx
        .fetch_optional(
            "UPDATE oauth2_grant SET state = 'needs_consent', reason = $3, access_token = NULL, refresh_token = NULL, \
             fence = fence + 1, lease_until = NULL, retry_at = NULL, updated_at = $4, ended_at = $4 \
             WHERE id = $1 AND fence = $2 AND ended_at IS NULL RETURNING vault_key",
            params![id, fence, reason, now.as_micros()],
        )
        .await?;
    if let Some(row) = &changed {
        record_changed(&mut tx, &row.bytes("vault_key")?, now).await?;
    }
    tx.commit().await?;
    Ok(changed.is_some())
}

pub(super) fn read(row: &Row) -> Result<RefreshLedger, DbError> {
    let time = |column| Ok::<_, DbError>(row.opt_int(column)?.map(Timestamp::from_micros));
    Ok(RefreshLedger {
        generation: row.int("generation")?,
        presented_at: time("presented_at")?,
        rotates: row.opt_int("rotates")?.map(|rotates| rotates != 0),
        failures: row.int("failures")?,
        retry_at: time("retry_at")?,
        access_issued_at: time("access_issued_at")?,
    })
}
