//! The refresh ledger (design D14). A refresh token may be good for one use: two callers must never send the same
//! one, and an answer that got lost must be told from a request that never left.
//!
//! 1. The lease and the intent to present the refresh token are one statement, under a new fence, on disk before
//!    anything is sent ([`attempt`]). While the call lasts its lease is renewed; when its holder dies it lapses.
//! 2. The call runs in a task of its own: a caller that hangs up does not tear it down. All callers of a replica wait
//!    for one such [`flight`], those of other replicas for the row.
//! 3. The new pair is stored in the place of the one that was presented, before anybody gets it.
//! 4. Where the answer never came, [`recovery`] says what may be done: a refresh token that may be spent is sent again
//!    only where its server says that it is not, or is known to take it twice.
//!
//! Nothing is sent when the provider is no longer the one that was consented to, nor for anybody who is stopped. A
//! token that is still good is served whatever its refresh does.

mod attempt;
mod circuit;
mod flight;
mod recovery;
pub(crate) mod timing;

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::Timestamp;
use tokio::time::Instant;

use super::provider::ExchangeError;
use super::{Provider, VaultError};
use crate::state::State;
use crate::store::grant::{self, GrantRow, GrantState};
use crate::store::oauth2_provider::ProviderRow;
use crate::store::refresh_ledger::LONGEST;
use attempt::Made;
use recovery::Recovery;

pub(crate) use flight::Refreshes;

/// How long a caller waits for another's refresh; below what an operation may take.
const WAIT: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(25);
/// Why a person is asked where the outcome of a refresh cannot be found out.
const UNKNOWN: &str = "outcome_unknown";

/// What became of a grant that was to yield a token.
#[derive(Debug, Clone)]
pub(crate) enum Renewed {
    /// Its access token may be used now.
    Usable(Arc<GrantRow>),
    /// The person has to consent again, for this reason.
    NeedsConsent(String),
}

/// Makes sure that the grant has a usable access token, refreshing it if need be. All callers of this replica share
/// one outcome.
pub(crate) async fn renew(
    state: &State,
    grant: &GrantRow,
    provider: &Arc<ProviderRow>,
) -> Result<Renewed, VaultError> {
    flight::join(state, grant, provider)
        .await
        .map_err(VaultError::Shared)
}

/// Renews in the background, where nobody waits for it and nobody else is at it.
pub(crate) fn renew_ahead(state: &State, grant: &GrantRow, provider: &Arc<ProviderRow>) {
    flight::begin_ahead(state, grant, provider);
}

/// What is to be done about a grant whose access token is to be renewed.
#[derive(Debug)]
enum Next {
    Attempt(Recovery),
    /// Somebody else is at it.
    Wait,
    /// Its holder is gone.
    Interrupted,
    /// An attempt failed a moment ago.
    Pause(Timestamp),
    /// It will never give a token again.
    Dead(&'static str),
    /// Whether it will cannot be found out, and must not be tried.
    Unknowable,
}

fn next(state: &State, grant: &GrantRow, provider: &Provider, now: Timestamp) -> Next {
    if grant.state == GrantState::Refreshing {
        let leased = grant
            .lease_until
            .is_some_and(|until| until > now && until <= now.plus(LONGEST));
        return if leased { Next::Wait } else { Next::Interrupted };
    }
    if grant.refresh_token.is_none() {
        return Next::Dead("expired_without_refresh_token");
    }
    if !provider.is_pinned_by(grant) {
        return Next::Dead("provider_changed");
    }
    let paused = grant.refresh.retry_at;
    if let Some(until) = paused.filter(|until| *until > now && *until <= now.plus(LONGEST)) {
        // Nobody waits for a server that has just said that it will not say.
        if grant.state == GrantState::OutcomeUnknown && grant.reason.as_deref() == Some(attempt::NO_ANSWER) {
            return Next::Unknowable;
        }
        return Next::Pause(until);
    }
    recovery::of(grant, provider, &state.config.refresh, now).map_or(Next::Unknowable, Next::Attempt)
}

/// Who waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// Callers, for a token.
    Awaited,
    /// Nobody: the token is still good.
    Ahead,
}

/// Drives the grant to an outcome.
async fn drive(
    state: &State,
    seen: &GrantRow,
    provider: Arc<ProviderRow>,
    urgency: Urgency,
) -> Result<Renewed, VaultError> {
    let deadline = Instant::now() + WAIT;
    // Who waited for a replica that died waits for the refresh after it, too; others come again after a failure.
    let mut waited = false;
    let provider = match Provider::resolve(state, provider).await {
        Ok(provider) => provider,
        // An authorization server that is away does not keep anybody from a token that is still good.
        Err(_) if timing::alive(seen, state.clock.now()) => {
            return Ok(Renewed::Usable(Arc::new(seen.clone())));
        }
        Err(error) => return Err(VaultError::Refresh(ExchangeError::Provider(error))),
    };
    loop {
        let Some(grant) = grant::find(&state.pool, &seen.account, &seen.id).await? else {
            return Ok(Renewed::NeedsConsent("gone".to_owned()));
        };
        if grant.ended_at.is_some() {
            return Ok(Renewed::NeedsConsent(grant.reason.unwrap_or_default()));
        }
        let now = state.clock.now();
        // A pair that is newer than the one seen is fresh from the vendor: however short its life, there is none better.
        let newer = grant.refresh.generation > seen.refresh.generation && timing::alive(&grant, now);
        if newer || (urgency == Urgency::Awaited && timing::usable(&grant, now)) {
            return Ok(Renewed::Usable(Arc::new(grant)));
        }
        let alive = timing::alive(&grant, now);
        let wait_until = match next(state, &grant, &provider, now) {
            Next::Attempt(recovery) => match attempt::run(state, &grant, &provider, recovery).await {
                Ok(Made::Done) => continue,
                Ok(Made::Unknowable) if alive => return Ok(Renewed::Usable(Arc::new(grant))),
                Ok(Made::Unknowable) => return Ok(Renewed::NeedsConsent(UNKNOWN.to_owned())),
                Err(error) if alive => {
                    tracing::info!(grant.id = grant.id, %error, "the token is served as long as it lives");
                    return Ok(Renewed::Usable(Arc::new(grant)));
                }
                Err(error) => return Err(error),
            },
            Next::Interrupted => {
                waited = true;
                attempt::interrupt(state, &grant).await?;
                continue;
            }
            Next::Dead(reason) => {
                attempt::give_up(state, &grant, reason).await?;
                continue;
            }
            Next::Unknowable if alive => return Ok(Renewed::Usable(Arc::new(grant))),
            Next::Unknowable => return Ok(Renewed::NeedsConsent(UNKNOWN.to_owned())),
            Next::Wait => {
                waited = true;
                now.plus(POLL)
            }
            Next::Pause(until) => until,
        };
        if alive {
            return Ok(Renewed::Usable(Arc::new(grant)));
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        let pause = wait_until.since(now);
        if !waited || pause > patience {
            return Err(VaultError::Busy(pause));
        }
        tokio::time::sleep(pause.max(POLL)).await;
    }
}
