//! Grants: what a person let a workload do at a provider, with the tokens, sealed. How they are refreshed is the
//! business of [`super::refresh_ledger`].

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Pool, Row, Transaction, params, record_change};

use super::refresh_ledger::{self, RefreshLedger};
use super::{confirmation, hash32, json_list, revocation, user_key};
use crate::session::Status;

pub(super) const TABLE: &str = "oauth2_grant";
/// The kind of its rows in the change feed. The key is the vault key in hexadecimal, since what changes
/// is which grants answer a request.
pub(crate) const CHANGE: &str = "grant";

/// The vault key that a change names.
pub(crate) fn changed_vault_key(key: &str) -> Option<[u8; 32]> {
    let mut vault_key = [0; 32];
    hex::decode_to_slice(key, &mut vault_key).ok()?;
    Some(vault_key)
}

pub(super) async fn record_changed(
    tx: &mut Transaction,
    vault_key: &[u8],
    now: Timestamp,
) -> Result<(), DbError> {
    record_change(tx, CHANGE, &hex::encode(vault_key), now.as_micros()).await
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantState {
    /// Its tokens may be used.
    Active,
    /// Somebody holds the lease and is about to call, or is calling, the token endpoint.
    Refreshing,
    /// A refresh was sent and its answer never came: the refresh token may be spent.
    OutcomeUnknown,
    /// The refresh token is dead, or the provider is no longer the one that was consented to.
    NeedsConsent,
    /// Of another account than before: it is not served until the person has confirmed it (design D12).
    Unconfirmed,
    /// Withdrawn.
    Revoked,
    /// A newer consent took its place.
    Replaced,
}

impl GrantState {
    const ALL: [Self; 7] = [
        Self::Active,
        Self::Refreshing,
        Self::OutcomeUnknown,
        Self::NeedsConsent,
        Self::Unconfirmed,
        Self::Revoked,
        Self::Replaced,
    ];

    /// Its stored spelling.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Refreshing => "refreshing",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::NeedsConsent => "needs_consent",
            Self::Unconfirmed => "unconfirmed",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A stored grant. Its tokens and the vendor's account identity are sealed.
#[derive(Debug, Clone)]
pub(crate) struct GrantRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) workload_id: String,
    pub(crate) workload_name: String,
    pub(crate) provider_id: String,
    pub(crate) provider_name: String,
    pub(crate) user_key: UserKey,
    /// The published user id, where the person is recognisable.
    pub(crate) person: Option<String>,
    /// The browser session in which consent was given.
    pub(crate) sid: Option<String>,
    /// The authorization session that made it.
    pub(crate) session_id: String,
    pub(crate) vault_key: [u8; 32],
    /// What was granted, sorted (design D13).
    pub(crate) scopes: Vec<String>,
    /// What was asked for and not granted, sorted.
    pub(crate) declined: Vec<String>,
    pub(crate) scope_set: [u8; 32],
    /// Issuer, token endpoint origin and client id at consent: refresh tokens go nowhere else.
    pub(crate) issuer: String,
    pub(crate) token_origin: String,
    pub(crate) client_id: String,
    /// RFC 8707 resource indicators, repeated at every refresh.
    pub(crate) resources: Vec<String>,
    pub(crate) account_identity: Option<Vec<u8>>,
    pub(crate) access_token: Option<Vec<u8>>,
    pub(crate) refresh_token: Option<Vec<u8>>,
    /// `None`: the vendor did not say.
    pub(crate) access_expires_at: Option<Timestamp>,
    pub(crate) state: GrantState,
    pub(crate) fence: i64,
    pub(crate) lease_until: Option<Timestamp>,
    /// Why it ended, or why the last refresh of a live one gave no token; a word of a closed list.
    pub(crate) reason: Option<String>,
    pub(crate) refresh: RefreshLedger,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

impl GrantRow {
    /// Whether its tokens may ever go out: it has not ended, and the person has nothing left to confirm.
    pub(crate) fn is_served(&self) -> bool {
        self.ended_at.is_none() && self.state != GrantState::Unconfirmed
    }
}

/// Which grants [`list`] shows; absent members match everything.
#[derive(Debug, Default, Clone)]
pub(crate) struct GrantFilter {
    pub(crate) workload_name: Option<String>,
    pub(crate) provider_name: Option<String>,
    pub(crate) user_key: Option<UserKey>,
    /// Matches a published user id as well as `user_key`.
    pub(crate) person: Option<String>,
    /// Only live ones that need somebody: consent, or a look at their refreshes.
    pub(crate) ailing: bool,
    /// Only those whose access token is good at this time, as far as is known.
    pub(crate) alive_at: Option<Timestamp>,
}

/// The conditions after `$by`, which names the index, are those of a whole [`GrantFilter`].
macro_rules! list_sql {
    ($by:literal) => {
        concat!(
            "SELECT * FROM oauth2_grant WHERE account = $1 AND id < $2 ",
            $by,
            "AND ($3 IS NULL OR workload_name = $3) AND ($4 IS NULL OR provider_name = $4) ",
            "AND ($5 IS NULL OR user_key = $5 OR person = $6) ",
            "AND ($8 IS NULL OR (access_token IS NOT NULL AND (access_expires_at IS NULL OR access_expires_at > $8))) ",
            "ORDER BY id DESC LIMIT $7"
        )
    };
}

impl GrantFilter {
    /// One statement for each index that can lead to a page without a look at every grant of the account.
    const fn list_sql(&self) -> &'static str {
        if self.ailing {
            // As the index has it.
            list_sql!(
                "AND ended_at IS NULL AND (state = 'needs_consent' OR state = 'outcome_unknown' OR failures > 0) "
            )
        } else if self.person.is_some() {
            list_sql!("AND (user_key = $5 OR person = $6) ")
        } else if self.user_key.is_some() {
            list_sql!("AND user_key = $5 ")
        } else if self.workload_name.is_some() {
            list_sql!("AND workload_name = $3 ")
        } else if self.provider_name.is_some() {
            list_sql!("AND provider_name = $4 ")
        } else {
            list_sql!("")
        }
    }
}

