//! Revocations: what a grant that has ended here still owes its vendor. One row a grant, written in the transaction that
//! ends the grant, so that no token is forgotten and none is both served and withdrawn.
//!
//! An attempt is claimed by moving `next_at` to the end of its lease and counting `attempts`, which is its fence: whoever
//! slept past the lease writes nothing.

use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Pool, Row, Transaction, params};

use super::json_list;
use super::refresh_ledger::Refreshed;
use crate::vault::provider::Pins;

const TABLE: &str = "revocation";
/// No pause is longer. What is due after twice that, for another replica's clock may be ahead, was written by a clock that
/// was wrong.
pub(crate) const LONGEST: Duration = Duration::from_hours(6);

/// Where a revocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevocationState {
    /// It is to be tried, for the first time or again.
    Pending,
    /// The vendor withdrew the token.
    Done,
    /// It will not be tried again; the reason says why.
    Failed,
}

impl RevocationState {
    /// Its stored spelling.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A stored revocation. The tokens are sealed as columns of the grant.
#[derive(Debug, Clone)]
pub(crate) struct RevocationRow {
    pub(crate) grant_id: String,
    pub(crate) account: String,
    pub(crate) provider_id: String,
    /// What the grant was tied to: its tokens go nowhere else.
    pub(crate) pins: Pins,
    pub(crate) resources: Vec<String>,
    pub(crate) access_token: Option<Vec<u8>>,
    pub(crate) refresh_token: Option<Vec<u8>>,
    pub(crate) access_expires_at: Option<Timestamp>,
    pub(crate) state: RevocationState,
    /// What the last attempt came to; a word of a closed list.
    pub(crate) reason: Option<String>,
    pub(crate) attempts: i64,
    /// When the next attempt is due, or the lease of the present one ends.
    pub(crate) next_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Puts the tokens of a grant that is about to end into the queue, due at once. Nothing for a grant without tokens.
pub(crate) async fn enqueue(tx: &mut Transaction, grant_id: &str, now: Timestamp) -> Result<(), DbError> {
    // Takes the row's lock: a refresh that stored its pair between copy and end would have it end unrevoked.
    tx.execute(
        "UPDATE oauth2_grant SET fence = fence WHERE id = $1 AND ended_at IS NULL",
        params![grant_id],
    )
    .await?;
    tx.execute(
        "INSERT INTO revocation (grant_id, account, provider_id, issuer, token_origin, client_id, resources, \
         access_token, refresh_token, access_expires_at, state, attempts, next_at, created_at, updated_at) \
         SELECT id, account, provider_id, issuer, token_origin, client_id, resources, access_token, refresh_token, \
         access_expires_at, 'pending', 0, $2, $2, $2 FROM oauth2_grant \
         WHERE id = $1 AND ended_at IS NULL AND (access_token IS NOT NULL OR refresh_token IS NOT NULL) \
         ON CONFLICT (grant_id) DO NOTHING",
        params![grant_id, now.as_micros()],
    )
    .await?;
    Ok(())
}

/// As [`enqueue`], for every live grant of a workload identity.
pub(super) async fn enqueue_of_workload(
    tx: &mut Transaction,
    workload_id: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE oauth2_grant SET fence = fence WHERE workload_id = $1 AND ended_at IS NULL",
        params![workload_id],
    )
    .await?;
    tx.execute(
        "INSERT INTO revocation (grant_id, account, provider_id, issuer, token_origin, client_id, resources, \
         access_token, refresh_token, access_expires_at, state, attempts, next_at, created_at, updated_at) \
         SELECT id, account, provider_id, issuer, token_origin, client_id, resources, access_token, refresh_token, \
         access_expires_at, 'pending', 0, $2, $2, $2 FROM oauth2_grant \
         WHERE workload_id = $1 AND ended_at IS NULL AND (access_token IS NOT NULL OR refresh_token IS NOT NULL) \
         ON CONFLICT (grant_id) DO NOTHING",
        params![workload_id, now.as_micros()],
    )
    .await?;
    Ok(())
}

/// Puts the tokens of a refresh that came back after its grant had ended in the place of those that it has spent, due at
/// once, also where the vendor has taken the spent ones for withdrawn. False when the grant's end owes the vendor nothing,
/// or others than those of `generation`.
pub(crate) async fn replace(
    pool: &Pool,
    grant_id: &str,
    generation: i64,
    late: &Refreshed,
    now: Timestamp,
) -> Result<bool, DbError> {
    // One more attempt, so that the one under way writes nothing.
    let changed = pool
        .execute(
            "UPDATE revocation SET access_token = $2, refresh_token = COALESCE($3, refresh_token), \
             access_expires_at = $4, state = 'pending', reason = NULL, attempts = attempts + 1, next_at = $5, \
             created_at = $5, updated_at = $5 WHERE grant_id = $1 \
             AND NOT EXISTS (SELECT 1 FROM oauth2_grant WHERE id = $1 AND generation <> $6)",
            params![
                grant_id,
                late.access_token.as_slice(),
                late.refresh_token.as_deref(),
                late.access_expires_at.map(Timestamp::as_micros),
                now.as_micros(),
                generation,
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// By its grant.
pub(crate) async fn find(pool: &Pool, grant_id: &str) -> Result<Option<RevocationRow>, DbError> {
    let sql = "SELECT * FROM revocation WHERE grant_id = $1";
    pool.fetch_optional(sql, params![grant_id])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// What an account still owes its vendors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Open {
    pub(crate) pending: i64,
    /// Since when the oldest of them waits.
    pub(crate) pending_since: Option<Timestamp>,
    /// Given up, of those that were begun after the given time.
    pub(crate) failed: i64,
}

/// Counts it; each count ends at `most`.
pub(crate) async fn count_open(
    pool: &Pool,
    account: &str,
    failed_since: Timestamp,
    most: i64,
) -> Result<Open, DbError> {
    let sql = "SELECT COUNT(*) AS n, MIN(created_at) AS since FROM (SELECT created_at FROM revocation \
               WHERE account = $1 AND state = $2 AND state <> 'done' AND created_at >= $3 \
               ORDER BY created_at LIMIT $4) counted";
    let pending = params![account, "pending", i64::MIN, most];
    let pending = pool.fetch_optional(sql, pending).await?;
    let failed = params![account, "failed", failed_since.as_micros(), most];
    let failed = pool.fetch_optional(sql, failed).await?;
    Ok(Open {
        pending: pending.as_ref().map_or(Ok(0), |row| row.int("n"))?,
        pending_since: pending
            .map_or(Ok(None), |row| row.opt_int("since"))?
            .map(Timestamp::from_micros),
        failed: failed.map_or(Ok(0), |row| row.int("n"))?,
    })
}

/// The grants whose revocation is due, of every account.
pub(crate) async fn list_due(pool: &Pool, now: Timestamp, limit: i64) -> Result<Vec<String>, DbError> {
    let sql = "SELECT grant_id FROM revocation WHERE state = 'pending' AND (next_at <= $1 OR next_at > $2) \
               ORDER BY next_at LIMIT $3";
    let values = params![now.as_micros(), now.plus(LONGEST * 2).as_micros(), limit];
    let rows = pool.fetch_all(sql, values).await?;
    rows.iter().map(|row| row.text("grant_id")).collect()
}

/// Claims the attempt that is due until `lease_until`. `None`: it is not due, or somebody else has it.
pub(crate) async fn claim(
    pool: &Pool,
    grant_id: &str,
    lease_until: Timestamp,
    now: Timestamp,
) -> Result<Option<RevocationRow>, DbError> {
    let sql = "UPDATE revocation SET attempts = attempts + 1, next_at = $2, updated_at = $3 \
               WHERE grant_id = $1 AND state = 'pending' AND (next_at <= $3 OR next_at > $4) RETURNING *";
    let values = params![
        grant_id,
        lease_until.as_micros(),
        now.as_micros(),
        now.plus(LONGEST * 2).as_micros()
    ];
    pool.fetch_optional(sql, values)
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// Keeps the tokens that a refresh on the way brought in the place of the spent ones.
pub(crate) async fn keep(
    pool: &Pool,
    claimed: &RevocationRow,
    access_token: &[u8],
    refresh_token: Option<&[u8]>,
    access_expires_at: Option<Timestamp>,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE revocation SET access_token = $3, refresh_token = COALESCE($4, refresh_token), \
             access_expires_at = $5 WHERE grant_id = $1 AND attempts = $2 AND state = 'pending'",
            params![
                claimed.grant_id.as_str(),
                claimed.attempts,
                access_token,
                refresh_token,
                access_expires_at.map(Timestamp::as_micros),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Writes how the claimed attempt went, and ends its lease. Tokens are destroyed unless it stays pending. False when the
/// lease was lost.
pub(crate) async fn finish(
    pool: &Pool,
    claimed: &RevocationRow,
    state: RevocationState,
    reason: &'static str,
    next_at: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = if state == RevocationState::Pending {
        "UPDATE revocation SET state = $3, reason = $4, next_at = $5, updated_at = $6 \
         WHERE grant_id = $1 AND attempts = $2 AND state = 'pending'"
    } else {
        "UPDATE revocation SET state = $3, reason = $4, next_at = $5, updated_at = $6, access_token = NULL, \
         refresh_token = NULL WHERE grant_id = $1 AND attempts = $2 AND state = 'pending'"
    };
    let changed = pool
        .execute(
            sql,
            params![
                claimed.grant_id.as_str(),
                claimed.attempts,
                state.as_str(),
                reason,
                next_at.as_micros(),
                now.as_micros()
            ],
        )
        .await?;
    Ok(changed == 1)
}

fn read(row: &Row) -> Result<RevocationRow, DbError> {
    let grant_id = row.text("grant_id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: grant_id.clone(),
    };
    Ok(RevocationRow {
        account: row.text("account")?,
        provider_id: row.text("provider_id")?,
        pins: Pins {
            issuer: row.text("issuer")?,
            token_origin: row.text("token_origin")?,
            client_id: row.text("client_id")?,
        },
        resources: json_list(&row.text("resources")?).ok_or_else(|| inconsistent("resources"))?,
        access_token: row.opt_bytes("access_token")?,
        refresh_token: row.opt_bytes("refresh_token")?,
        access_expires_at: row.opt_int("access_expires_at")?.map(Timestamp::from_micros),
        state: RevocationState::parse(&row.text("state")?).ok_or_else(|| inconsistent("state"))?,
        reason: row.opt_text("reason")?,
        attempts: row.int("attempts")?,
        next_at: Timestamp::from_micros(row.int("next_at")?),
        created_at: Timestamp::from_micros(row.int("created_at")?),
        updated_at: Timestamp::from_micros(row.int("updated_at")?),
        grant_id,
    })
}
