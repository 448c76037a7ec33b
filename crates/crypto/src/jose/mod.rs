//! JSON Web Keys, signing keys and strict JWT verification.

mod jwk;
mod jwt;
mod private_key;
mod signing_key;

pub use jwk::{Algorithm, Jwk, JwkSet};
pub use jwt::{
    JwtError, JwtPolicy, MAX_JWT_BYTES, Verified, peek_issuer, verify_jwt, verify_jwt_of_any_audience,
};
pub use private_key::{PrivateKey, PrivateKeyError};
pub(crate) use signing_key::P256_SPKI_PREFIX;
pub use signing_key::{SigningKey, SigningKeyError};
