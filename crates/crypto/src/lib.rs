//! Cryptography of Countersign: sealed values and the key hierarchy above them (design D27), signing
//! keys, strict JWT verification, ALB tokens, the hash chain and Merkle tree of the audit trail, and the
//! two traits through which every other crate reads the clock and draws randomness.
//!
//! One backend, `aws-lc-rs` (design D1). This crate performs no network access, reads no environment and
//! keeps nothing on disk, except for the key file of [`FileKeyProvider`].

pub mod alb;
pub mod chain;
mod clock;
mod digest;
mod jose;
mod json;
mod key_provider;
mod keyring;
pub mod merkle;
mod passphrase;
mod random;
mod seal;
pub mod testing;
mod user_key;

pub use clock::{Clock, SharedClock, SystemClock, Timestamp};
pub use digest::{
    b64url, b64url_decode, constant_time_eq, hmac_sha256, sha256, sha256_parts, sha384, sha512,
};
pub use jose::{
    Algorithm, Jwk, JwkSet, JwtError, JwtPolicy, MAX_JWT_BYTES, PrivateKey, PrivateKeyError, SigningKey,
    SigningKeyError, Verified, peek_issuer, verify_jwt, verify_jwt_of_any_audience,
};
pub use json::{StrictJsonError, parse_strict_json};
pub use key_provider::{BoxFuture, EncryptionContext, FileKeyProvider, KeyProvider, KeyProviderError};
pub use keyring::{KeyError, KeyPurpose, KeyRow, KeyState, Keyring, NewKey};
pub use passphrase::{PassphraseError, PassphraseParameters};
pub use random::{Random, SharedRandom, SystemRandom, random_bytes, token, uuid_v4, uuid_v7};
pub use seal::{Aad, OpenError, Sealed, open_under, seal_under};
pub use secrecy::{ExposeSecret, SecretBox, SecretString};
pub use user_key::{UserKey, UserKeyError, published_user_id};

/// Bytes that must not be printed, compared carelessly or left in memory. `Debug` redacts, drop erases.
pub type SecretBytes = secrecy::SecretSlice<u8>;
