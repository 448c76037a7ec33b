//! The `x-amzn-oidc-data` token of an Application Load Balancer: minted as the ALB mints it, verified as
//! AWS asks and then some. Pure: fetching keys is the caller's.
//!
//! It is a JWT but for its encoding: all three parts are base64url **with** `=` padding, and the signature
//! covers the padded text; libraries that follow RFC 7515 refuse it. The claims about who signed are in the
//! header. All load balancers of a region share their keys, so a right signature proves nothing until
//! `signer` is one's own load balancer ("`ALBeast`").
//! Source: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html>

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::jose::P256_SPKI_PREFIX;
use crate::json::parse_strict_json;
use crate::{SigningKey, Timestamp};

/// Longest token accepted, in bytes.
pub const MAX_ALB_TOKEN_BYTES: usize = 16 * 1024;
/// An ALB mints a token for each request, good for about a minute. One good for longer than this, in
/// seconds, was not made by one.
const MAX_LIFETIME_SECS: i64 = 15 * 60;
/// Longest `sub`, in characters (OpenID Connect Core section 2).
const MAX_SUBJECT_CHARS: usize = 255;

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

/// What a verifier expects. All of it is configuration; nothing comes from the token.
#[derive(Debug, Clone, Copy)]
pub struct AlbExpectation<'a> {
    /// ARNs of the load balancers that are ours.
    pub signers: &'a [String],
    /// Issuer of the identity provider.
    pub issuer: &'a str,
    /// Client id at the identity provider.
    pub client: &'a str,
    /// Difference between the clocks that is forgiven, in seconds.
    pub leeway_secs: u64,
}

/// Why an ALB token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlbError {
    /// Not three padded base64url parts of JSON objects within the size limit.
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
    /// Signed for another load balancer.
    #[error("wrong signer")]
    Signer,
    /// Another issuer, in header or claims.
    #[error("wrong issuer")]
    Issuer,
    /// Another client.
    #[error("wrong client")]
    Client,
    /// Past its `exp`.
    #[error("expired")]
    Expired,
    /// `exp` is missing, not an integer, further off than any ALB sets it, or not the same in header and
    /// claims.
    #[error("implausible expiry")]
    Expiry,
    /// `sub` is missing, no string, empty, over 255 characters or has control characters.
    #[error("subject is missing or implausible")]
    Subject,
}

/// Mints a token as an ALB does. `exp` and `iss` are repeated in the claims, as observed.
#[must_use]
pub fn mint(key: &SigningKey, header: &AlbHeader, claims: &Map<String, Value>) -> String {
    let head = serde_json::json!({
        "typ": "JWT",
        "kid": key.kid(),
        "alg": "ES256",
        "iss": header.iss,
        "client": header.client,
        "signer": header.signer,
        "exp": header.exp,
    });
    let mut claims = claims.clone();
    claims.insert("exp".to_owned(), header.exp.into());
    claims.insert("iss".to_owned(), header.iss.as_str().into());
    let encode = |value: Value| URL_SAFE.encode(value.to_string());
    let mut token = format!("{}.{}", encode(head), encode(Value::Object(claims)));
    let signature = key.sign_raw(token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE.encode(signature));
    token
}

/// The key id of a token, checked to be a hyphenated UUID, so that it is safe in a URL. Unverified.
pub fn kid(token: &str) -> Result<String, AlbError> {
    Ok(Parts::parse(token)?.kid)
}

/// The `signer` that a token names, unverified: only to choose which expectation it has to meet.
#[must_use]
pub fn peek_signer(token: &str) -> Option<String> {
    let parts = Parts::parse(token).ok()?;
    Some(parts.header.get("signer")?.as_str()?.to_owned())
}

/// Whether a text is exactly one P-256 public key in PEM, as [`verify`] wants it.
pub fn check_key(pem: &str) -> Result<(), AlbError> {
    p256_point(pem).map(drop)
}

/// What a verified token says.
#[derive(Debug, Clone)]
pub struct VerifiedAlb {
    /// The claims of the person, with `exp` and `iss`.
    pub claims: Map<String, Value>,
    /// The load balancer.
    pub signer: String,
    /// `exp` of the header.
    pub expires_at: Timestamp,
}

