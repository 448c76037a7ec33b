//! Strict verification of JWTs (RFC 7519, with the practice of RFC 8725).
//!
//! Nothing in a token chooses how it is verified: algorithms, issuer and audience are the caller's, keys
//! come from the caller's set, and the header's `jwk`, `jku`, `x5c` and `x5u` are never read.

use serde_json::{Map, Value};

use crate::digest::b64url_decode;
use crate::json::parse_strict_json;
use crate::{Algorithm, Jwk, JwkSet, Timestamp};

/// Longest JWT accepted, in bytes.
pub const MAX_JWT_BYTES: usize = 16 * 1024;

/// What a JWT must be to be accepted. `exp`, `iss` and `aud` are always required.
#[derive(Debug, Clone, Copy)]
pub struct JwtPolicy<'a> {
    /// Exact `iss`.
    pub issuer: &'a str,
    /// `aud`, or one of its values, must be one of these.
    pub audiences: &'a [&'a str],
    /// The algorithms accepted.
    pub algorithms: &'a [Algorithm],
    /// Difference between the clocks that is forgiven, in seconds.
    pub leeway_secs: u64,
    /// When given, `typ` must be one of these, without regard to case or an `application/` prefix
    /// (RFC 8725 section 3.11).
    pub typ: Option<&'a [&'a str]>,
}

/// A JWT whose signature and claims hold.
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
    /// Not a compact JWS of JSON objects within the size limit, or with a repeated member or `crit`.
    #[error("malformed")]
    Malformed,
    /// An algorithm or type that was not asked for.
    #[error("algorithm or type not accepted")]
    Algorithm,
    /// No key fits, or without `kid` more than one. Fetching the keys again may help.
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

/// Verifies a JWT: its form, one signature under one of `keys`, and the claims that `policy` asks for.
pub fn verify_jwt(
    token: &str,
    keys: &JwkSet,
    policy: &JwtPolicy<'_>,
    now: Timestamp,
) -> Result<Verified, JwtError> {
    let verified = verify_jwt_of_any_audience(token, keys, policy, now)?;
    check_audience(&verified.claims, policy.audiences)?;
    Ok(verified)
}

/// As [`verify_jwt`], but whom the token is for (`policy.audiences`) is left to the caller. For checks whose
/// operator lists the claims that count, as in the `jwt-validation` action of a load balancer.
pub fn verify_jwt_of_any_audience(
    token: &str,
    keys: &JwkSet,
    policy: &JwtPolicy<'_>,
    now: Timestamp,
) -> Result<Verified, JwtError> {
    let parts = Parts::parse(token)?;
    let algorithm = algorithm(&parts.header, policy)?;
    check_typ(&parts.header, policy)?;
    let candidates = candidates(&parts.header, keys, algorithm)?;
    if !candidates
        .iter()
        .any(|key| key.verifies(algorithm, parts.signed.as_bytes(), &parts.signature))
    {
        return Err(JwtError::Signature);
    }
    let claims = object(parts.payload)?;
    check_claims(&claims, policy, now)?;
    Ok(Verified {
        header: parts.header,
        claims,
    })
}

