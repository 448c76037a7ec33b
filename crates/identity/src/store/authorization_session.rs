//! Authorization sessions. Every change of status is one compare-and-set that names the status it leaves, so
//! that of any number of concurrent callers exactly one goes through each arrow of design chapter 5.

use std::time::Duration;

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Pool, Row, Transaction, params};

use super::{hash32, json_list, user_key};
use crate::session::Status;

const TABLE: &str = "authorization_session";

/// A stored session. It holds nothing that would let its reader act for anybody: `secrets` and `code` are
/// sealed.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    /// The public record id, which audit records carry.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) workload_id: String,
    pub(crate) workload_name: String,
    pub(crate) provider_id: String,
    pub(crate) provider_name: String,
    /// The provider's configuration version that the request was made with.
    pub(crate) provider_version: i64,
    pub(crate) user_key: UserKey,
    /// The published user id of a person whom the start page can recognise (design D11).
    pub(crate) person: Option<String>,
    /// The browser session in which the request was made, where a gateway of ours said so.
    pub(crate) sid: Option<String>,
    pub(crate) vault_key: [u8; 32],
    /// Hash of vault key and scope set.
    pub(crate) slot: [u8; 32],
    /// Hash of everything that makes two requests equal.
    pub(crate) request: [u8; 32],
    pub(crate) scopes: Vec<String>,
    pub(crate) return_url: String,
    /// Whether `forceAuthentication` asked for it.
    pub(crate) forced: bool,
    pub(crate) uri_hash: [u8; 32],
    pub(crate) state_hash: [u8; 32],
    pub(crate) browser_hash: Option<[u8; 32]>,
    pub(crate) secrets: Vec<u8>,
    pub(crate) code: Option<Vec<u8>>,
    pub(crate) status: Status,
    pub(crate) reason: Option<String>,
    /// The authorization server's error code.
    pub(crate) error: Option<String>,
    pub(crate) grant_id: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// How [`open`] ended.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The new session is stored.
    Inserted,
    /// An equal request already has this live session.
    Existing(Box<SessionRow>),
    /// The person has too many sessions of this workload under way.
    TooMany,
}

/// Why a session ended without a grant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) status: Status,
    /// The audit reason.
    pub(crate) reason: &'static str,
    /// The authorization server's error code, already reduced to the characters of RFC 6749.
    pub(crate) error: Option<&'a str>,
}

/// How much further another replica's clock may be.
const SKEW: Duration = Duration::from_mins(1);

impl SessionRow {
    /// Whether its time is over. One that was made in the future was made before the clock jumped back: how much of its
    /// time has passed is not known, so none is left.
    pub(crate) fn lapsed(&self, now: Timestamp) -> bool {
        self.deadline <= now || self.created_at > now.plus(SKEW)
    }
}

/// What a callback brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldCode<'a> {
    /// Sealed.
    pub(crate) code: &'a [u8],
    pub(crate) handle_hash: &'a [u8; 32],
    /// Until when the code is kept.
    pub(crate) deadline: Timestamp,
}

/// Stores `new`, or finds the live session of an equal request. A live session of the same vault key and scope
/// set with another request, or any when `new` is forced, is superseded; one whose code is held or being
/// exchanged is out of reach of both.
pub(crate) async fn open(
    pool: &Pool,
    new: &SessionRow,
    limit: i64,
    now: Timestamp,
) -> Result<Opened, DbError> {
    loop {
        match open_once(pool, new, limit, now).await {
            // Another request took the slot between our look and our insert: look again.
            Err(DbError::Constraint(_) | DbError::Conflict(_)) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

async fn open_once(pool: &Pool, new: &SessionRow, limit: i64, now: Timestamp) -> Result<Opened, DbError> {
    let mut tx = pool.begin().await?;
    let rival = tx
        .fetch_optional(
            "SELECT * FROM authorization_session WHERE slot = $1 AND status IN ('created', 'started')",
            params![new.slot],
        )
        .await?;
    if let Some(rival) = rival.map(|row| read(&row)).transpose()? {
        let live = rival.deadline > now;
        if live && !new.forced && rival.request == new.request {
            return Ok(Opened::Existing(Box::new(rival)));
        }
        let status = if live { Status::Superseded } else { Status::Expired };
        tx.execute(
            "UPDATE authorization_session SET status = $2, reason = $2, ended_at = $3 \
             WHERE id = $1 AND status IN ('created', 'started')",
            params![rival.id, status.as_str(), now.as_micros()],
        )
        .await?;
    }
    let under_way = tx
        .fetch_optional(
            "SELECT COUNT(*) AS sessions FROM authorization_session \
             WHERE workload_id = $1 AND user_key = $2 AND ended_at IS NULL AND deadline > $3",
            params![new.workload_id.as_str(), new.user_key.as_bytes(), now.as_micros()],
        )
        .await?
        .map_or(Ok(0), |row| row.int("sessions"))?;
    if under_way >= limit {
        return Ok(Opened::TooMany);
    }
    insert(&mut tx, new).await?;
    tx.commit().await?;
    Ok(Opened::Inserted)
}

async fn insert(tx: &mut Transaction, new: &SessionRow) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO authorization_session (id, account, workload_id, workload_name, provider_id, provider_name, \
         provider_version, user_key, person, sid, vault_key, slot, request, scopes, return_url, forced, uri_hash, \
         state_hash, secrets, status, created_at, deadline) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 'created', \
         $20, $21)",
        params![
            new.id.as_str(),
            new.account.as_str(),
            new.workload_id.as_str(),
            new.workload_name.as_str(),
            new.provider_id.as_str(),
            new.provider_name.as_str(),
            new.provider_version,
            new.user_key.as_bytes(),
            new.person.as_deref(),
            new.sid.as_deref(),
            new.vault_key,
            new.slot,
            new.request,
            serde_json::json!(new.scopes).to_string(),
            new.return_url.as_str(),
            new.forced,
            new.uri_hash,
            new.state_hash,
            new.secrets.as_slice(),
            new.created_at.as_micros(),
            new.deadline.as_micros(),
        ],
    )
    .await?;
    Ok(())
}

