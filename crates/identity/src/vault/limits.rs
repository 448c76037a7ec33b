//! Grant limits: consents that are too old, unused for too long, or from before a date end by themselves.

use std::time::Duration;

use countersign_crypto::{Timestamp, token};
use countersign_db::{DbError, claim_lease};

use super::revoke;
use crate::config::GrantLimits;
use crate::state::State;
use crate::store::grant::{self, GrantRow};
use crate::uses;

/// How often they are looked for.
const EVERY: Duration = Duration::from_mins(1);
/// How often somebody looks whether that time has come.
const ROUND: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_mins(5);
const PAGE: i64 = 500;

/// Which limit ends a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It is as old as a consent may become.
    MaxAge,
    /// Nobody has used it for too long.
    Unused,
    /// It is from before the date from which everybody was to consent anew.
    Reconsent,
}

impl Limit {
    /// The reason in the store and in audit records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::Unused => "unused",
            Self::Reconsent => "reconsent_date",
        }
    }

    /// What the person reads, after a colon.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::MaxAge => "your operator lets no connection live longer without your asking again",
            Self::Unused => "a connection that no agent uses ends by itself",
            Self::Reconsent => "your operator asks everybody to agree anew then",
        }
    }
}

/// When `row` ends by a limit, as things stand, and by which.
pub(crate) fn end_of(
    limits: &GrantLimits,
    row: &GrantRow,
    last_use: Option<Timestamp>,
) -> Option<(Timestamp, Limit)> {
    let after = |from: Timestamp, days: u32| from.plus(Duration::from_hours(24) * days);
    let age = limits
        .max_age_days
        .map(|days| (after(row.created_at, days), Limit::MaxAge));
    let unused = limits.unused_days.map(|days| {
        let used = last_use.unwrap_or(row.created_at).max(row.created_at);
        (after(used, days), Limit::Unused)
    });
    let reconsent = limits
        .reconsent_date
        .map(|date| (Timestamp::from_micros(date.as_microsecond()), Limit::Reconsent))
        .filter(|(date, _)| row.created_at < *date);
    [age, unused, reconsent]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
}

/// The newest consent that a limit can have reached by `now`.
fn cutoff(limits: &GrantLimits, now: Timestamp) -> Option<Timestamp> {
    let before = |days: u32| now.minus(Duration::from_hours(24) * days);
    let date = limits
        .reconsent_date
        .map(|date| Timestamp::from_micros(date.as_microsecond()))
        .filter(|date| *date <= now);
    [
        limits.max_age_days.map(before),
        limits.unused_days.map(before),
        date,
    ]
    .into_iter()
    .flatten()
    .max()
}

/// Ends what a limit has reached, for as long as the role runs; one replica at a time.
pub(crate) async fn enforce(state: State) {
    let limited = |account: &crate::config::AccountConfig| account.grant_limits != GrantLimits::default();
    let accounts: Vec<_> = state.config.accounts().into_iter().filter(limited).collect();
    if accounts.is_empty() {
        return;
    }
    let holder = token(&*state.random);
    let mut due = state.clock.now();
    loop {
        tokio::time::sleep(ROUND).await;
        let now = state.clock.now();
        // Later than that only by a clock that has jumped back since.
        if now < due && due <= now.plus(EVERY) {
            continue;
        }
        due = now.plus(EVERY);
        for account in &accounts {
            if let Err(error) = enforce_in(&state, &holder, &account.id, &account.grant_limits, now).await {
                tracing::warn!(%error, account = account.id, "grants that are past a limit could not be ended");
            }
        }
    }
}

async fn enforce_in(
    state: &State,
    holder: &str,
    account: &str,
    limits: &GrantLimits,
    now: Timestamp,
) -> Result<(), DbError> {
    let Some(before) = cutoff(limits, now) else {
        return Ok(());
    };
    let name = format!("grant_limits {account}");
    let ttl = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
    let Some(fence) = claim_lease(&state.pool, &name, holder, now.as_micros(), ttl).await? else {
        return Ok(());
    };
    let mut after = (Timestamp::from_micros(i64::MIN), String::new());
    loop {
        let page = grant::list_older(&state.pool, account, before, (after.0, &after.1), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.created_at, last.id.clone());
        for row in &page {
            enforce_on(state, limits, row, now).await?;
        }
    }
    countersign_db::release_lease(&state.pool, &name, fence).await
}

async fn enforce_on(
    state: &State,
    limits: &GrantLimits,
    row: &GrantRow,
    now: Timestamp,
) -> Result<(), DbError> {
    // A refresh is a use, too, and says so without a look into the trail.
    let mut last_use = Some(row.updated_at);
    let reached = |last_use| end_of(limits, row, last_use).filter(|(at, _)| *at <= now);
    let Some((_, mut limit)) = reached(last_use) else {
        return Ok(());
    };
    if limit == Limit::Unused {
        match uses::last(state, &row.id).await {
            Ok(used) => last_use = last_use.max(used),
            Err(error) => {
                tracing::warn!(%error, grant.id = row.id, "the last use of a grant is not known");
                return Ok(());
            }
        }
        match reached(last_use) {
            None => return Ok(()),
            Some((_, still)) => limit = still,
        }
    }
    if revoke::end(state, &row.id, limit.as_str()).await? {
        revoke::record_end(state, row, limit.as_str()).await;
    }
    Ok(())
}
