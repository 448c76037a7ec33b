//! Withdrawing a grant: here at once and for good, at the vendor as far as it lets us (RFC 7009).
//!
//! Ending a grant takes its tokens from the vault and puts them into a queue, in one transaction. The first attempt at
//! the vendor is made at once by whoever ended it, so that they can be told; what fails is tried again with growing
//! pauses, by whichever replica is free, until the vendor has answered or three days are over.

use std::time::Duration;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::{Keyring, Timestamp};
use countersign_db::DbError;
use countersign_oauth::TokenSet;
use countersign_oauth::revoke::TokenKind;

use super::confirmation;
use super::{Provider, VaultError, expiry, open_column, seal_token};
use crate::state::State;
use crate::store::grant::{self, GrantRow, GrantState};
use crate::store::revocation::{self, RevocationRow, RevocationState};

/// How long an attempt may take before another replica makes the next.
const LEASE: Duration = Duration::from_mins(2);
/// How long somebody waits for the first attempt to be told how it went.
const WAIT: Duration = Duration::from_secs(10);
/// After the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// When a vendor that never answers is given up, and the tokens are destroyed.
const GIVE_UP: Duration = Duration::from_hours(72);
/// How often the queue is looked at, and how much of it at once.
const ROUND: Duration = Duration::from_secs(2);
const BATCH: i64 = 32;

/// What the vendor said to a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtVendor {
    /// It revoked the token.
    Revoked,
    /// It does not let a client revoke.
    NotOffered,
    /// It could not be reached, or refused; the token may live on there.
    Failed,
    /// The provider was deleted here, and with it what proves us to the vendor.
    ProviderDeleted,
    /// The provider is no longer the one that was consented to: it must not see the token.
    ProviderChanged,
    /// There is no token left to show.
    NoToken,
    /// The stored token does not open, and never will.
    Unreadable,
}

impl AtVendor {
    /// The word in the store, in audit records and on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::NotOffered => "not_offered",
            Self::Failed => "not_answered",
            Self::ProviderDeleted => "provider_deleted",
            Self::ProviderChanged => "provider_changed",
            Self::NoToken => "no_token",
            Self::Unreadable => "vault_unreadable",
        }
    }
}

/// Ends `grant` and tries to have it revoked at the vendor. `None` when it had ended already; otherwise how its
/// revocation stands, `None` in turn where there was no token to withdraw, or where that cannot be read. An error: it has
/// not ended.
pub(crate) async fn revoke(
    state: &State,
    grant: &GrantRow,
    reason: &'static str,
) -> Result<Option<Option<RevocationRow>>, DbError> {
    if !end(state, &grant.id, reason).await? {
        return Ok(None);
    }
    let told = async {
        attempt(state, &grant.id).await?;
        Ok::<_, VaultError>(revocation::find(&state.pool, &grant.id).await?)
    };
    // The worker goes on with what takes longer, and with what failed.
    let told = tokio::time::timeout(WAIT, told).await;
    let told = told.unwrap_or_else(|_| Ok(None)).unwrap_or_else(|error| {
        tracing::warn!(grant.id = grant.id, %error, "a grant that has ended waits for its revocation");
        None
    });
    Ok(Some(told))
}

