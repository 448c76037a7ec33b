//! Who signed a request (SigV4). Anything else that a request says about its sender counts for nothing.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use countersign_api::sigv4::{Expectation, SigV4Error, SignedRequest};
use countersign_api::{ApiError, Arn};
use countersign_crypto::{
    Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, Timestamp, random_bytes,
};
use countersign_db::DbError;
use http::request::Parts;

use crate::cache::{Credential, SigningKeys};
use crate::state::{NoKeys, State};
use crate::store::access_key::{self, AccessKeyRow};
use crate::store::principal::{self, PrincipalRow};
use crate::sts::{session_token, trust};

const TABLE: &str = "access_key";
/// The audit reason of a stranger who is refused unheard.
const SOURCE_RATE_EXCEEDED: &str = "source_rate_exceeded";

/// Nobody known signed the request.
#[derive(Debug)]
pub(crate) enum Unauthenticated {
    /// It is not signed, or not as it should be.
    Refused {
        error: ApiError,
        /// The audit reason.
        reason: &'static str,
    },
    /// We could not tell.
    Failed(AccessKeyError),
}

/// An access key could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessKeyError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("secret of access key {id}: {cause}")]
    Sealed { id: String, cause: OpenError },
    #[error(transparent)]
    Account(#[from] NoKeys),
}

/// Who signed a request.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    /// Whose policy holds.
    pub(crate) principal: Arc<PrincipalRow>,
    /// With temporary credentials, the name of the role's session.
    pub(crate) session: Option<String>,
}

impl Authenticated {
    /// The caller as it is shown and recorded.
    pub(crate) fn arn(&self) -> Arn {
        let principal = &self.principal;
        match &self.session {
            Some(session) => Arn::assumed_role(&principal.account, &principal.name, session),
            None => principal.arn(),
        }
    }
}

impl From<SigV4Error> for Unauthenticated {
    fn from(error: SigV4Error) -> Self {
        Self::refused(error.reason(), error.into())
    }
}

impl Unauthenticated {
    pub(crate) const fn refused(reason: &'static str, error: ApiError) -> Self {
        Self::Refused { error, reason }
    }
}

