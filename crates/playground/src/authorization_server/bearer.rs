//! Bearer tokens at a resource (RFC 6750): in the `Authorization` header alone, never in URL or body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::grants::Access;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BearerError {
    /// No token. The challenge has no error code, as section 3.1 asks.
    Missing,
    /// Two headers, or one that is no bearer token.
    Malformed,
    /// Unknown, expired or revoked.
    Invalid,
    /// The token is good, but not for this.
    Scope(&'static str),
}

impl AuthorizationServer {
    /// What the request's token allows; refused unless `scope` is in it.
    pub(crate) fn bearer(
        &self,
        headers: &HeaderMap,
        scope: Option<&'static str>,
    ) -> Result<Access, BearerError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Err(BearerError::Missing),
            (Some(value), None) => value.to_str().map_err(|_| BearerError::Malformed)?,
            (Some(_), Some(_)) => return Err(BearerError::Malformed),
        };
        let (scheme, token) = value.split_once(' ').ok_or(BearerError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(BearerError::Missing);
        }
        let now = self.now();
        let access = self
            .grants
            .read(|grants| grants.access(token.trim(), now))
            .ok_or(BearerError::Invalid)?;
        match scope {
            Some(scope) if !access.scopes.iter().any(|granted| granted == scope) => {
                Err(BearerError::Scope(scope))
            }
            _ => Ok(access),
        }
    }
}

impl IntoResponse for BearerError {
    fn into_response(self) -> Response {
        let (status, error, challenge) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "unauthorized", String::new()),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                ", error=\"invalid_request\"".to_owned(),
            ),
            Self::Invalid => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                ", error=\"invalid_token\"".to_owned(),
            ),
            Self::Scope(scope) => {
                let challenge = format!(", error=\"insufficient_scope\", scope=\"{scope}\"");
                (StatusCode::FORBIDDEN, "insufficient_scope", challenge)
            }
        };
        let mut response = (status, Json(serde_json::json!({"error": error}))).into_response();
        if let Ok(challenge) = HeaderValue::from_str(&format!("Bearer realm=\"playground\"{challenge}")) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