/// Ends a grant here and leaves its revocation to the queue. False when it had ended already.
pub(crate) async fn end(state: &State, id: &str, reason: &'static str) -> Result<bool, DbError> {
    loop {
        match end_once(state, id, reason).await {
            Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

async fn end_once(state: &State, id: &str, reason: &'static str) -> Result<bool, DbError> {
    let mut tx = state.pool.begin().await?;
    let ended = grant::end(&mut tx, id, GrantState::Revoked, reason, state.clock.now()).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Writes that `row` has ended by itself, or by an operation on many: `restore --audit-export` ends it again by that. The
/// change is made already, so a failure of the trail is logged.
pub(crate) async fn record_end(state: &State, row: &GrantRow, reason: &'static str) {
    let mut entry = Entry::new("EndGrant", Outcome::Done)
        .with_reason(reason)
        .with_account(row.account.as_str(), state.config.region.as_str())
        .with_workload(row.workload_name.as_str())
        .with_provider(row.provider_name.as_str())
        .with_grant(row.id.as_str())
        .with_person(row.user_key);
    entry.session = Some(row.session_id.clone());
    if let Err(error) = state.recorder.record(entry).await {
        tracing::error!(%error, grant.id = row.id, "the end of a grant could not be recorded");
    }
}

/// Works the queue off, for as long as the role runs.
pub(crate) async fn work(state: State) {
    loop {
        tokio::time::sleep(ROUND).await;
        // What nobody has confirmed comes into the queue by that.
        if let Err(error) = confirmation::end_overdue(&state).await {
            tracing::warn!(%error, "grants that nobody has confirmed could not be ended");
        }
        if let Err(error) = round(&state).await {
            tracing::warn!(%error, "revocations that are due could not be made");
        }
    }
}

async fn round(state: &State) -> Result<(), VaultError> {
    let due = revocation::list_due(&state.pool, state.clock.now(), BATCH).await?;
    let attempts = due.iter().map(|id| attempt(state, id));
    for outcome in futures_util::future::join_all(attempts).await {
        // One that cannot be made does not keep the others waiting; its lease lapses, and it is due again.
        if let Err(error) = outcome {
            tracing::warn!(%error, "a revocation failed");
        }
    }
    Ok(())
}

/// Makes the attempt that is due for the grant `id`, if nobody else is at it.
async fn attempt(state: &State, id: &str) -> Result<(), VaultError> {
    let now = state.clock.now();
    let Some(claimed) = revocation::claim(&state.pool, id, now.plus(LEASE), now).await? else {
        return Ok(());
    };
    // Whatever fails here counts as an attempt, or it would be made without end.
    let at_vendor = match tell_vendor(state, &claimed).await {
        Ok(at_vendor) => at_vendor,
        Err(error) => {
            tracing::warn!(%error, grant.id = claimed.grant_id, "a revocation could not be made");
            match error {
                VaultError::Sealed(_) => AtVendor::Unreadable,
                _ => AtVendor::Failed,
            }
        }
    };
    let now = state.clock.now();
    let over = now.since(claimed.created_at) >= GIVE_UP;
    let (revocation, next_at) = match at_vendor {
        AtVendor::Revoked => (RevocationState::Done, now),
        AtVendor::Failed if !over => (RevocationState::Pending, now.plus(pause(claimed.attempts))),
        _ => (RevocationState::Failed, now),
    };
    let reason = at_vendor.as_str();
    let written = revocation::finish(&state.pool, &claimed, revocation, reason, next_at, now).await?;
    if written && revocation != RevocationState::Pending {
        record(state, &claimed, revocation, reason).await;
    }
    Ok(())
}

/// After this many attempts.
fn pause(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    (FIRST_PAUSE * 2u32.pow(doublings)).min(revocation::LONGEST)
}

/// How it ended at the vendor. No token hangs on this record, so a failure to write it is logged and no more.
async fn record(state: &State, row: &RevocationRow, revocation: RevocationState, reason: &'static str) {
    let outcome = if revocation == RevocationState::Done {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    let entry = Entry::new("RevokeAtProvider", outcome)
        .with_account(row.account.as_str(), state.config.region.as_str())
        .with_grant(row.grant_id.as_str())
        .with_detail("attempts", row.attempts);
    let entry = match revocation {
        RevocationState::Done => entry,
        _ => entry.with_reason(reason),
    };
    if let Err(error) = state.recorder.record(entry).await {
        tracing::error!(%error, grant.id = row.grant_id, "a revocation could not be recorded");
    }
}

/// Revokes the token that the vendor lets a client revoke: the refresh token, which takes its access tokens along
/// (RFC 7009 section 2.1), or else the access token.
async fn tell_vendor(state: &State, row: &RevocationRow) -> Result<AtVendor, VaultError> {
    let found = state.cache.provider_by_id(&row.account, &row.provider_id).await?;
    let Some(found) = found else {
        return Ok(AtVendor::ProviderDeleted);
    };
    let Ok(provider) = Provider::resolve(state, found).await else {
        return Ok(AtVendor::Failed);
    };
    if provider.pins() != row.pins {
        return Ok(AtVendor::ProviderChanged);
    }
    let Some(kind) = provider.revocable(row.refresh_token.is_some()) else {
        return Ok(AtVendor::NotOffered);
    };
    let keyring = state.vault_keyring(&row.account)?;
    let open = |column, sealed: &[u8]| open_column(&keyring, &row.account, &row.grant_id, column, sealed);
    let token = match (kind, &row.refresh_token, &row.access_token) {
        (TokenKind::Refresh, Some(sealed), _) => open("refresh_token", sealed)?,
        (TokenKind::Access, None, Some(sealed)) => open("access_token", sealed)?,
        (TokenKind::Access, Some(_), Some(sealed)) if alive(row, state.clock.now()) => {
            open("access_token", sealed)?
        }
        // An expired token proves nothing to the vendor any more, and the grant that is to end lives on there.
        (TokenKind::Access, Some(sealed), _) => {
            let refresh_token = open("refresh_token", sealed)?;
            match provider.refresh(state, &refresh_token, &row.resources).await {
                Ok(tokens) => {
                    keep(state, &keyring, row, &tokens).await?;
                    tokens.access_token
                }
                Err(error) => {
                    tracing::info!(grant.id = row.grant_id, %error, "no token to revoke with");
                    return Ok(AtVendor::Failed);
                }
            }
        }
        _ => return Ok(AtVendor::NoToken),
    };
    Ok(provider.revoke(state, &token, kind).await)
}

fn alive(row: &RevocationRow, now: Timestamp) -> bool {
    row.access_expires_at.is_none_or(|expiry| expiry > now)
}

/// The pair that a refresh on the way gave: a next attempt needs it.
async fn keep(
    state: &State,
    keyring: &Keyring,
    row: &RevocationRow,
    tokens: &TokenSet,
) -> Result<(), DbError> {
    let seal = |column, token| {
        seal_token(
            keyring,
            &*state.random,
            &row.account,
            &row.grant_id,
            column,
            token,
        )
    };
    let access_token = seal("access_token", &tokens.access_token);
    let refresh_token = tokens
        .refresh_token
        .as_ref()
        .map(|token| seal("refresh_token", token));
    let expires_at = expiry(tokens.expires_in, state.clock.now());
    revocation::keep(
        &state.pool,
        row,
        &access_token,
        refresh_token.as_deref(),
        expires_at,
    )
    .await?;
    Ok(())
}

/// Revokes tokens that were issued and are not to be kept, as far as the vendor lets us.
pub(crate) async fn discard(state: &State, provider: &Provider, tokens: &TokenSet) {
    let at_vendor = match (
        provider.revocable(tokens.refresh_token.is_some()),
        &tokens.refresh_token,
    ) {
        (Some(TokenKind::Refresh), Some(token)) => provider.revoke(state, token, TokenKind::Refresh).await,
        (Some(_), _) => {
            provider
                .revoke(state, &tokens.access_token, TokenKind::Access)
                .await
        }
        (None, _) => AtVendor::NotOffered,
    };
    tracing::info!(
        provider.name = provider.row.name,
        outcome = at_vendor.as_str(),
        "tokens that are not kept"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_six_hours() {
        let pauses: Vec<u64> = [1, 2, 3, 10, 11, i64::MAX].map(|n| pause(n).as_secs()).to_vec();
        assert_eq!(pauses, [30, 60, 120, 15_360, 21_600, 21_600]);
    }
}
