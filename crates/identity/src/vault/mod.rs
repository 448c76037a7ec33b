//! The token vault (design D13, D14): grants, who may have their tokens, and how tokens stay alive.
//!
//! It never releases a token by itself: an operation asks for one, records the release, and only then answers.

pub(crate) mod client_token;
pub(crate) mod confirmation;
pub(crate) mod consent;
pub(crate) mod direct_grant;
mod holdings;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod location;
mod patience;
mod proof;
pub(crate) mod provider;
pub(crate) mod refresh;
pub(crate) mod reseal;
pub(crate) mod revoke;
pub(crate) mod scope;

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, Timestamp};
use countersign_db::DbError;
use serde::{Deserialize, Serialize};

pub(crate) use provider::Provider;

use crate::state::NoKeys;
use crate::store::grant::GrantRow;

const TABLE: &str = "oauth2_grant";

/// The vendor's own name for the account that was connected (design D12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountIdentity {
    /// Stable, the vendor's key.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: Option<String>,
}

/// Why the vault could not say yes or no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// The store failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A sealed value does not open: another key, or tampering.
    #[error("sealed value: {0}")]
    Sealed(#[from] OpenError),
    /// Somebody else is at it, or the last attempt failed a moment ago: try again after this.
    #[error("a refresh is under way")]
    Busy(Duration),
    /// The authorization server has failed so often that it is left alone for this long.
    #[error("the authorization server does not answer")]
    ProviderAway(Duration),
    /// Somebody concerned is stopped; the audit reason.
    #[error("{0}")]
    Stopped(&'static str),
    /// What all who waited for one refresh are told.
    #[error("{0}")]
    Shared(#[source] Arc<VaultError>),
    /// The authorization server refused a refresh, or could not be reached.
    #[error("refresh: {0}")]
    Refresh(#[source] provider::ExchangeError),
    /// The authorization server gave no token, or could not be reached.
    #[error(transparent)]
    Exchange(#[from] provider::ExchangeError),
    /// A row of an account that this installation does not have.
    #[error(transparent)]
    Account(#[from] NoKeys),
}

/// Seals a token to its column of the grant `id`.
pub(crate) fn seal_token(
    keyring: &Keyring,
    random: &dyn Random,
    account: &str,
    id: &str,
    column: &'static str,
    token: &SecretString,
) -> Vec<u8> {
    keyring
        .seal(
            random,
            &Aad::new(account, TABLE, id, column),
            token.expose_secret().as_bytes(),
        )
        .into_bytes()
}

/// Opens the token in a column of `grant`.
pub(crate) fn open_token(
    keyring: &Keyring,
    grant: &GrantRow,
    column: &'static str,
    sealed: &[u8],
) -> Result<SecretString, OpenError> {
    open_column(keyring, &grant.account, &grant.id, column, sealed)
}

/// Opens what is sealed to a column of the grant `id`, wherever it lies.
pub(crate) fn open_column(
    keyring: &Keyring,
    account: &str,
    id: &str,
    column: &'static str,
    sealed: &[u8],
) -> Result<SecretString, OpenError> {
    let plaintext = keyring.open(&Aad::new(account, TABLE, id, column), sealed)?;
    let text = std::str::from_utf8(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)?;
    Ok(text.to_owned().into())
}

/// Seals an account identity to the grant `id`.
pub(crate) fn seal_identity(
    keyring: &Keyring,
    random: &dyn Random,
    account: &str,
    id: &str,
    identity: &AccountIdentity,
) -> Vec<u8> {
    let plaintext = serde_json::to_vec(identity).unwrap_or_default();
    keyring
        .seal(
            random,
            &Aad::new(account, TABLE, id, "account_identity"),
            &plaintext,
        )
        .into_bytes()
}

/// Opens the account identity of `grant`; `None` when the vendor gave none.
pub(crate) fn open_identity(
    keyring: &Keyring,
    grant: &GrantRow,
) -> Result<Option<AccountIdentity>, OpenError> {
    let Some(sealed) = &grant.account_identity else {
        return Ok(None);
    };
    let plaintext = keyring.open(
        &Aad::new(&grant.account, TABLE, &grant.id, "account_identity"),
        sealed,
    )?;
    serde_json::from_slice(plaintext.expose_secret())
        .map(Some)
        .map_err(|_| OpenError::Malformed)
}

/// As [`open_identity`], for those who go on without: a damaged one counts as unknown, and hides nothing else.
pub(crate) fn readable_identity(keyring: &Keyring, grant: &GrantRow) -> Option<AccountIdentity> {
    open_identity(keyring, grant).unwrap_or_else(|error| {
        tracing::error!(%error, grant.id = grant.id, "the account of a grant does not open, and counts as unknown");
        None
    })
}

/// When a token that lives `expires_in` seconds from `now` expires.
pub(crate) fn expiry(expires_in: Option<u64>, now: Timestamp) -> Option<Timestamp> {
    expires_in.map(|seconds| now.plus(Duration::from_secs(seconds)))
}