/// The `iss` of a token, unverified: only for choosing among configured issuers before [`verify_jwt`].
#[must_use]
pub fn peek_issuer(token: &str) -> Option<String> {
    let claims = object(Parts::parse(token).ok()?.payload).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

struct Parts<'t> {
    header: Map<String, Value>,
    payload: &'t str,
    signature: Vec<u8>,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn parse(token: &'t str) -> Result<Self, JwtError> {
        if token.len() > MAX_JWT_BYTES {
            return Err(JwtError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(JwtError::Malformed)?;
        let header = object(header)?;
        // RFC 7515 section 4.1.11: who does not understand an extension that is critical refuses.
        if header.contains_key("crit") {
            return Err(JwtError::Malformed);
        }
        let signature = b64url_decode(signature).ok_or(JwtError::Malformed)?;
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, JwtError> {
    let json = b64url_decode(part).ok_or(JwtError::Malformed)?;
    match parse_strict_json(&json) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(JwtError::Malformed),
    }
}

fn algorithm(header: &Map<String, Value>, policy: &JwtPolicy<'_>) -> Result<Algorithm, JwtError> {
    let name = header
        .get("alg")
        .and_then(Value::as_str)
        .ok_or(JwtError::Malformed)?;
    let algorithm = Algorithm::from_name(name).ok_or(JwtError::Algorithm)?;
    if policy.algorithms.contains(&algorithm) {
        Ok(algorithm)
    } else {
        Err(JwtError::Algorithm)
    }
}

fn check_typ(header: &Map<String, Value>, policy: &JwtPolicy<'_>) -> Result<(), JwtError> {
    let Some(accepted) = policy.typ else { return Ok(()) };
    let typ = header
        .get("typ")
        .and_then(Value::as_str)
        .ok_or(JwtError::Algorithm)?;
    let plain = |typ: &str| {
        typ.to_ascii_lowercase()
            .trim_start_matches("application/")
            .to_owned()
    };
    if accepted.iter().any(|accepted| plain(accepted) == plain(typ)) {
        Ok(())
    } else {
        Err(JwtError::Algorithm)
    }
}

/// A `kid` names its key. Without one the key must be beyond doubt: exactly one of the set fits.
fn candidates<'k>(
    header: &Map<String, Value>,
    keys: &'k JwkSet,
    algorithm: Algorithm,
) -> Result<Vec<&'k Jwk>, JwtError> {
    let fitting = keys.keys.iter().filter(|key| key.fits(algorithm));
    match header.get("kid") {
        Some(Value::String(kid)) => {
            let named: Vec<&Jwk> = fitting.filter(|key| key.kid.as_deref() == Some(kid)).collect();
            if named.is_empty() {
                Err(JwtError::UnknownKey)
            } else {
                Ok(named)
            }
        }
        Some(_) => Err(JwtError::Malformed),
        None => {
            let fitting: Vec<&Jwk> = fitting.collect();
            if fitting.len() == 1 {
                Ok(fitting)
            } else {
                Err(JwtError::UnknownKey)
            }
        }
    }
}

fn check_claims(claims: &Map<String, Value>, policy: &JwtPolicy<'_>, now: Timestamp) -> Result<(), JwtError> {
    #[expect(clippy::cast_precision_loss, reason = "a leeway is seconds or minutes")]
    let leeway = policy.leeway_secs as f64;
    let now = now.as_secs_f64();
    let expiry = numeric_date(claims, "exp")?.ok_or(JwtError::Claim("exp"))?;
    if claims
        .get("iss")
        .and_then(Value::as_str)
        .ok_or(JwtError::Claim("iss"))?
        != policy.issuer
    {
        return Err(JwtError::Issuer);
    }
    if now >= expiry + leeway {
        return Err(JwtError::Expired);
    }
    for name in ["nbf", "iat"] {
        if numeric_date(claims, name)?.is_some_and(|start| start > now + leeway) {
            return Err(JwtError::NotYetValid);
        }
    }
    Ok(())
}

fn check_audience(claims: &Map<String, Value>, audiences: &[&str]) -> Result<(), JwtError> {
    let accepted = |audience: &str| audiences.contains(&audience);
    let for_us = match claims.get("aud").ok_or(JwtError::Claim("aud"))? {
        Value::String(audience) => accepted(audience),
        Value::Array(audiences) => {
            let audiences: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
            audiences.ok_or(JwtError::Claim("aud"))?.into_iter().any(accepted)
        }
        _ => return Err(JwtError::Claim("aud")),
    };
    if for_us { Ok(()) } else { Err(JwtError::Audience) }
}

fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, JwtError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => number.as_f64().map(Some).ok_or(JwtError::Claim(name)),
        Some(_) => Err(JwtError::Claim(name)),
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
