//! Strict verification of JWTs.

use serde_json::{Map, Value};

use crate::{Algorithm, JwkSet, Timestamp};

/// Longest JWT accepted, in bytes.
pub const MAX_JWT_BYTES: usize = 16 * 1024;

/// What a JWT must be to be accepted.
#[derive(Debug, Clone, Copy)]
pub struct JwtPolicy<'a> {
    /// Exact `iss`.
    pub issuer: &'a str,
    /// `aud` must contain one of these.
    pub audiences: &'a [&'a str],
    /// The algorithms accepted.
    pub algorithms: &'a [Algorithm],
    /// Clock difference forgiven, in seconds.
    pub leeway_secs: u64,
    /// When given, `typ` must be one of these (RFC 8725 section 3.11).
    pub typ: Option<&'a [&'a str]>,
}

/// A verified JWT.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its header.
    pub header: Map<String, Value>,
    /// Its claims.
    pub claims: Map<String, Value>,
}

/// Why a JWT was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not a compact JWS of JSON objects within the size limit, or with a duplicate member or `crit`.
    #[error("malformed")]
    Malformed,
    /// An algorithm that was not asked for.
    #[error("algorithm not accepted")]
    Algorithm,
    /// No key fits; fetching the keys again may help.
    #[error("no key fits")]
    UnknownKey,
    /// The signature is wrong.
    #[error("wrong signature")]
    Signature,
    /// Past its `exp`.
    #[error("expired")]
    Expired,
    /// Before its `nbf` or `iat`.
    #[error("not yet valid")]
    NotYetValid,
    /// Another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// Another audience.
    #[error("wrong audience")]
    Audience,
    /// A claim is missing or has the wrong type.
    #[error("claim {0} is missing or of the wrong type")]
    Claim(&'static str),
}

/// Verifies signature and claims.
pub fn verify_jwt(token: &str, keys: &JwkSet, policy: &JwtPolicy<'_>, now: Timestamp) -> Result<Verified, JwtError> {
    todo!()
}

/// The `iss` of a token, unverified: only for choosing among configured issuers.
#[must_use]
pub fn peek_issuer(token: &str) -> Option<String> {
    todo!()
}
