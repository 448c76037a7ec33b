//! The vault's key under a key that its customer manages (`SetTokenVaultCMK`, `ResetTokenVaultKeyMaterial`).
//!
//! Only the vault's key is wrapped anew (design D27): what it sealed stays as it is, and nobody waits. Each replica asks
//! KMS from time to time whether the key still opens, so that a customer who disables it closes the vault everywhere.

use std::time::Duration;

use countersign_crypto::{
    KeyError, KeyProvider, KeyProviderError, KeyPurpose, KeyRow, KeyState, NewKey, Timestamp, token,
};
use countersign_db::{DbError, Fence, claim_lease, release_lease};

use crate::key_rotation;
use crate::keys::{customer_managed, open_vault};
use crate::state::State;
use crate::store::{key, token_vault};

/// For as long as KMS may take for every key of a vault.
const TURN: Duration = Duration::from_mins(2);
/// How often a closed vault is tried.
const AGAIN: Duration = Duration::from_secs(5);

/// The right to change what wraps an account's vault keys, or to make another: one at a time on all replicas.
pub(crate) struct Turn {
    lease: String,
    fence: Fence,
}

impl Turn {
    /// `None`: somebody else has it.
    pub(crate) async fn take(state: &State, account: &str) -> Result<Option<Self>, DbError> {
        let lease = format!("vault key {account}");
        let ttl = i64::try_from(TURN.as_micros()).unwrap_or(i64::MAX);
        let now = state.clock.now().as_micros();
        let holder = token(&*state.random);
        let claimed = claim_lease(&state.pool, &lease, &holder, now, ttl).await?;
        Ok(claimed.map(|fence| Self { lease, fence }))
    }

    /// Gives it back; a failure leaves it to lapse.
    pub(crate) async fn end(self, state: &State) {
        if let Err(error) = release_lease(&state.pool, &self.lease, self.fence).await {
            tracing::warn!(%error, "a lease could not be given back");
        }
    }
}

/// Why the key of a vault stays what it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CustomerKeyError {
    /// Somebody else is changing it.
    #[error("the vault's key is being changed")]
    Concurrent,
    /// The key is not on the account's list, or this program has no KMS.
    #[error("the key is not on the account's list")]
    NotAllowed,
    /// The new key does not exist, is of the wrong kind, or KMS does not let us use it.
    #[error("the new key: {0}")]
    Unusable(KeyError),
    /// The present key exists and does not open the vault.
    #[error("the present key: {0}")]
    Closed(KeyError),
    /// The present key does not exist any more.
    #[error("the present key: {0}")]
    Lost(KeyError),
    /// It is not lost: it opens the vault.
    #[error("the present key opens the vault")]
    Works,
    /// KMS cannot be asked now.
    #[error(transparent)]
    Unavailable(KeyError),
    /// The store.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The KMS key that wraps the vault of these rows; `None`: the root key of the installation does.
pub(crate) fn of<'a>(state: &State, rows: &'a [KeyRow]) -> Option<&'a str> {
    customer_managed(&*state.key_provider, rows).map(|row| row.provider_key_id.as_str())
}

/// Wraps every key of the vault under `key_arn`, or under the root key of the installation. Gives how many were wrapped
/// anew; retired ones are, too, since backups need them.
pub(crate) async fn set(
    state: &State,
    account: &str,
    key_arn: Option<&str>,
) -> Result<usize, CustomerKeyError> {
    let target = match key_arn {
        None => std::sync::Arc::clone(&state.key_provider),
        Some(arn) => {
            let customer = state.key_provider.customer_key(account, arn);
            let customer = customer.ok_or(CustomerKeyError::NotAllowed)?;
            customer
                .await
                .map_err(|error| passing(error.into(), CustomerKeyError::Unusable))?
        }
    };
    let turn = Turn::take(state, account)
        .await?
        .ok_or(CustomerKeyError::Concurrent)?;
    let set = wrap_all(state, account, &*target).await;
    turn.end(state).await;
    set
}

async fn wrap_all(state: &State, account: &str, target: &dyn KeyProvider) -> Result<usize, CustomerKeyError> {
    let rows = key::list_all(&state.pool, account, KeyPurpose::Vault).await?;
    let wanted = target.key_id();
    let mut rewrapped = Vec::new();
    for row in rows.iter().filter(|row| row.provider_key_id != wanted) {
        if let Err(error) = row.check(&*state.key_provider).await {
            // What a reset left behind opens for nobody, and nothing needs it.
            let of_lost = matches!(
                error,
                KeyError::Provider(KeyProviderError::Gone(_)) | KeyError::OtherRoot { .. }
            );
            if row.state == KeyState::Retired && of_lost {
                continue;
            }
            return Err(passing(error, not_opening));
        }
        let new = row.rewrap(&*state.key_provider, target).await;
        rewrapped.push((
            new.map_err(|error| passing(error, CustomerKeyError::Unusable))?,
            row,
        ));
    }
    let mut tx = state.pool.begin().await?;
    for (new, old) in &rewrapped {
        if !key::rewrapped(&mut tx, new, &old.wrapped).await? {
            return Err(CustomerKeyError::Concurrent);
        }
    }
    token_vault::changed(&mut tx, account, state.clock.now()).await?;
    state.commit(tx, &[(key::CHANGE, account)]).await?;
    key_rotation::renew_own(state).await;
    Ok(rewrapped.len())
}

