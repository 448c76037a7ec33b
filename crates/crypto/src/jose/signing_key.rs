//! Our own signing keys: ES256, one purpose each (design D24), wrapped at rest like every other key.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::digest::b64url;
use crate::key_provider::KeyProvider;
use crate::keyring::{KeyError, KeyRow};
use crate::{Jwk, SecretBytes};

/// DER of a `SubjectPublicKeyInfo` for P-256 (RFC 5480), up to the uncompressed point.
pub(crate) const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An ES256 signing key.
pub struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
}

/// Why a signing key cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Not a P-256 private key in PKCS#8.
    #[error("not a P-256 private key in PKCS#8")]
    Key,
    /// The claims do not serialise to a JSON object.
    #[error("the claims of a JWT are a JSON object")]
    Claims,
}

impl SigningKey {
    /// Unwraps a stored key.
    pub async fn unwrap(provider: &dyn KeyProvider, row: &KeyRow) -> Result<Self, KeyError> {
        let pkcs8 = row.unwrap(provider).await?;
        Self::from_pkcs8(&row.id, pkcs8.expose_secret()).map_err(|_| KeyError::Kind(row.id.clone()))
    }

    /// A new private key in PKCS#8, from the generator of AWS-LC.
    ///
    /// # Panics
    /// When AWS-LC itself fails, as it does only on a broken machine.
    #[must_use]
    pub fn generate_pkcs8() -> SecretBytes {
        let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .expect("AWS-LC generates P-256 keys");
        SecretBytes::from(pkcs8.as_ref().to_vec())
    }

    /// Reads a private key in PKCS#8.
    pub fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| SigningKeyError::Key)?;
        Ok(Self {
            kid: kid.to_owned(),
            pair,
        })
    }

    /// Its key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half as a JWK with `kid`, `alg` and `use`.
    #[must_use]
    pub fn public_jwk(&self) -> Jwk {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        Jwk {
            kty: "EC".to_owned(),
            crv: Some("P-256".to_owned()),
            x: Some(b64url(x)),
            y: Some(b64url(y)),
            kid: Some(self.kid.clone()),
            alg: Some("ES256".to_owned()),
            public_key_use: Some("sig".to_owned()),
            ..Jwk::default()
        }
    }

    /// Its public half as PEM (`SubjectPublicKeyInfo`), the form of the ALB key endpoint.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let der = [&P256_SPKI_PREFIX, self.pair.public_key().as_ref()].concat();
        let encoded = STANDARD.encode(der);
        let (first, second) = encoded.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// Signs: R‖S, 64 bytes (RFC 7518 section 3.4).
    ///
    /// # Panics
    /// When AWS-LC itself fails, as it does only on a broken machine.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .expect("AWS-LC signs with a valid key");
        let mut out = [0; 64];
        out.copy_from_slice(signature.as_ref());
        out
    }

    /// Signs a JWT in compact form. Its header is `alg`, `kid` and `typ` ("JWT" unless `header_extra` has
    /// another), then what else `header_extra` holds; `alg` and `kid` cannot be replaced.
    pub fn sign_jwt(
        &self,
        header_extra: Map<String, Value>,
        claims: &impl Serialize,
    ) -> Result<String, SigningKeyError> {
        let mut header = Map::new();
        header.insert("typ".to_owned(), "JWT".into());
        header.extend(header_extra);
        header.insert("alg".to_owned(), "ES256".into());
        header.insert("kid".to_owned(), self.kid.as_str().into());
        let claims = serde_json::to_value(claims).map_err(|_| SigningKeyError::Claims)?;
        if !claims.is_object() {
            return Err(SigningKeyError::Claims);
        }
        let encode = |value: &Value| b64url(value.to_string().as_bytes());
        let mut token = format!("{}.{}", encode(&Value::Object(header)), encode(&claims));
        let signature = self.sign_raw(token.as_bytes());
        token.push('.');
        token.push_str(&b64url(&signature));
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