/// Ends the live grant whose vault key and scope set are those of `new`. Its tokens are destroyed, not revoked: many a
/// vendor would end the newer ones with them.
pub(super) async fn replace(tx: &mut Transaction, new: &GrantRow, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE oauth2_grant SET state = 'replaced', reason = 'newer_consent', access_token = NULL, \
         refresh_token = NULL, fence = fence + 1, lease_until = NULL, updated_at = $3, ended_at = $3 \
         WHERE vault_key = $1 AND scope_set = $2 AND ended_at IS NULL AND state <> 'unconfirmed'",
        params![new.vault_key, new.scope_set, now.as_micros()],
    )
    .await?;
    Ok(())
}

/// Stores a grant; the live one of the same vault key and scope set is replaced, unless the new one has to be confirmed
/// first.
pub(crate) async fn insert(tx: &mut Transaction, new: &GrantRow) -> Result<(), DbError> {
    let state = if new.state == GrantState::Unconfirmed {
        GrantState::Unconfirmed
    } else {
        replace(tx, new, new.created_at).await?;
        GrantState::Active
    };
    tx.execute(
        "INSERT INTO oauth2_grant (id, account, workload_id, workload_name, provider_id, provider_name, user_key, \
         person, sid, session_id, vault_key, scopes, declined, scope_set, issuer, token_origin, client_id, \
         resources, account_identity, access_token, refresh_token, access_expires_at, state, fence, created_at, \
         updated_at, access_issued_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $24, 0, $23, $23, $23)",
        params![
            new.id.as_str(),
            new.account.as_str(),
            new.workload_id.as_str(),
            new.workload_name.as_str(),
            new.provider_id.as_str(),
            new.provider_name.as_str(),
            new.user_key.as_bytes(),
            new.person.as_deref(),
            new.sid.as_deref(),
            new.session_id.as_str(),
            new.vault_key,
            serde_json::json!(new.scopes).to_string(),
            serde_json::json!(new.declined).to_string(),
            new.scope_set,
            new.issuer.as_str(),
            new.token_origin.as_str(),
            new.client_id.as_str(),
            serde_json::json!(new.resources).to_string(),
            new.account_identity.as_deref(),
            new.access_token.as_deref(),
            new.refresh_token.as_deref(),
            new.access_expires_at.map(Timestamp::as_micros),
            new.created_at.as_micros(),
            state.as_str(),
        ],
    )
    .await?;
    record_changed(tx, &new.vault_key, new.created_at).await
}

