//! Our own signing keys: P-256, one purpose each.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::key_provider::KeyProvider;
use crate::keyring::{KeyError, KeyRow};
use crate::{Jwk, SecretBytes};

/// An ES256 signing key.
#[derive(Debug)]
pub struct SigningKey {}

/// Bytes that are no P-256 key in PKCS#8, or claims that do not serialise to a JSON object.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Not a P-256 private key in PKCS#8.
    #[error("not a P-256 private key in PKCS#8")]
    Key,
    /// The claims are not a JSON object.
    #[error("the claims of a JWT are a JSON object")]
    Claims,
}

impl SigningKey {
    /// Unwraps a stored key.
    pub async fn unwrap(provider: &dyn KeyProvider, row: &KeyRow) -> Result<Self, KeyError> {
        todo!()
    }
    /// A new private key, PKCS#8.
    #[must_use]
    pub fn generate_pkcs8() -> SecretBytes {
        todo!()
    }
    /// Reads a private key, PKCS#8.
    pub fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        todo!()
    }
    /// Key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        todo!()
    }
    /// Public half as JWK.
    #[must_use]
    pub fn public_jwk(&self) -> Jwk {
        todo!()
    }
    /// Public half as PEM (SPKI).
    #[must_use]
    pub fn public_pem(&self) -> String {
        todo!()
    }
    /// Signs: R‖S, 64 bytes.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        todo!()
    }
    /// Signs a JWT with header `alg`, `kid`, `typ` ("JWT" unless `header_extra` says otherwise).
    pub fn sign_jwt(&self, header_extra: Map<String, Value>, claims: &impl Serialize) -> Result<String, SigningKeyError> {
        todo!()
    }
}
