//! Versioned keys: the rows that stores keep, and the unwrapped symmetric keys of one purpose.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::aead;
use secrecy::ExposeSecret as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::digest::{b64url, b64url_decode};
use crate::jose::SigningKey;
use crate::key_provider::{EncryptionContext, KeyProvider, KeyProviderError};
use crate::random::{random_bytes, uuid_v4};
use crate::seal::{Aad, OpenError, Sealed, hkdf_sha256, open_bytes, seal_bytes};
use crate::{Clock, Random, SecretBytes, Timestamp};

/// First byte of a sealed value; the key id follows as the 16 bytes of its UUID.
const SEALED_VERSION: u8 = 1;
/// First byte of a sealed token.
const TOKEN_VERSION: u8 = 2;
const HEADER: usize = 1 + 16;

/// What a key is for. One purpose, one key (design D24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Tokens and client secrets in the vault.
    Vault,
    /// Workload access tokens (design D7).
    WorkloadAccessToken,
    /// Callers' access keys and temporary credentials.
    Credential,
    /// The gateway's user tokens (ES256).
    UserTokenSigning,
    /// The gateway's `x-amzn-oidc-data` (ES256).
    AlbHeaderSigning,
    /// Browser sessions and login transactions.
    Session,
    /// Audit checkpoints (ES256).
    AuditSigning,
    /// The per-person keys of the audit trail.
    Person,
    /// What people and the agent say to each other.
    Conversation,
}

impl KeyPurpose {
    const ALL: [Self; 9] = [
        Self::Vault,
        Self::WorkloadAccessToken,
        Self::Credential,
        Self::UserTokenSigning,
        Self::AlbHeaderSigning,
        Self::Session,
        Self::AuditSigning,
        Self::Person,
        Self::Conversation,
    ];

    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::WorkloadAccessToken => "workload-access-token",
            Self::Credential => "credential",
            Self::UserTokenSigning => "user-token-signing",
            Self::AlbHeaderSigning => "alb-header-signing",
            Self::Session => "session",
            Self::AuditSigning => "audit-signing",
            Self::Person => "person",
            Self::Conversation => "conversation",
        }
    }
}

impl FromStr for KeyPurpose {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or_else(|| KeyError::Name(text.to_owned()))
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Seals and signs. Exactly one for each account and purpose.
    Primary,
    /// Opens and verifies what it once sealed or signed.
    Enabled,
    /// No longer used.
    Retired,
}

impl KeyState {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Enabled => "enabled",
            Self::Retired => "retired",
        }
    }
}

impl FromStr for KeyState {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Primary, Self::Enabled, Self::Retired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| KeyError::Name(text.to_owned()))
    }
}

/// A key as a store keeps it. Nothing in it is secret without the key provider.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// UUID; the `kid` of a signing key.
    pub id: String,
    /// The account it belongs to.
    pub account: String,
    /// ARN of what it protects, part of the encryption context: the token vault's for
    /// [`KeyPurpose::Vault`] (design D27), otherwise the owner's choice.
    pub resource: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Counts up at each rotation, from 1.
    pub version: i64,
    /// Where it is in its life.
    pub state: KeyState,
    /// The key, wrapped by the provider.
    pub wrapped: Vec<u8>,
    /// The root key that wrapped it.
    pub provider_key_id: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a new key is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// The account it belongs to.
    pub account: &'a str,
    /// ARN of what it protects.
    pub resource: &'a str,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// 1, or one more than the key it follows.
    pub version: i64,
}

impl KeyRow {
    /// A new 256-bit key, in state primary.
    pub async fn generate_symmetric(
        provider: &dyn KeyProvider,
        random: &dyn Random,
        clock: &dyn Clock,
        new: NewKey<'_>,
    ) -> Result<Self, KeyError> {
        let key = Zeroizing::new(random_bytes::<32>(random));
        Self::wrap(provider, random, clock, new, key.as_ref()).await
    }

    /// A new P-256 signing key, in state primary. The key itself comes from the generator of AWS-LC, the id
    /// from `random`.
    pub async fn generate_es256(
        provider: &dyn KeyProvider,
        random: &dyn Random,
        clock: &dyn Clock,
        new: NewKey<'_>,
    ) -> Result<Self, KeyError> {
        let pkcs8 = SigningKey::generate_pkcs8();
        Self::wrap(provider, random, clock, new, pkcs8.expose_secret()).await
    }

