//! What of a login is claims about the person, and fits into the headers of requests.

use countersign_crypto::{ExposeSecret as _, SecretString};
use http::HeaderValue;
use serde_json::{Map, Value};

use crate::reason::Reason;

/// Claims and access token together, in bytes: an ALB's limit, and what fits into request headers.
const MAX_CLAIMS: usize = 11 * 1024;
/// OpenID Connect Core 1.0 section 2: at most 255 ASCII characters.
const MAX_SUBJECT: usize = 255;
/// Claims of an ID token that are about the token, not the person.
pub(super) const TOKEN_CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "at_hash",
    "c_hash",
    "azp",
    "auth_time",
    "amr",
    "acr",
    "sid",
];

/// Refuses at login what could not be put into a request's headers later.
pub(super) fn check_claims(
    subject: &str,
    access_token: &SecretString,
    claims: &Map<String, Value>,
) -> Result<(), Reason> {
    let printable = subject
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if subject.is_empty() || subject.len() > MAX_SUBJECT || !printable {
        return Err(Reason::AuthInvalidUserinfoResponse);
    }
    let access_token = access_token.expose_secret();
    if HeaderValue::from_str(access_token).is_err() {
        return Err(Reason::AuthInvalidTokenResponse);
    }
    let size = serde_json::to_string(claims).map_or(usize::MAX, |text| text.len());
    if size.saturating_add(access_token.len()) > MAX_CLAIMS {
        return Err(Reason::AuthUserinfoResponseSizeExceeded);
    }
    Ok(())
}
