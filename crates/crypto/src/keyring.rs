//! Versioned keys: rows that stores keep, and the unwrapped symmetric keys of one purpose.

use crate::key_provider::{KeyProvider, KeyProviderError};
use crate::seal::{Aad, OpenError, Sealed};
use crate::{Clock, Random, SecretBytes, Timestamp};

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

/// A key as a store keeps it.
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

impl KeyPurpose {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}

impl std::str::FromStr for KeyPurpose {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        todo!()
    }
}

impl KeyState {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}

impl std::str::FromStr for KeyState {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        todo!()
    }
}

impl KeyRow {
    /// A new 256-bit key.
    pub async fn generate_symmetric(provider: &dyn KeyProvider, random: &dyn Random, clock: &dyn Clock, new: NewKey<'_>) -> Result<Self, KeyError> {
        todo!()
    }
    /// A new P-256 signing key.
    pub async fn generate_es256(provider: &dyn KeyProvider, random: &dyn Random, clock: &dyn Clock, new: NewKey<'_>) -> Result<Self, KeyError> {
        todo!()
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key provider failed.
    #[error(transparent)]
    Provider(#[from] KeyProviderError),
    /// What was unwrapped is not a key of the expected kind.
    #[error("key {0} is not of the expected kind")]
    Kind(String),
    /// The rows are not of one account and purpose with exactly one primary key.
    #[error("a keyring needs rows of one account and purpose with one primary key")]
    Rows,
    /// A stored name of a purpose or state is not known to this program.
    #[error("{0:?} is no key purpose or state")]
    Name(String),
}

/// The symmetric keys of one purpose and account.
#[derive(Debug)]
pub struct Keyring {}

impl Keyring {
    /// Unwraps all rows that are not retired.
    pub async fn unwrap(provider: &dyn KeyProvider, rows: &[KeyRow]) -> Result<Self, KeyError> {
        todo!()
    }
    /// Seals under the primary key.
    #[must_use]
    pub fn seal(&self, random: &dyn Random, aad: &Aad, plaintext: &[u8]) -> Sealed {
        todo!()
    }
    /// Opens a value sealed under any key of the ring.
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        todo!()
    }
    /// Id of the primary key.
    #[must_use]
    pub fn primary_id(&self) -> &str {
        todo!()
    }
    /// Seals a token that leaves the process (AES-256-GCM-SIV, base64url).
    #[must_use]
    pub fn seal_token(&self, random: &dyn Random, aad: &Aad, plaintext: &[u8]) -> String {
        todo!()
    }
    /// Opens [`Self::seal_token`].
    pub fn open_token(&self, aad: &Aad, token: &str) -> Result<SecretBytes, OpenError> {
        todo!()
    }
    /// A key for another use, derived from the primary key by HKDF.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        todo!()
    }
}
