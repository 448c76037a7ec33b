//! The refresh ledger (design D14). A refresh token may be good for one use: two callers must never send the same
//! one, and an answer that got lost must be told from a request that never left.
//!
//! 1. The lease and the intent to call are one statement, under a new fence.
//! 2. The call runs in a task of its own: a caller that hangs up does not tear it down.
//! 3. The new pair is stored if the fence still holds, before anybody gets it.
//!
//! Nothing is sent when the provider is no longer the one that was consented to.

use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_oauth::{Outcome, Vendor};

use super::provider::ExchangeError;
use super::{Provider, VaultError, open_token, seal_token};
use crate::state::State;
use crate::store::grant::{self, GrantRow, GrantState, Refreshed};

/// A token with less time left than this is renewed first.
pub(super) const SKEW: Duration = Duration::from_secs(20);
/// Longer than any call to a token endpoint is allowed to take.
const LEASE: Duration = Duration::from_secs(45);
/// How long a caller waits for another's refresh.
const WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// After a refresh of unknown outcome, how long until the next attempt.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(5);

/// What became of a grant that was to yield a token.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// Its access token may be used now.
    Usable(Box<GrantRow>),
    /// The person has to consent again.
    NeedsConsent,
}

/// Makes sure that `grant` has a usable access token, refreshing it if need be.
pub(crate) async fn renew(
    state: &State,
    grant: GrantRow,
    provider: &Provider,
) -> Result<Renewed, VaultError> {
    let began = state.clock.now();
    let mut grant = grant;
    let mut skew = skew(provider.vendor());
    loop {
        let now = state.clock.now();
        let next = next(&grant, provider, now);
        // Early renewal is for later: nobody waits for it, and where it fails the token is good nonetheless.
        let early = usable(&grant, now, SKEW);
        if usable(&grant, now, skew) || (early && !matches!(next, Next::Refresh)) {
            return Ok(Renewed::Usable(Box::new(grant)));
        }
        match next {
            Next::Consent(reason) => {
                let ended = grant::refuse_refresh(&state.pool, &grant.id, grant.fence, reason, now).await?;
                if ended {
                    tracing::info!(grant.id = grant.id, reason, "the grant needs consent again");
                }
            }
            Next::Wait if now.since(began) >= WAIT => return Err(VaultError::Busy),
            Next::Wait => tokio::time::sleep(POLL).await,
            Next::Pause => return Err(VaultError::Busy),
            Next::Refresh => {
                let lease_until = now.plus(LEASE);
                let fence =
                    grant::claim_refresh(&state.pool, &grant.id, grant.fence, lease_until, now).await?;
                if let Some(fence) = fence {
                    let call = refresh(state.clone(), grant.clone(), provider.clone(), fence);
                    let renewed = tokio::spawn(call).await.map_err(|_| VaultError::Busy)?;
                    if !early {
                        renewed?;
                    }
                }
                skew = skew.min(SKEW);
            }
        }
        let Some(current) = grant::find(&state.pool, &grant.account, &grant.id).await? else {
            return Ok(Renewed::NeedsConsent);
        };
        if current.ended_at.is_some() {
            return Ok(Renewed::NeedsConsent);
        }
        if current.access_expires_at != grant.access_expires_at {
            // Fresh from the vendor: however short its life, it is the best there is.
            skew = Duration::ZERO;
        }
        grant = current;
    }
}

enum Next {
    Refresh,
    /// Someone else is refreshing.
    Wait,
    /// The last refresh had an unknown outcome a moment ago.
    Pause,
    Consent(&'static str),
}

fn next(grant: &GrantRow, provider: &Provider, now: Timestamp) -> Next {
    let leased = grant.lease_until.is_some_and(|until| until > now);
    if grant.state == GrantState::Refreshing && leased {
        return Next::Wait;
    }
    if grant.refresh_token.is_none() {
        return Next::Consent("expired_without_refresh_token");
    }
    if !provider.is_pinned_by(grant) {
        return Next::Consent("provider_changed");
    }
    if grant.state == GrantState::Unknown && now.since(grant.updated_at) < UNKNOWN_PAUSE {
        return Next::Pause;
    }
    Next::Refresh
}

/// With how much time left a vendor's token is renewed first.
pub(crate) fn skew(vendor: &Vendor) -> Duration {
    vendor.renewal.early.unwrap_or(SKEW)
}

/// Whether the access token may go out as it is.
pub(crate) fn usable(grant: &GrantRow, now: Timestamp, skew: Duration) -> bool {
    grant.access_token.is_some()
        && grant
            .access_expires_at
            .is_none_or(|expiry| now.plus(skew) < expiry)
}

/// One call, under `fence`.
async fn refresh(state: State, grant: GrantRow, provider: Provider, fence: i64) -> Result<(), VaultError> {
    let keys = state.keys(&grant.account)?;
    let sealed = grant.refresh_token.as_deref().unwrap_or_default();
    let refresh_token = open_token(&keys.vault, &grant, "refresh_token", sealed)?;
    let answer = provider.refresh(&state, &refresh_token, &grant.resources).await;
    let now = state.clock.now();
    match answer {
        Ok(tokens) => {
            let seal = |column, token| {
                seal_token(
                    &keys.vault,
                    &*state.random,
                    &grant.account,
                    &grant.id,
                    column,
                    token,
                )
            };
            let refreshed = Refreshed {
                access_token: seal("access_token", &tokens.access_token),
                refresh_token: tokens
                    .refresh_token
                    .as_ref()
                    .map(|token| seal("refresh_token", token)),
                access_expires_at: super::expiry(tokens.expires_in, now),
            };
            if !grant::finish_refresh(&state.pool, &grant.id, fence, &refreshed, now).await? {
                tracing::warn!(
                    grant.id = grant.id,
                    "a refresh came back to a grant that had changed meanwhile"
                );
            }
            Ok(())
        }
        Err(ExchangeError::Token(error)) if error.is_invalid_grant() => {
            // The fence is the reread: if anybody stored a newer pair meanwhile, this changes nothing.
            grant::refuse_refresh(&state.pool, &grant.id, fence, "invalid_grant", now).await?;
            Ok(())
        }
        Err(error) => {
            let unknown =
                matches!(&error, ExchangeError::Token(error) if error.outcome() == Outcome::Unknown);
            let back_to = if unknown {
                GrantState::Unknown
            } else {
                GrantState::Active
            };
            grant::abandon_refresh(&state.pool, &grant.id, fence, back_to, now).await?;
            tracing::warn!(grant.id = grant.id, %error, state = back_to.as_str(), "a refresh failed");
            Err(VaultError::Refresh(error))
        }
    }
}