    async fn wrap(
        provider: &dyn KeyProvider,
        random: &dyn Random,
        clock: &dyn Clock,
        new: NewKey<'_>,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        let mut row = Self {
            id: uuid_v4(random).to_string(),
            account: new.account.to_owned(),
            resource: new.resource.to_owned(),
            purpose: new.purpose,
            version: new.version,
            state: KeyState::Primary,
            wrapped: Vec::new(),
            provider_key_id: provider.key_id(),
            created_at: clock.now(),
        };
        row.wrapped = provider.wrap(key, &row.encryption_context()).await?;
        Ok(row)
    }

    /// The same key, wrapped by another root key. Nothing that it sealed changes.
    pub async fn rewrap(&self, from: &dyn KeyProvider, to: &dyn KeyProvider) -> Result<Self, KeyError> {
        let key = self.unwrap(from).await?;
        Ok(Self {
            wrapped: to.wrap(key.expose_secret(), &self.encryption_context()).await?,
            provider_key_id: to.key_id(),
            ..self.clone()
        })
    }

    /// Unwraps the key. The caller checks what kind of key it is.
    pub(crate) async fn unwrap(&self, provider: &dyn KeyProvider) -> Result<SecretBytes, KeyError> {
        let configured = provider.key_id();
        if configured == self.provider_key_id {
            return Ok(provider.unwrap(&self.wrapped, &self.encryption_context()).await?);
        }
        let Some(customer) = provider.customer_key(&self.account, &self.provider_key_id) else {
            return Err(KeyError::OtherRoot {
                key: self.id.clone(),
                wrapped_by: self.provider_key_id.clone(),
                configured,
            });
        };
        let unwrapped = customer
            .await?
            .unwrap(&self.wrapped, &self.encryption_context())
            .await?;
        Ok(unwrapped)
    }

    /// Asks the root key that wrapped it whether it still opens it.
    pub async fn check(&self, provider: &dyn KeyProvider) -> Result<(), KeyError> {
        self.unwrap(provider).await.map(drop)
    }

    /// The state is not part of it: rotation changes the state and must not need the provider.
    fn encryption_context(&self) -> EncryptionContext {
        EncryptionContext::default()
            .with("countersign:account", &self.account)
            .with("countersign:key-id", &self.id)
            .with("countersign:purpose", self.purpose.as_str())
            .with("countersign:resource", &self.resource)
            .with("countersign:version", &self.version.to_string())
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key provider failed.
    #[error(transparent)]
    Provider(#[from] KeyProviderError),
    /// The root key that wrapped it is another one than the provider's.
    #[error(
        "key {key} is wrapped by {wrapped_by}, and the configured root key is {configured}; name the one that wrapped \
         it under `keys.previous`, and it is wrapped anew at the next start; or under `keys.customer_managed`, if it is \
         the account's own"
    )]
    OtherRoot {
        /// The id of the key.
        key: String,
        /// The root key that opens it.
        wrapped_by: String,
        /// The root key that was asked to.
        configured: String,
    },
    /// What was unwrapped is not a key of the expected kind.
    #[error("key {0} is not of the expected kind")]
    Kind(String),
    /// The rows are not of one account and purpose with exactly one primary key.
    #[error("a keyring needs rows of one account and purpose with exactly one primary key")]
    Rows,
    /// A stored name of a purpose or state is not known to this program.
    #[error("{0:?} is no key purpose or key state")]
    Name(String),
}

/// The symmetric keys of one purpose and account, unwrapped. The primary seals; all of them open. A ring in use follows
/// rotations by [`Self::renew`].
pub struct Keyring {
    /// The primary first.
    keys: ArcSwap<Vec<Arc<Key>>>,
}

struct Key {
    id: Uuid,
    id_text: String,
    secret: Zeroizing<[u8; 32]>,
    token: aead::LessSafeKey,
}

impl Keyring {
    /// Unwraps all rows that are not retired.
    pub async fn unwrap(provider: &dyn KeyProvider, rows: &[KeyRow]) -> Result<Self, KeyError> {
        let keys = unwrap_all(provider, rows, &[]).await?;
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Holds from now on what `rows` say. Keys that it holds already are not unwrapped again, so that a change of states
    /// alone needs no provider. After an error the ring is as it was.
    pub async fn renew(&self, provider: &dyn KeyProvider, rows: &[KeyRow]) -> Result<(), KeyError> {
        let known = self.keys.load_full();
        self.keys
            .store(Arc::new(unwrap_all(provider, rows, &known).await?));
        Ok(())
    }

    /// Id of the primary key.
    #[must_use]
    pub fn primary_id(&self) -> String {
        self.keys.load()[0].id_text.clone()
    }

    /// Ids of all keys, the primary's first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.keys.load().iter().map(|key| key.id_text.clone()).collect()
    }

    /// Seals a value for storage at the place `aad` names.
    #[must_use]
    pub fn seal(&self, random: &dyn Random, aad: &Aad, plaintext: &[u8]) -> Sealed {
        let keys = self.keys.load();
        let key = &keys[0];
        let mut sealed = key.header(SEALED_VERSION);
        sealed.extend(seal_bytes(
            &key.secret,
            random,
            &aad.under_key(&sealed),
            plaintext,
        ));
        Sealed::from(sealed)
    }

