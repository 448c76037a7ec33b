//! An account's grants from above: the people who gave them, and how many stand badly.

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Pool, params};

use super::grant::{GrantState, TABLE};
use super::user_key;

/// A person who has let some agent of the account do something, by their newest grants.
#[derive(Debug, Clone)]
pub(crate) struct UserRow {
    pub(crate) user_key: UserKey,
    pub(crate) person: Option<String>,
    pub(crate) live: i64,
    /// Whether there are more grants than were looked at.
    pub(crate) more: bool,
    /// Of the live ones, sorted.
    pub(crate) workload_names: Vec<String>,
    pub(crate) consented_at: Timestamp,
}

/// Most grants of a person that [`list_users`] looks at.
const GRANTS_OF_USER: i64 = 100;

/// A page of the people who have grants in an account, in the order of their keys, after the key `after`.
pub(crate) async fn list_users(
    pool: &Pool,
    account: &str,
    after: &[u8],
    limit: i64,
) -> Result<Vec<UserRow>, DbError> {
    // From key to key, one probe of the index each: DISTINCT would read every grant.
    let sql = "SELECT k AS user_key FROM ( \
                   WITH RECURSIVE u(k) AS ( \
                       SELECT (SELECT user_key FROM oauth2_grant WHERE account = $1 AND user_key > $2 \
                               ORDER BY user_key LIMIT 1) \
                       UNION ALL \
                       SELECT (SELECT user_key FROM oauth2_grant WHERE account = $1 AND user_key > u.k \
                               ORDER BY user_key LIMIT 1) \
                       FROM u WHERE u.k IS NOT NULL \
                   ) SELECT k FROM u WHERE k IS NOT NULL LIMIT $3 \
               ) keys";
    let rows = pool.fetch_all(sql, params![account, after, limit]).await?;
    let mut users = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = user_key(row.bytes("user_key")?).ok_or_else(|| DbError::Inconsistent {
            table: TABLE,
            column: "user_key",
            id: String::new(),
        })?;
        users.extend(find_user(pool, account, &key).await?);
    }
    Ok(users)
}

/// A person by key; `None` when they have no grant in the account.
pub(crate) async fn find_user(pool: &Pool, account: &str, key: &UserKey) -> Result<Option<UserRow>, DbError> {
    let sql = "SELECT person, workload_name, created_at, ended_at, state FROM oauth2_grant \
               WHERE account = $1 AND user_key = $2 ORDER BY id DESC LIMIT $3";
    let grants = pool
        .fetch_all(sql, params![account, key.as_bytes(), GRANTS_OF_USER + 1])
        .await?;
    let looked_at = usize::try_from(GRANTS_OF_USER).unwrap_or(usize::MAX);
    if grants.is_empty() {
        return Ok(None);
    }
    let mut user = UserRow {
        user_key: *key,
        person: None,
        live: 0,
        more: grants.len() > looked_at,
        workload_names: Vec::new(),
        consented_at: Timestamp::from_micros(0),
    };
    for row in grants.iter().take(looked_at) {
        let consented_at = Timestamp::from_micros(row.int("created_at")?);
        user.consented_at = user.consented_at.max(consented_at);
        user.person = user.person.or(row.opt_text("person")?);
        if row.opt_int("ended_at")?.is_none() && row.text("state")? != "unconfirmed" {
            user.live += 1;
            user.workload_names.push(row.text("workload_name")?);
        }
    }
    user.workload_names.sort_unstable();
    user.workload_names.dedup();
    Ok(Some(user))
}

/// How many live grants of an account stand badly; each count ends at `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ailing {
    pub(crate) needs_consent: i64,
    pub(crate) outcome_unknown: i64,
    /// They give tokens still.
    pub(crate) failing: i64,
    /// Without refresh token, the access token ends before the given time.
    pub(crate) ending: i64,
}

/// Counts them.
pub(crate) async fn count_ailing(
    pool: &Pool,
    account: &str,
    ending_before: Timestamp,
    most: i64,
) -> Result<Ailing, DbError> {
    let sql = "SELECT state FROM oauth2_grant WHERE account = $1 AND ended_at IS NULL \
               AND (state = 'needs_consent' OR state = 'outcome_unknown' OR failures > 0) LIMIT $2";
    let mut counted = Ailing::default();
    for row in pool.fetch_all(sql, params![account, most]).await? {
        match GrantState::parse(&row.text("state")?) {
            Some(GrantState::NeedsConsent) => counted.needs_consent += 1,
            Some(GrantState::OutcomeUnknown) => counted.outcome_unknown += 1,
            _ => counted.failing += 1,
        }
    }
    let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM oauth2_grant WHERE account = $1 AND ended_at IS NULL \
               AND refresh_token IS NULL AND access_expires_at IS NOT NULL AND access_expires_at < $2 LIMIT $3) ending";
    let row = pool
        .fetch_optional(sql, params![account, ending_before.as_micros(), most])
        .await?;
    counted.ending = row.map_or(Ok(0), |row| row.int("n"))?;
    Ok(counted)
}
