//! OpenID Connect `UserInfo`: Core 1.0 section 5.3.

use countersign_crypto::{ExposeSecret as _, SecretString, parse_strict_json};
use countersign_outbound::{Client, OutboundError, Request};
use http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

/// Largest answer, bytes.
const MAX_BYTES: usize = 128 * 1024;

/// Why there is no user information.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserinfoError {
    /// No answer. The text names host and port at most.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("userinfo did not answer in time")]
    Timeout,
    /// Another status than 200.
    #[error("userinfo answered with status {0}")]
    Status(u16),
    /// Not a JSON object with a `sub` (a signed or encrypted answer is not supported).
    #[error("userinfo's answer is malformed")]
    Malformed,
    /// `sub` is somebody else's: the access token was swapped (section 5.3.2 requires the check).
    #[error("userinfo is about another subject")]
    Subject,
}

/// Asks who the access token is for. `subject` is the ID token's.
pub async fn fetch(
    client: &Client,
    url: &Url,
    access_token: &SecretString,
    subject: Option<&str>,
) -> Result<Map<String, Value>, UserinfoError> {
    let request = Request::get(url.clone())
        .accept_json()
        .bearer(access_token.expose_secret())
        .max_bytes(MAX_BYTES);
    let response = client.send(request).await.map_err(|error| match error {
        OutboundError::Timeout { .. } => UserinfoError::Timeout,
        error => UserinfoError::Unreachable(error.to_string()),
    })?;
    if response.status != StatusCode::OK {
        return Err(UserinfoError::Status(response.status.as_u16()));
    }
    let Ok(Value::Object(claims)) = parse_strict_json(&response.body) else {
        return Err(UserinfoError::Malformed);
    };
    match claims.get("sub").and_then(Value::as_str) {
        Some("") | None => Err(UserinfoError::Malformed),
        Some(found) if subject.is_some_and(|subject| subject != found) => Err(UserinfoError::Subject),
        Some(_) => Ok(claims),
    }
}