/// Ends a live grant in `tx`: its tokens leave it for the queue of revocations at the vendor; if its session still asks
/// for a confirmation, there is nothing left to confirm. False when it had ended already.
pub(crate) async fn end(
    tx: &mut Transaction,
    id: &str,
    state: GrantState,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, DbError> {
    revocation::enqueue(tx, id, now).await?;
    let_go(tx, id, state, reason, now).await
}

/// As [`end`], with nothing said to the vendor: the tokens are destroyed here, and live on there until they expire. For
/// one whose revocation would take along another grant of the same account.
pub(crate) async fn let_go(
    tx: &mut Transaction,
    id: &str,
    state: GrantState,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let ended = tx
        .fetch_optional(
            "UPDATE oauth2_grant SET state = $2, reason = $3, access_token = NULL, refresh_token = NULL, \
             fence = fence + 1, lease_until = NULL, updated_at = $4, ended_at = $4 \
             WHERE id = $1 AND ended_at IS NULL RETURNING vault_key, session_id",
            params![id, state.as_str(), reason, now.as_micros()],
        )
        .await?;
    if let Some(row) = &ended {
        confirmation::end(tx, &row.text("session_id")?, Status::Failed, "grant_ended", now).await?;
        record_changed(tx, &row.bytes("vault_key")?, now).await?;
    }
    Ok(ended.is_some())
}

/// Ends every live grant of a workload identity that goes away; the tokens leave for the queue of revocations. Gives how
/// many.
pub(crate) async fn end_of_workload(
    tx: &mut Transaction,
    workload_id: &str,
    now: Timestamp,
) -> Result<usize, DbError> {
    confirmation::end_of_workload(tx, workload_id, now).await?;
    revocation::enqueue_of_workload(tx, workload_id, now).await?;
    let sql = "UPDATE oauth2_grant SET state = 'revoked', reason = 'workload_deleted', access_token = NULL, \
               refresh_token = NULL, fence = fence + 1, lease_until = NULL, updated_at = $2, ended_at = $2 \
               WHERE workload_id = $1 AND ended_at IS NULL RETURNING vault_key";
    end_all(tx, sql, workload_id, now).await
}

/// Ends every live grant at a provider that goes away, and destroys the tokens: without the registration nothing can be
/// said to the vendor any more. Gives how many.
pub(crate) async fn end_of_provider(
    tx: &mut Transaction,
    provider_id: &str,
    now: Timestamp,
) -> Result<usize, DbError> {
    confirmation::end_of_provider(tx, provider_id, now).await?;
    let sql = "UPDATE oauth2_grant SET state = 'revoked', reason = 'provider_deleted', access_token = NULL, \
               refresh_token = NULL, fence = fence + 1, lease_until = NULL, updated_at = $2, ended_at = $2 \
               WHERE provider_id = $1 AND ended_at IS NULL RETURNING vault_key";
    end_all(tx, sql, provider_id, now).await
}

async fn end_all(
    tx: &mut Transaction,
    sql: &'static str,
    owner: &str,
    now: Timestamp,
) -> Result<usize, DbError> {
    let ended = tx.fetch_all(sql, params![owner, now.as_micros()]).await?;
    for row in &ended {
        record_changed(tx, &row.bytes("vault_key")?, now).await?;
    }
    Ok(ended.len())
}

/// By its id, ended ones too.
pub(crate) async fn find(pool: &Pool, account: &str, id: &str) -> Result<Option<GrantRow>, DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE id = $1 AND account = $2";
    pool.fetch_optional(sql, params![id, account])
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// The live grants of a vault key; not those that the person has yet to confirm.
pub(crate) async fn list_by_vault_key(pool: &Pool, vault_key: &[u8; 32]) -> Result<Vec<GrantRow>, DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE vault_key = $1 AND ended_at IS NULL AND state <> 'unconfirmed' \
               ORDER BY id LIMIT 100";
    Ok(readable(&pool.fetch_all(sql, params![vault_key]).await?)?.0)
}