/// By the hash of its session URI.
pub(crate) async fn find_by_uri(pool: &Pool, uri_hash: &[u8; 32]) -> Result<Option<SessionRow>, DbError> {
    let sql = "SELECT * FROM authorization_session WHERE uri_hash = $1";
    pool.fetch_optional(sql, params![uri_hash])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// By the hash of the `state` that went to the authorization server.
pub(crate) async fn find_by_state(pool: &Pool, state_hash: &[u8; 32]) -> Result<Option<SessionRow>, DbError> {
    let sql = "SELECT * FROM authorization_session WHERE state_hash = $1";
    pool.fetch_optional(sql, params![state_hash])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// By the hash of its completion handle.
pub(crate) async fn find_by_handle(
    pool: &Pool,
    handle_hash: &[u8; 32],
) -> Result<Option<SessionRow>, DbError> {
    let sql = "SELECT * FROM authorization_session WHERE handle_hash = $1";
    pool.fetch_optional(sql, params![handle_hash])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// By its record id.
pub(crate) async fn find(pool: &Pool, id: &str) -> Result<Option<SessionRow>, DbError> {
    let sql = "SELECT * FROM authorization_session WHERE id = $1";
    pool.fetch_optional(sql, params![id])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// Which sessions [`list`] shows; absent members match everything.
#[derive(Debug, Default, Clone)]
pub(crate) struct SessionFilter {
    pub(crate) workload_name: Option<String>,
    pub(crate) provider_name: Option<String>,
    pub(crate) user_key: Option<UserKey>,
    /// Matches a published user id as well as `user_key`.
    pub(crate) person: Option<String>,
    /// A stored status.
    pub(crate) status: Option<&'static str>,
}

/// A page of an account's sessions after id `after` (empty: from the start), newest first.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    filter: &SessionFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<SessionRow>, DbError> {
    let sql = "SELECT * FROM authorization_session WHERE account = $1 AND id < $2 \
               AND ($3 IS NULL OR workload_name = $3) AND ($4 IS NULL OR provider_name = $4) \
               AND ($5 IS NULL OR user_key = $5 OR person = $6) AND ($8 IS NULL OR status = $8) \
               ORDER BY id DESC LIMIT $7";
    let user_key = filter.user_key.map(|key| key.as_bytes().to_vec());
    let values = params![
        account,
        super::before_id(after),
        filter.workload_name.as_deref(),
        filter.provider_name.as_deref(),
        user_key,
        filter.person.as_deref(),
        limit,
        filter.status
    ];
    pool.fetch_all(sql, values).await?.iter().map(read).collect()
}

/// created → started by `browser`; the same browser may start again until a code is held. False when another
/// browser was first, or the session is no longer at the start.
pub(crate) async fn start(
    pool: &Pool,
    id: &str,
    browser: &[u8; 32],
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE authorization_session SET status = 'started', browser_hash = $2 \
             WHERE id = $1 AND deadline > $3 \
             AND (status = 'created' OR (status = 'started' AND browser_hash = $2))",
            params![id, browser, now.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// `started → code_held`, in the browser that started.
pub(crate) async fn hold_code(
    pool: &Pool,
    session: &SessionRow,
    browser: &[u8; 32],
    held: HeldCode<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE authorization_session SET status = 'code_held', code = $3, handle_hash = $4, deadline = $5 \
             WHERE id = $1 AND browser_hash = $2 AND status = 'started' AND deadline > $6",
            params![
                session.id.as_str(),
                browser,
                held.code,
                held.handle_hash,
                held.deadline.as_micros(),
                now.as_micros()
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// `code_held → exchanging`. The code leaves the row here: whatever happens next, nobody can send it again.
pub(crate) async fn begin_exchange(
    pool: &Pool,
    id: &str,
    deadline: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE authorization_session SET status = 'exchanging', code = NULL, deadline = $2 \
             WHERE id = $1 AND status = 'code_held' AND deadline > $3",
            params![id, deadline.as_micros(), now.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// Ends a session whose code is held, or being exchanged, when a newer one of its slot has been completed: the last
/// request wins, in whatever order they are finished. The code is dropped.
pub(crate) async fn end_overtaken(
    tx: &mut Transaction,
    session: &SessionRow,
    now: Timestamp,
) -> Result<bool, DbError> {
    // Takes the locks of the rows: one that is completed at this moment is waited for.
    tx.execute(
        "UPDATE authorization_session SET slot = slot WHERE slot = $1 AND status IN ('exchanging', 'completed')",
        params![session.slot],
    )
    .await?;
    let changed = tx
        .execute(
            "UPDATE authorization_session SET status = 'superseded', reason = 'newer_consent', code = NULL, \
             ended_at = $2 WHERE id = $1 AND status IN ('code_held', 'exchanging') AND EXISTS \
             (SELECT 1 FROM authorization_session newer WHERE newer.slot = $3 AND newer.status = 'completed' \
             AND newer.created_at > $4)",
            params![
                session.id.as_str(),
                now.as_micros(),
                session.slot,
                session.created_at.as_micros()
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// exchanging → completed, in the transaction that stores the grant.
pub(crate) async fn complete(
    tx: &mut Transaction,
    id: &str,
    grant_id: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = tx
        .execute(
            "UPDATE authorization_session SET status = 'completed', grant_id = $2, ended_at = $3 \
             WHERE id = $1 AND status = 'exchanging'",
            params![id, grant_id, now.as_micros()],
        )
        .await?;
    Ok(changed == 1)
}

/// `from` → a terminal status without a grant; the code is dropped. `handle_hash` lets the return URL ask about a
/// session that the authorization server refused.
pub(crate) async fn end(
    pool: &Pool,
    id: &str,
    from: Status,
    ending: Ending<'_>,
    handle_hash: Option<&[u8; 32]>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = pool
        .execute(
            "UPDATE authorization_session SET status = $3, reason = $4, error = $5, \
             handle_hash = COALESCE($6, handle_hash), code = NULL, ended_at = $7 WHERE id = $1 AND status = $2",
            params![
                id,
                from.as_str(),
                ending.status.as_str(),
                ending.reason,
                ending.error,
                handle_hash.map(<[u8; 32]>::as_slice),
                now.as_micros()
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Ends whatever lapsed: sessions that nobody finished, and exchanges whose process died (their outcome is
/// unknown and their code is gone, so they failed). The grant of one that nobody confirmed ends by itself
/// ([`super::confirmation::list_overdue`]).
pub(crate) async fn expire_due(pool: &Pool, now: Timestamp) -> Result<u64, DbError> {
    pool.execute(
        "UPDATE authorization_session SET code = NULL, ended_at = $1, \
         reason = CASE status WHEN 'exchanging' THEN 'exchange_interrupted' WHEN 'confirming' THEN 'not_confirmed' \
         ELSE 'expired' END, \
         status = CASE status WHEN 'exchanging' THEN 'failed' ELSE 'expired' END \
         WHERE ended_at IS NULL AND deadline <= $1",
        params![now.as_micros()],
    )
    .await
}

/// Deletes sessions that ended before `before`.
pub(crate) async fn purge(pool: &Pool, before: Timestamp) -> Result<u64, DbError> {
    pool.execute(
        "DELETE FROM authorization_session WHERE ended_at < $1",
        params![before.as_micros()],
    )
    .await
}

fn read(row: &Row) -> Result<SessionRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    let hash = |column| {
        row.bytes(column)
            .and_then(|bytes| hash32(bytes).ok_or_else(|| inconsistent(column)))
    };
    Ok(SessionRow {
        account: row.text("account")?,
        workload_id: row.text("workload_id")?,
        workload_name: row.text("workload_name")?,
        provider_id: row.text("provider_id")?,
        provider_name: row.text("provider_name")?,
        provider_version: row.int("provider_version")?,
        user_key: user_key(row.bytes("user_key")?).ok_or_else(|| inconsistent("user_key"))?,
        person: row.opt_text("person")?,
        sid: row.opt_text("sid")?,
        vault_key: hash("vault_key")?,
        slot: hash("slot")?,
        request: hash("request")?,
        scopes: json_list(&row.text("scopes")?).ok_or_else(|| inconsistent("scopes"))?,
        return_url: row.text("return_url")?,
        forced: row.int("forced")? != 0,
        uri_hash: hash("uri_hash")?,
        state_hash: hash("state_hash")?,
        browser_hash: row
            .opt_bytes("browser_hash")?
            .map(|bytes| hash32(bytes).ok_or_else(|| inconsistent("browser_hash")))
            .transpose()?,
        secrets: row.bytes("secrets")?,
        code: row.opt_bytes("code")?,
        status: Status::parse(&row.text("status")?).ok_or_else(|| inconsistent("status"))?,
        reason: row.opt_text("reason")?,
        error: row.opt_text("error")?,
        grant_id: row.opt_text("grant_id")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        deadline: Timestamp::from_micros(row.int("deadline")?),
        ended_at: row.opt_int("ended_at")?.map(Timestamp::from_micros),
        id,
    })
}
