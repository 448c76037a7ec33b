//! Tokens of workloads themselves (client credentials): sealed and kept until they expire, fetched by one caller of a
//! replica for all who wait. What was got under an earlier version of the provider's registration is never served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use countersign_crypto::{Aad, ExposeSecret as _, SecretString, Timestamp, sha256_parts, uuid_v7};
use countersign_oauth::token::Target;

use super::provider::ExchangeError;
use super::refresh::timing::MARGIN;
use super::{Provider, VaultError, expiry, key};
use crate::state::State;
use crate::store::client_token::{self, ClientTokenRow};
use crate::store::oauth2_provider::ProviderRow;

const TABLE: &str = "client_token";

/// Whose token, where, and good for what.
pub(crate) struct Wanted<'a> {
    pub(crate) provider: &'a Arc<ProviderRow>,
    pub(crate) workload_id: &'a str,
    pub(crate) vault_key: [u8; 32],
    pub(crate) target: Target<'a>,
    /// Asks the provider whatever is kept.
    pub(crate) force: bool,
}

/// A token that may be used now.
pub(crate) struct ClientToken {
    pub(crate) access_token: SecretString,
    /// What was granted, sorted.
    pub(crate) scopes: Vec<String>,
    /// `None`: the provider did not say, and the token is not kept.
    pub(crate) expires_at: Option<Timestamp>,
    /// Whether the provider was asked.
    pub(crate) fetched: bool,
}

/// One turn at a time for each token wanted.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<[u8; 32], Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, wanted: [u8; 32]) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&wanted).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(wanted, Arc::downgrade(&turn));
        turn
    }
}

/// The kept token, or a new one.
pub(crate) async fn obtain(state: &State, wanted: &Wanted<'_>) -> Result<ClientToken, VaultError> {
    let scope_set = key::set_hash(wanted.target.scopes);
    if !wanted.force
        && let Some(kept) = kept(state, wanted, &scope_set).await?
    {
        return Ok(kept);
    }
    let turn = state
        .client_tokens
        .of(sha256_parts(&[&wanted.vault_key, &scope_set]));
    let _turn = turn.lock().await;
    if !wanted.force
        && let Some(kept) = kept(state, wanted, &scope_set).await?
    {
        return Ok(kept);
    }
    fetch(state, wanted, scope_set).await
}

async fn kept(
    state: &State,
    wanted: &Wanted<'_>,
    scope_set: &[u8; 32],
) -> Result<Option<ClientToken>, VaultError> {
    let good_at = state.clock.now().plus(MARGIN);
    let version = wanted.provider.config_version;
    let row = client_token::find(&state.pool, &wanted.vault_key, scope_set, version, good_at).await?;
    let Some(row) = row else { return Ok(None) };
    let keyring = &*state.vault_keyring(&row.account)?;
    let plaintext = keyring.open(&place(&row.account, &row.id), &row.access_token)?;
    let text = std::str::from_utf8(plaintext.expose_secret())
        .map_err(|_| countersign_crypto::OpenError::Malformed)?;
    Ok(Some(ClientToken {
        access_token: text.to_owned().into(),
        scopes: row.scopes,
        expires_at: Some(row.expires_at),
        fetched: false,
    }))
}

async fn fetch(state: &State, wanted: &Wanted<'_>, scope_set: [u8; 32]) -> Result<ClientToken, VaultError> {
    let provider = Provider::resolve(state, Arc::clone(wanted.provider))
        .await
        .map_err(ExchangeError::Provider)?;
    let tokens = provider.client_credentials(state, &wanted.target).await?;
    let now = state.clock.now();
    let granted = tokens.scope.as_deref().map(key::normalised_scopes);
    let token = ClientToken {
        scopes: provider.effective_scopes(wanted.target.scopes, granted.as_deref()),
        expires_at: expiry(tokens.expires_in, now),
        access_token: tokens.access_token,
        fetched: true,
    };
    let Some(expires_at) = token.expires_at else {
        return Ok(token);
    };
    let account = &wanted.provider.account;
    let id = uuid_v7(&*state.clock, &*state.random).to_string();
    let sealed = state.vault_keyring(account)?.seal(
        &*state.random,
        &place(account, &id),
        token.access_token.expose_secret().as_bytes(),
    );
    let row = ClientTokenRow {
        account: account.clone(),
        workload_id: wanted.workload_id.to_owned(),
        provider_id: wanted.provider.id.clone(),
        provider_version: wanted.provider.config_version,
        vault_key: wanted.vault_key,
        scope_set,
        scopes: token.scopes.clone(),
        access_token: sealed.into_bytes(),
        expires_at,
        created_at: now,
        id,
    };
    client_token::replace(&state.pool, &row).await?;
    Ok(token)
}

fn place(account: &str, id: &str) -> Aad {
    Aad::new(account, TABLE, id, "access_token")
}