/// Grants of a person that are listed.
pub(crate) const MOST_OF_PERSON: usize = 1000;

/// A person's grants, of one account where that is given, newest first: the live ones, and those that ended after
/// `ended_after`.
pub(crate) async fn list_by_person(
    pool: &Pool,
    user_key: &UserKey,
    person: &str,
    account: Option<&str>,
    ended_after: Timestamp,
) -> Result<Vec<GrantRow>, DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE (user_key = $1 OR person = $2) \
               AND (ended_at IS NULL OR ended_at > $3) AND ($5 IS NULL OR account = $5) ORDER BY id DESC LIMIT $4";
    let most = i64::try_from(MOST_OF_PERSON).unwrap_or(i64::MAX);
    let values = params![
        user_key.as_bytes(),
        person,
        ended_after.as_micros(),
        most,
        account
    ];
    Ok(readable(&pool.fetch_all(sql, values).await?)?.0)
}

/// Live grants of an account that were made before `before`, oldest first, after `after` (time of making and id).
pub(crate) async fn list_older(
    pool: &Pool,
    account: &str,
    before: Timestamp,
    after: (Timestamp, &str),
    limit: i64,
) -> Result<Vec<GrantRow>, DbError> {
    let sql = "SELECT * FROM oauth2_grant WHERE account = $1 AND ended_at IS NULL AND created_at < $2 \
               AND (created_at > $3 OR (created_at = $3 AND id > $4)) ORDER BY created_at, id LIMIT $5";
    let values = params![account, before.as_micros(), after.0.as_micros(), after.1, limit];
    Ok(readable(&pool.fetch_all(sql, values).await?)?.0)
}

/// Erases what is stored of a person's grants and authorization sessions, in every account; gives how many grants there
/// were. Those that live have to be ended first. Revocations under way go on: they name nobody.
pub(crate) async fn forget(tx: &mut Transaction, user_key: &UserKey) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM authorization_session WHERE user_key = $1",
        params![user_key.as_bytes()],
    )
    .await?;
    tx.execute(
        "DELETE FROM oauth2_grant WHERE user_key = $1 AND ended_at IS NOT NULL",
        params![user_key.as_bytes()],
    )
    .await
}

/// Every user key under which something is stored of the person with this published user id.
pub(crate) async fn user_keys(pool: &Pool, person: &str) -> Result<Vec<UserKey>, DbError> {
    let sql = "SELECT user_key FROM oauth2_grant WHERE person = $1 \
               UNION SELECT user_key FROM authorization_session WHERE person = $1";
    let rows = pool.fetch_all(sql, params![person]).await?;
    let inconsistent = || DbError::Inconsistent {
        table: TABLE,
        column: "user_key",
        id: person.to_owned(),
    };
    rows.iter()
        .map(|row| user_key(row.bytes("user_key")?).ok_or_else(inconsistent))
        .collect()
}