    /// Opens a value sealed under any key of the ring, at the place where it was sealed.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let keys = self.keys.load();
        let (key, header, rest) = key_of(&keys, SEALED_VERSION, sealed)?;
        open_bytes(&key.secret, &aad.under_key(header), rest)
    }

    /// How every stored value begins that was sealed under the key `id`, so that rotation finds what is still to be
    /// sealed anew. `None`: `id` is no UUID.
    #[must_use]
    pub fn sealed_prefix(id: &str) -> Option<[u8; HEADER]> {
        let mut prefix = [SEALED_VERSION; HEADER];
        prefix[1..].copy_from_slice(Uuid::parse_str(id).ok()?.as_bytes());
        Some(prefix)
    }

    /// Seals a token that leaves the process: AES-256-GCM-SIV (RFC 8452), which stays safe should a nonce
    /// ever repeat, as base64url. `aad` names account and kind of token.
    ///
    /// # Panics
    /// When AWS-LC itself fails, as it does only on a broken machine.
    #[must_use]
    pub fn seal_token(&self, random: &dyn Random, aad: &Aad, plaintext: &[u8]) -> String {
        let keys = self.keys.load();
        let key = &keys[0];
        let mut out = key.header(TOKEN_VERSION);
        let associated = aead::Aad::from(aad.under_key(&out));
        let nonce: [u8; aead::NONCE_LEN] = random_bytes(random);
        out.extend_from_slice(&nonce);
        let body = out.len();
        out.extend_from_slice(plaintext);
        let tag = key
            .token
            .seal_in_place_separate_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                associated,
                &mut out[body..],
            )
            .expect("AES-GCM-SIV seals any value that fits in memory");
        out.extend_from_slice(tag.as_ref());
        b64url(&out)
    }

    /// Opens what [`Self::seal_token`] returned. A token has exactly one accepted spelling.
    pub fn open_token(&self, aad: &Aad, token: &str) -> Result<SecretBytes, OpenError> {
        let bytes = b64url_decode(token).ok_or(OpenError::Malformed)?;
        let keys = self.keys.load();
        let (key, header, rest) = key_of(&keys, TOKEN_VERSION, &bytes)?;
        let (nonce, ciphertext) = rest
            .split_at_checked(aead::NONCE_LEN)
            .ok_or(OpenError::Malformed)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;
        let mut buffer = ciphertext.to_vec();
        let length = key
            .token
            .open_in_place(nonce, aead::Aad::from(aad.under_key(header)), &mut buffer)
            .map_err(|_| OpenError::Authentication)?
            .len();
        buffer.truncate(length);
        Ok(SecretBytes::from(buffer))
    }

    /// A key for another use (for instance CSRF tokens), derived from the primary key by HKDF. It changes
    /// when the key is rotated.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut out = [0; 32];
        hkdf_sha256(
            &self.keys.load()[0].secret,
            &[],
            &[b"countersign derive v1 ", label.as_bytes()],
            &mut out,
        );
        out
    }
}

/// Unwraps all `rows` that are not retired, the primary first; those of `known` are taken from there.
async fn unwrap_all(
    provider: &dyn KeyProvider,
    rows: &[KeyRow],
    known: &[Arc<Key>],
) -> Result<Vec<Arc<Key>>, KeyError> {
    let first = rows.first().ok_or(KeyError::Rows)?;
    let same = |row: &KeyRow| row.account == first.account && row.purpose == first.purpose;
    let primaries = rows.iter().filter(|row| row.state == KeyState::Primary).count();
    if primaries != 1 || !rows.iter().all(same) {
        return Err(KeyError::Rows);
    }
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| row.state != KeyState::Retired) {
        let key = match known.iter().find(|key| key.id_text == row.id) {
            Some(key) => Arc::clone(key),
            None => Arc::new(Key::unwrap(provider, row).await?),
        };
        if row.state == KeyState::Primary {
            keys.insert(0, key);
        } else {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn key_of<'s, 'k>(
    keys: &'k Guard<Arc<Vec<Arc<Key>>>>,
    version: u8,
    sealed: &'s [u8],
) -> Result<(&'k Key, &'s [u8], &'s [u8]), OpenError> {
    let (header, rest) = sealed.split_at_checked(HEADER).ok_or(OpenError::Malformed)?;
    if header[0] != version {
        return Err(OpenError::Malformed);
    }
    let key = keys
        .iter()
        .find(|key| key.id.as_bytes() == &header[1..])
        .ok_or(OpenError::UnknownKey)?;
    Ok((key, header, rest))
}

impl Key {
    async fn unwrap(provider: &dyn KeyProvider, row: &KeyRow) -> Result<Self, KeyError> {
        let kind = || KeyError::Kind(row.id.clone());
        let id = Uuid::parse_str(&row.id).map_err(|_| kind())?;
        let unwrapped = row.unwrap(provider).await?;
        let secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(unwrapped.expose_secret().try_into().map_err(|_| kind())?);
        let mut token = Zeroizing::new([0; 32]);
        hkdf_sha256(&secret, &[], &[b"countersign token v1"], token.as_mut());
        let token = aead::UnboundKey::new(&aead::AES_256_GCM_SIV, token.as_ref()).map_err(|_| kind())?;
        Ok(Self {
            id,
            id_text: row.id.clone(),
            secret,
            token: aead::LessSafeKey::new(token),
        })
    }

    fn header(&self, version: u8) -> Vec<u8> {
        let mut header = Vec::with_capacity(256);
        header.push(version);
        header.extend_from_slice(self.id.as_bytes());
        header
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.load().iter().map(|key| &key.id_text))
            .finish()
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
