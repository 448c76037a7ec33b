//! The authorization session (design chapter 5): what happens between a workload that lacks a grant and a
//! person who gave one. This module knows what a session is made of; [`crate::store::authorization_session`]
//! moves it along its arrows, one compare-and-set each.
//!
//! It refuses to keep anything in the clear that would let its reader act: session URI, completion handle, state
//! and browser cookie are looked up by hash; what must be said again (URI, state, PKCE verifier, custom state,
//! the code) is sealed to its row.

mod status;
mod uri;

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_crypto::{
    Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, sha256, sha256_parts, token,
};
use serde::{Deserialize, Serialize};

pub(crate) use status::Status;
pub(crate) use uri::SessionUri;

use crate::state::State;
use crate::store::authorization_session::{self, SessionRow};
use crate::store::{client_token, inbound_jwt};

/// From the request to the end of completion.
pub(crate) const LIFETIME: Duration = Duration::from_mins(10);
/// How long a code is kept where its vendor does not say how long it lives; RFC 6749 section 4.1.2 recommends at
/// most ten minutes, vendors give one to ten.
pub(crate) const CODE_KEPT: Duration = Duration::from_mins(5);
/// After this an exchange is taken for interrupted.
pub(crate) const EXCHANGE_TIME: Duration = Duration::from_mins(1);
/// How long an account other than the one before waits to be confirmed (design D12), from the exchange on.
pub(crate) const CONFIRM_TIME: Duration = Duration::from_mins(10);
/// How long ended sessions stay, for polls and pages that ask what became of them.
pub(crate) const KEEP_ENDED: Duration = Duration::from_hours(24);
const HOUSEKEEPING: Duration = Duration::from_secs(15);

const TABLE: &str = "authorization_session";

/// The sealed part of a session.
#[derive(Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
pub(crate) struct Secrets {
    /// The session URI, so that an equal request can have it again.
    pub(crate) uri: String,
    /// The `state` of the authorization request, which a browser that starts twice sends twice.
    pub(crate) state: String,
    /// PKCE (RFC 7636).
    pub(crate) code_verifier: String,
    /// OpenID Connect's `nonce`, for requests with scope `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_state: Option<String>,
    #[zeroize(skip)]
    pub(crate) custom_parameters: BTreeMap<String, String>,
    #[zeroize(skip)]
    pub(crate) resources: Vec<String>,
    #[zeroize(skip)]
    pub(crate) audiences: Vec<String>,
}

impl Secrets {
    /// Seals to the row `id`.
    pub(crate) fn seal(&self, keyring: &Keyring, random: &dyn Random, account: &str, id: &str) -> Vec<u8> {
        let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        keyring
            .seal(random, &Aad::new(account, TABLE, id, "secrets"), &plaintext)
            .into_bytes()
    }

    /// Opens those of `session`.
    pub(crate) fn open(keyring: &Keyring, session: &SessionRow) -> Result<Self, OpenError> {
        let aad = Aad::new(&session.account, TABLE, &session.id, "secrets");
        let plaintext = keyring.open(&aad, &session.secrets)?;
        serde_json::from_slice(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)
    }
}

/// Seals an authorization code to its session's row.
pub(crate) fn seal_code(
    keyring: &Keyring,
    random: &dyn Random,
    session: &SessionRow,
    code: &SecretString,
) -> Vec<u8> {
    let aad = Aad::new(&session.account, TABLE, &session.id, "code");
    keyring
        .seal(random, &aad, code.expose_secret().as_bytes())
        .into_bytes()
}

/// Opens the code that `session` holds; `None` when it holds none.
pub(crate) fn open_code(keyring: &Keyring, session: &SessionRow) -> Result<Option<SecretString>, OpenError> {
    let Some(sealed) = &session.code else {
        return Ok(None);
    };
    let plaintext = keyring.open(&Aad::new(&session.account, TABLE, &session.id, "code"), sealed)?;
    let text = std::str::from_utf8(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)?;
    Ok(Some(text.to_owned().into()))
}

/// Vault key and scope set together: one session of a slot waits at a time.
pub(crate) fn slot(vault_key: &[u8; 32], scopes: &[String]) -> [u8; 32] {
    sha256_parts(&[b"slot", vault_key, &crate::vault::key::set_hash(scopes)])
}

/// What makes two requests of one slot equal. `sid` is part of it: a person who has logged in anew could not
/// complete what was asked for in the earlier browser session (design D9).
pub(crate) struct RequestIdentity<'a> {
    pub(crate) slot: &'a [u8; 32],
    pub(crate) return_url: &'a str,
    pub(crate) custom_state: Option<&'a str>,
    pub(crate) sid: Option<&'a str>,
    pub(crate) provider_version: i64,
}

/// The hash by which equal requests are found.
pub(crate) fn request_hash(request: &RequestIdentity<'_>) -> [u8; 32] {
    let optional =
        |text: Option<&str>| text.map_or_else(|| vec![0], |text| [b"\x01", text.as_bytes()].concat());
    sha256_parts(&[
        b"request",
        request.slot,
        request.return_url.as_bytes(),
        &optional(request.custom_state),
        &optional(request.sid),
        &request.provider_version.to_be_bytes(),
    ])
}

/// A fresh `state`, and the hash it is found by.
pub(crate) fn generate_state(random: &dyn Random) -> (String, [u8; 32]) {
    let state = token(random);
    let hash = sha256(state.as_bytes());
    (state, hash)
}

/// Ends what lapsed, and forgets what ended long ago, for as long as the role runs: sessions, and tokens that have
/// expired. Each look at a session checks its deadline itself; this keeps codes from lying in the database after theirs.
pub(crate) async fn housekeeping(state: State) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let now = state.clock.now();
        let outcome = async {
            authorization_session::expire_due(&state.pool, now).await?;
            authorization_session::purge(&state.pool, now.minus(KEEP_ENDED)).await?;
            client_token::purge(&state.pool, now).await?;
            inbound_jwt::purge(&state.pool, now).await
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "what lapsed could not be ended or deleted");
        }
    }
}