/// The live grants under a user key, in every account.
pub(crate) async fn list_live_by_user(
    pool: &Pool,
    user: &UserKey,
    limit: i64,
) -> Result<Vec<String>, DbError> {
    let sql = "SELECT id FROM oauth2_grant WHERE user_key = $1 AND ended_at IS NULL ORDER BY id LIMIT $2";
    let rows = pool.fetch_all(sql, params![user.as_bytes(), limit]).await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// A page of an account's grants after id `after` (empty: from the start), newest first. It is short only at the end:
/// damaged rows are passed over.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    filter: &GrantFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<GrantRow>, DbError> {
    let (mut grants, mut after, mut wanted) = (Vec::new(), after.to_owned(), limit);
    while wanted > 0 {
        let rows = list_rows(pool, account, filter, &after, wanted).await?;
        let (page, damaged) = readable(&rows)?;
        grants.extend(page);
        match rows.last() {
            Some(last) if !damaged.is_empty() => after = last.text("id")?,
            _ => break,
        }
        wanted = i64::try_from(damaged.len()).unwrap_or(i64::MAX);
    }
    Ok(grants)
}

/// As [`list`] of every grant, but fails at the first damaged row.
pub(crate) async fn list_whole(
    pool: &Pool,
    account: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<GrantRow>, DbError> {
    let rows = list_rows(pool, account, &GrantFilter::default(), after, limit).await?;
    rows.iter().map(read).collect()
}

async fn list_rows(
    pool: &Pool,
    account: &str,
    filter: &GrantFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let user_key = filter.user_key.map(|key| key.as_bytes().to_vec());
    let values = params![
        account,
        super::before_id(after),
        filter.workload_name.as_deref(),
        filter.provider_name.as_deref(),
        user_key,
        filter.person.as_deref(),
        limit,
        filter.alive_at.map(Timestamp::as_micros)
    ];
    pool.fetch_all(filter.list_sql(), values).await
}

/// Those of `rows` that can be read, and the ids of those that cannot: they are named in the log, and keep nobody from
/// what is beside them.
pub(super) fn readable(rows: &[Row]) -> Result<(Vec<GrantRow>, Vec<String>), DbError> {
    let (mut grants, mut damaged) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match read(row) {
            Ok(grant) => grants.push(grant),
            Err(error @ DbError::Inconsistent { .. }) => {
                tracing::error!(%error, "a damaged row is passed over");
                damaged.push(row.text("id")?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((grants, damaged))
}

pub(super) fn read(row: &Row) -> Result<GrantRow, DbError> {
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
    let list = |column| {
        row.text(column)
            .and_then(|text| json_list(&text).ok_or_else(|| inconsistent(column)))
    };
    let time = |column| Ok::<_, DbError>(row.opt_int(column)?.map(Timestamp::from_micros));
    Ok(GrantRow {
        account: row.text("account")?,
        workload_id: row.text("workload_id")?,
        workload_name: row.text("workload_name")?,
        provider_id: row.text("provider_id")?,
        provider_name: row.text("provider_name")?,
        user_key: user_key(row.bytes("user_key")?).ok_or_else(|| inconsistent("user_key"))?,
        person: row.opt_text("person")?,
        sid: row.opt_text("sid")?,
        session_id: row.text("session_id")?,
        vault_key: hash("vault_key")?,
        scopes: list("scopes")?,
        declined: list("declined")?,
        scope_set: hash("scope_set")?,
        issuer: row.text("issuer")?,
        token_origin: row.text("token_origin")?,
        client_id: row.text("client_id")?,
        resources: list("resources")?,
        account_identity: row.opt_bytes("account_identity")?,
        access_token: row.opt_bytes("access_token")?,
        refresh_token: row.opt_bytes("refresh_token")?,
        access_expires_at: time("access_expires_at")?,
        state: GrantState::parse(&row.text("state")?).ok_or_else(|| inconsistent("state"))?,
        fence: row.int("fence")?,
        lease_until: time("lease_until")?,
        reason: row.opt_text("reason")?,
        refresh: refresh_ledger::read(row)?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        updated_at: Timestamp::from_micros(row.int("updated_at")?),
        ended_at: time("ended_at")?,
        id,
    })
}
