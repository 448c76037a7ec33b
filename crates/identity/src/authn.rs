//! Who signed a request (SigV4). Anything else that a request says about its sender counts for nothing.

use std::sync::Arc;

use base64::Engine as _;
use countersign_api::sigv4::{Expectation, SignedRequest};
use countersign_api::{ApiError, ErrorCode};
use countersign_crypto::{
    Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, Timestamp, random_bytes,
};
use countersign_db::DbError;
use http::request::Parts;

use crate::cache::{Credential, SigningKeys};
use crate::state::{State, UnknownAccount};
use crate::store::access_key::{self, AccessKeyRow};
use crate::store::principal::{self, PrincipalRow};

const TABLE: &str = "access_key";

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
    Account(#[from] UnknownAccount),
}

impl Unauthenticated {
    pub(crate) const fn refused(reason: &'static str, error: ApiError) -> Self {
        Self::Refused { error, reason }
    }
}

/// The principal that signed the request for `service`.
pub(crate) async fn authenticate(
    state: &State,
    parts: &Parts,
    body: &[u8],
    service: &str,
) -> Result<Arc<PrincipalRow>, Unauthenticated> {
    let refused =
        |error: countersign_api::sigv4::SigV4Error| Unauthenticated::refused(error.reason(), error.into());
    let signed = SignedRequest::parse(parts).map_err(refused)?;
    let now_secs = state.clock.now().as_secs();
    signed
        .check(&Expectation {
            region: &state.config.region,
            service,
            now_secs,
        })
        .map_err(refused)?;
    let unknown = || {
        let message = "The security token included in the request is invalid.";
        Unauthenticated::refused(
            "unknown_access_key",
            ApiError::new(ErrorCode::UnrecognizedClient, message),
        )
    };
    // Long-lived keys come without a session token; temporary credentials are not issued here yet.
    if signed.session_token.is_some() || !is_access_key_id(&signed.access_key_id) {
        return Err(unknown());
    }
    let credential = find(state, &signed.access_key_id)
        .await
        .map_err(Unauthenticated::Failed)?
        .ok_or_else(unknown)?;
    // The scope was checked above, so that nobody can fill memory with keys of made-up scopes.
    let signing_key = credential.signing_keys.of(&signed, &credential.secret);
    signed.verify_with(parts, body, &signing_key).map_err(refused)?;
    Ok(Arc::clone(&credential.principal))
}

/// AWS's form, checked before any look-up: 16 to 128 upper-case letters and digits.
pub(crate) fn is_access_key_id(id: &str) -> bool {
    (16..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

async fn find(state: &State, id: &str) -> Result<Option<Arc<Credential>>, AccessKeyError> {
    let load = async {
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
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let characters = random_bytes::<16>(random).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    let id: String = "AKIA".chars().chain(characters).collect();
    let secret = base64::engine::general_purpose::STANDARD
        .encode(random_bytes::<30>(random))
        .into();
    (
        seal_access_key(keyring, random, principal, &id, &secret, now),
        secret,
    )
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
