//! JSON Web Keys, signing keys and strict JWT verification.

mod jwk;
mod jwt;
mod signing_key;

pub use jwk::{Algorithm, Jwk, JwkSet};
pub use jwt::{JwtError, JwtPolicy, MAX_JWT_BYTES, Verified, peek_issuer, verify_jwt};
pub(crate) use signing_key::P256_SPKI_PREFIX;
pub use signing_key::{SigningKey, SigningKeyError};
