//! The `x-amzn-oidc-data` token of an Application Load Balancer.

use serde_json::{Map, Value};

use crate::{SigningKey, Timestamp};

/// The header of an ALB token, beside `typ`, `kid` and `alg`.
#[derive(Debug, Clone)]
pub struct AlbHeader {
    /// Issuer of the identity provider.
    pub iss: String,
    /// Client id at the identity provider.
    pub client: String,
    /// ARN of the load balancer.
    pub signer: String,
    /// Expiry, seconds since the epoch.
    pub exp: i64,
}

/// What a verifier expects; all of it is configuration, nothing comes from the token.
#[derive(Debug, Clone, Copy)]
pub struct AlbExpectation<'a> {
    /// ARNs of the load balancers that are ours.
    pub signers: &'a [String],
    /// Issuer.
    pub issuer: &'a str,
    /// Client id.
    pub client: &'a str,
    /// Clock difference forgiven, in seconds.
    pub leeway_secs: u64,
}

/// Why an ALB token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlbError {
    /// Not three padded base64url parts of JSON objects.
    #[error("malformed")]
    Malformed,
    /// Any algorithm but ES256.
    #[error("algorithm not accepted")]
    Algorithm,
    /// `kid` is no UUID.
    #[error("key id is no UUID")]
    KeyId,
    /// The PEM is not exactly one P-256 public key.
    #[error("not a P-256 public key in PEM")]
    Key,
    /// The signature is wrong.
    #[error("wrong signature")]
    Signature,
    /// Signed by another load balancer (ALBeast).
    #[error("wrong signer")]
    Signer,
    /// Another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// Another client.
    #[error("wrong client")]
    Client,
    /// Past its `exp`.
    #[error("expired")]
    Expired,
    /// Valid for longer than any ALB makes it, or with `exp` of two minds.
    #[error("implausible expiry")]
    Expiry,
    /// `sub` is missing or not a plausible string.
    #[error("subject is missing or implausible")]
    Subject,
}

/// Mints a token as an ALB does.
#[must_use]
pub fn mint(key: &SigningKey, header: &AlbHeader, claims: &Map<String, Value>) -> String {
    todo!()
}

/// The key id of a token, checked to be a UUID, so that it is safe in a URL.
pub fn kid(token: &str) -> Result<String, AlbError> {
    todo!()
}

/// Verifies a token against the PEM of its key.
pub fn verify(token: &str, pem: &str, expect: &AlbExpectation<'_>, now: Timestamp) -> Result<Map<String, Value>, AlbError> {
    todo!()
}