/// Refuses a stranger whose source has been refused too often, before anything is read or looked up for it.
pub(crate) fn admit_source(
    state: &State,
    parts: &Parts,
    source: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Unauthenticated> {
    let Some(seconds) = source.and_then(|source| state.strangers.wait(source, now)) else {
        return Ok(());
    };
    let familiar = SignedRequest::parse(parts).is_ok_and(|signed| {
        let id = &signed.access_key_id;
        // What a change has dropped from memory is known all the same: it must not wait for the strangers to go.
        state.access_key_uses.has_seen(id)
            || state.cache.knows_credential(id)
            || state.cache.knows_credential(&of_session_key(id))
    });
    if familiar {
        return Ok(());
    }
    let error = ApiError::throttled("Rate exceeded", seconds);
    Err(Unauthenticated::refused(SOURCE_RATE_EXCEEDED, error))
}

/// Counts a refusal of a stranger; one of [`admit_source`] does not count again.
pub(crate) fn count_refusal(state: &State, source: Option<IpAddr>, reason: &str, now: Timestamp) {
    if let Some(source) = source.filter(|_| reason != SOURCE_RATE_EXCEEDED) {
        state.strangers.refused_one(source, now);
    }
}

/// No access key id has a slash: without its session token nobody finds this.
fn of_session_key(access_key_id: &str) -> String {
    format!("{access_key_id}/session")
}

/// Who signed the request for `service`.
pub(crate) async fn authenticate(
    state: &State,
    parts: &Parts,
    body: &[u8],
    service: &str,
) -> Result<Authenticated, Unauthenticated> {
    let signed = SignedRequest::parse(parts)?;
    authenticate_signed(state, &signed, parts, body, service).await
}

/// As [`authenticate`], with the parts of the signature.
pub(crate) async fn authenticate_signed(
    state: &State,
    signed: &SignedRequest,
    parts: &Parts,
    body: &[u8],
    service: &str,
) -> Result<Authenticated, Unauthenticated> {
    signed.check(&Expectation {
        region: &state.config.region,
        service,
        now_secs: state.clock.now().as_secs(),
    })?;
    if !is_access_key_id(&signed.access_key_id) {
        return Err(SigV4Error::UnknownAccessKey.into());
    }
    let (credential, session) = if let Some(token) = &signed.session_token {
        let (credential, name) = Box::pin(of_session(state, &signed.access_key_id, token)).await?;
        (credential, Some(name))
    } else {
        let found = find(state, &signed.access_key_id).await;
        let found = found.map_err(Unauthenticated::Failed)?;
        (found.ok_or(SigV4Error::UnknownAccessKey)?, None)
    };
    // The scope was checked above, so that nobody can fill memory with keys of made-up scopes.
    let signing_key = credential.signing_keys.of(signed, &credential.secret);
    signed.verify_with(parts, body, &signing_key)?;
    if session.is_none() {
        state
            .access_key_uses
            .note(&signed.access_key_id, state.clock.now());
    }
    Ok(Authenticated {
        principal: Arc::clone(&credential.principal),
        session,
    })
}

/// The temporary credentials that a session token holds, and the session's name. The role must be there and trust the
/// token that the session was made for.
async fn of_session(
    state: &State,
    access_key_id: &str,
    token: &SecretString,
) -> Result<(Arc<Credential>, String), Unauthenticated> {
    let invalid = |reason| Unauthenticated::refused(reason, SigV4Error::UnknownAccessKey.into());
    let opened = session_token::split(token.expose_secret()).and_then(|(account, sealed)| {
        let keyring = &state.keys(account).ok()?.credential;
        let session = session_token::open(keyring, account, access_key_id, sealed)?;
        Some((account, session))
    });
    let (account, session) = opened.ok_or_else(|| invalid("security_token_invalid"))?;
    if state.clock.now() >= session.expires {
        return Err(SigV4Error::ExpiredToken.into());
    }
    let load = || async {
        let role = principal::find_by_id(&state.pool, &session.role_id).await?;
        Ok::<_, DbError>(role.map(|role| Credential {
            secret: session.secret.clone(),
            signing_keys: SigningKeys::default(),
            principal: Arc::new(role),
        }))
    };
    let credential = state.cache.credential(&of_session_key(access_key_id), load).await;
    let credential = credential
        .map_err(|error| Unauthenticated::Failed(error.into()))?
        .ok_or_else(|| invalid("role_unknown"))?;
    let trust = credential.principal.trust.as_ref();
    let trust = trust.ok_or_else(|| invalid("role_unknown"))?;
    if state.config.workload_issuer(account, &session.issuer).is_none() {
        return Err(invalid("issuer_not_configured"));
    }
    trust::find(trust, &session.issuer, &[&session.audience], &session.subject).map_err(invalid)?;
    Ok((credential, session.name))
}

/// AWS's form, checked before any look-up: 16 to 128 upper-case letters and digits.
pub(crate) fn is_access_key_id(id: &str) -> bool {
    (16..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

async fn find(state: &State, id: &str) -> Result<Option<Arc<Credential>>, AccessKeyError> {
    let load = || async {
        // A key that was made inactive is one that does not exist.
        let Some(key) = access_key::find(&state.pool, id).await?.filter(|key| key.active) else {
            return Ok(None);
        };
        let Some(principal) = principal::find_by_id(&state.pool, &key.principal_id).await? else {
            return Ok(None);
        };
        let keyring = &state.keys(&key.account)?.credential;
        let secret =
            open_secret(keyring, &key.account, id, &key.secret).map_err(|cause| AccessKeyError::Sealed {
                id: id.to_owned(),
                cause,
            })?;
        Ok(Some(Credential {
            secret,
            signing_keys: SigningKeys::default(),
            principal: Arc::new(principal),
        }))
    };
    state.cache.credential(id, load).await
}

/// A new access key of `principal`, in AWS's form: `AKIA` and 16 characters of base 32, 30 random bytes as secret.
pub(crate) fn generate_access_key(
    keyring: &Keyring,
    random: &dyn Random,
    principal: &PrincipalRow,
    now: Timestamp,
) -> (AccessKeyRow, SecretString) {
    let id = generate_access_key_id("AKIA", random);
    let secret = generate_secret(random);
    (
        seal_access_key(keyring, random, principal, &id, &secret, now),
        secret,
    )
}

/// `prefix` and 16 characters of base 32. AWS's prefixes are `AKIA` for keys that last and `ASIA` for temporary ones.
pub(crate) fn generate_access_key_id(prefix: &str, random: &dyn Random) -> String {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let characters = random_bytes::<16>(random).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    prefix.chars().chain(characters).collect()
}

/// A secret access key of 30 random bytes.
pub(crate) fn generate_secret(random: &dyn Random) -> SecretString {
    base64::engine::general_purpose::STANDARD
        .encode(random_bytes::<30>(random))
        .into()
}

/// The row of a key with this id and secret.
pub(crate) fn seal_access_key(
    keyring: &Keyring,
    random: &dyn Random,
    principal: &PrincipalRow,
    id: &str,
    secret: &SecretString,
    now: Timestamp,
) -> AccessKeyRow {
    let aad = secret_place(&principal.account, id);
    AccessKeyRow {
        id: id.to_owned(),
        account: principal.account.clone(),
        principal_id: principal.id.clone(),
        secret: keyring
            .seal(random, &aad, secret.expose_secret().as_bytes())
            .into_bytes(),
        active: true,
        last_used_at: None,
        created_at: now,
    }
}

fn open_secret(keyring: &Keyring, account: &str, id: &str, sealed: &[u8]) -> Result<SecretString, OpenError> {
    let plaintext = keyring.open(&secret_place(account, id), sealed)?;
    let text = std::str::from_utf8(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)?;
    Ok(text.to_owned().into())
}

fn secret_place(account: &str, id: &str) -> Aad {
    Aad::new(account, TABLE, id, "secret")
}