/// What a reset took away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reset {
    /// Grants that need consent again.
    pub(crate) grants: usize,
}

/// Gives the vault a new key of the installation, when KMS says that the customer's is gone: what was sealed under it
/// will never open again. Registrations of providers, and what they are reached with, stay.
pub(crate) async fn reset(state: &State, account: &str) -> Result<Reset, CustomerKeyError> {
    let turn = Turn::take(state, account)
        .await?
        .ok_or(CustomerKeyError::Concurrent)?;
    let reset = replace_lost(state, account).await;
    turn.end(state).await;
    reset
}

async fn replace_lost(state: &State, account: &str) -> Result<Reset, CustomerKeyError> {
    let rows = key::list_all(&state.pool, account, KeyPurpose::Vault).await?;
    let Some(lost) = customer_managed(&*state.key_provider, &rows) else {
        return Err(CustomerKeyError::Works);
    };
    match lost.check(&*state.key_provider).await {
        Ok(()) => return Err(CustomerKeyError::Works),
        Err(KeyError::Provider(KeyProviderError::Gone(_))) => {}
        Err(error) => return Err(passing(error, not_opening)),
    }
    let newest = rows.iter().map(|row| row.version).max().unwrap_or_default();
    let new = NewKey {
        account,
        resource: &lost.resource,
        purpose: KeyPurpose::Vault,
        version: newest + 1,
    };
    let new = KeyRow::generate_symmetric(&*state.key_provider, &*state.random, &*state.clock, new).await;
    let new = new.map_err(|error| passing(error, CustomerKeyError::Unusable))?;
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    if !key::replace_all(&mut tx, &new).await? {
        return Err(CustomerKeyError::Concurrent);
    }
    let grants = token_vault::empty(&mut tx, account, now).await?;
    token_vault::changed(&mut tx, account, now).await?;
    state.commit(tx, &[(key::CHANGE, account)]).await?;
    // Here too before anybody is told; the others hear of it within a second.
    key_rotation::renew_own(state).await;
    state.cache.clear();
    Ok(Reset { grants })
}

/// What may pass by itself is told from what somebody has to mend.
fn passing(error: KeyError, otherwise: fn(KeyError) -> CustomerKeyError) -> CustomerKeyError {
    if matches!(error, KeyError::Provider(KeyProviderError::Unavailable(_))) {
        CustomerKeyError::Unavailable(error)
    } else {
        otherwise(error)
    }
}

/// Of a key that was to open the vault.
fn not_opening(error: KeyError) -> CustomerKeyError {
    if matches!(error, KeyError::Provider(KeyProviderError::Gone(_))) {
        CustomerKeyError::Lost(error)
    } else {
        CustomerKeyError::Closed(error)
    }
}

/// Asks each customer's key whether it still opens, for as long as the role runs. One that refuses closes the vault of
/// its account on this replica; one that is merely away does not.
pub(crate) async fn watch(state: State) {
    let every = state.config.customer_key_check();
    let mut asked = state.clock.now();
    loop {
        tokio::time::sleep(AGAIN.min(every)).await;
        let due = state.clock.now() >= asked.plus(every) || state.clock.now() < asked;
        if due {
            asked = state.clock.now();
        }
        for (account, keys) in &state.accounts {
            let closed = keys.ring(KeyPurpose::Vault).is_none();
            if (closed || due)
                && let Err(error) = look(&state, account, closed).await
            {
                tracing::warn!(%error, account, "the vault's key could not be looked at");
            }
        }
    }
}

async fn look(state: &State, account: &str, closed: bool) -> Result<(), CustomerKeyError> {
    let Some(keys) = state.accounts.get(account) else {
        return Ok(());
    };
    let rows = key::list(&state.pool, account, KeyPurpose::Vault).await?;
    let Some(primary) = customer_managed(&*state.key_provider, &rows) else {
        return Ok(());
    };
    if closed {
        let opened = open_vault(&*state.key_provider, &rows).await;
        if let Some(ring) = opened.map_err(|error| passing(error, not_opening))? {
            tracing::info!(account, "the vault is open again");
            keys.set_vault(Some(ring));
        }
        return Ok(());
    }
    match primary.check(&*state.key_provider).await {
        Ok(()) => Ok(()),
        Err(error @ KeyError::Provider(KeyProviderError::Unavailable(_))) => {
            Err(CustomerKeyError::Unavailable(error))
        }
        Err(error) => {
            tracing::error!(%error, account, "the vault's customer managed key does not open it any more; no token is served");
            keys.set_vault(None);
            Ok(())
        }
    }
}

/// When the vault's key last changed.
pub(crate) async fn last_modified(
    state: &State,
    account: &str,
    rows: &[KeyRow],
) -> Result<Timestamp, DbError> {
    let primary = rows.iter().find(|row| row.state == KeyState::Primary);
    let made = primary.map_or(state.clock.now(), |row| row.created_at);
    let changed = token_vault::last_changed(&state.pool, account).await?;
    Ok(changed.map_or(made, |changed| changed.max(made)))
}