/// Verifies a token against the PEM of its key, and returns what it says.
///
/// The text of a token is no replay key: ES256 accepts two signatures for one message.
pub fn verify(
    token: &str,
    pem: &str,
    expect: &AlbExpectation<'_>,
    now: Timestamp,
) -> Result<VerifiedAlb, AlbError> {
    let parts = Parts::parse(token)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, p256_point(pem)?)
        .verify(parts.signed.as_bytes(), &parts.signature)
        .map_err(|_| AlbError::Signature)?;

    let member = |name: &str| parts.header.get(name).and_then(Value::as_str);
    let signer = expect
        .signers
        .iter()
        .find(|signer| member("signer") == Some(signer))
        .ok_or(AlbError::Signer)?;
    if member("iss") != Some(expect.issuer) {
        return Err(AlbError::Issuer);
    }
    if member("client") != Some(expect.client) {
        return Err(AlbError::Client);
    }
    let claims = object(parts.payload)?;
    if claims.get("iss").is_some_and(|issuer| issuer != expect.issuer) {
        return Err(AlbError::Issuer);
    }
    let expires_at = check_expiry(&parts.header, &claims, expect.leeway_secs, now)?;
    check_subject(&claims)?;
    Ok(VerifiedAlb {
        claims,
        signer: signer.clone(),
        expires_at,
    })
}

struct Parts<'t> {
    header: Map<String, Value>,
    kid: String,
    payload: &'t str,
    signature: Vec<u8>,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn parse(token: &'t str) -> Result<Self, AlbError> {
        if token.len() > MAX_ALB_TOKEN_BYTES {
            return Err(AlbError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(AlbError::Malformed)?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(AlbError::Malformed)?;
        let header = object(header)?;
        if header.get("alg").and_then(Value::as_str) != Some("ES256") {
            return Err(AlbError::Algorithm);
        }
        let kid = header.get("kid").and_then(Value::as_str).ok_or(AlbError::KeyId)?;
        // `Uuid` also reads other spellings of the same number; the ALB writes this one.
        let uuid = Uuid::try_parse(kid).map_err(|_| AlbError::KeyId)?;
        if uuid.hyphenated().to_string() != kid {
            return Err(AlbError::KeyId);
        }
        let kid = kid.to_owned();
        let signature = URL_SAFE.decode(signature).map_err(|_| AlbError::Malformed)?;
        Ok(Self {
            header,
            kid,
            payload,
            signature,
            signed,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, AlbError> {
    let json = URL_SAFE.decode(part).map_err(|_| AlbError::Malformed)?;
    match parse_strict_json(&json) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(AlbError::Malformed),
    }
}

/// The uncompressed point of exactly one P-256 public key in PEM.
fn p256_point(pem: &str) -> Result<Vec<u8>, AlbError> {
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
        .filter(|body| body.len() < 256)
        .ok_or(AlbError::Key)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| AlbError::Key)?;
    match der.strip_prefix(&P256_SPKI_PREFIX) {
        Some(point) if point.len() == 65 && point[0] == 4 => Ok(point.to_vec()),
        _ => Err(AlbError::Key),
    }
}

fn check_expiry(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    leeway_secs: u64,
    now: Timestamp,
) -> Result<Timestamp, AlbError> {
    // The AWS documentation's sample shows `exp` as if it were a string; real tokens carry a number.
    let expiry = header
        .get("exp")
        .and_then(Value::as_i64)
        .ok_or(AlbError::Expiry)?;
    if claims
        .get("exp")
        .is_some_and(|claimed| claimed.as_i64() != Some(expiry))
    {
        return Err(AlbError::Expiry);
    }
    let leeway = i64::try_from(leeway_secs).unwrap_or(i64::MAX);
    if expiry
        > now
            .as_secs()
            .saturating_add(MAX_LIFETIME_SECS)
            .saturating_add(leeway)
    {
        return Err(AlbError::Expiry);
    }
    if now.as_secs() >= expiry.saturating_add(leeway) {
        return Err(AlbError::Expired);
    }
    Ok(Timestamp::from_secs(expiry))
}

fn check_subject(claims: &Map<String, Value>) -> Result<(), AlbError> {
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .ok_or(AlbError::Subject)?;
    let plausible = !subject.is_empty()
        && subject.chars().count() <= MAX_SUBJECT_CHARS
        && !subject.chars().any(char::is_control);
    if plausible { Ok(()) } else { Err(AlbError::Subject) }
}

#[cfg(test)]
#[path = "alb_tests.rs"]
mod tests;
