//! The token endpoint (RFC 6749 sections 4.1.3 and 6).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use countersign_web::form;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::grants::{GrantError, Redeemed};
use crate::client::{Client, ClientAuthenticationError};
use crate::people;

/// A successful response (RFC 6749 section 5.1).
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// An error response (RFC 6749 section 5.2), and what the journal says of it.
pub(super) struct TokenError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    pub(super) outcome: &'static str,
}

impl TokenError {
    pub(super) const fn request(description: &'static str) -> Self {
        let error = "invalid_request";
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
            outcome: error,
        }
    }

    pub(super) const fn server() -> Self {
        let error = "server_error";
        let description = "the grant cannot be kept";
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error,
            description,
            outcome: error,
        }
    }
}

impl From<ClientAuthenticationError> for TokenError {
    fn from(error: ClientAuthenticationError) -> Self {
        match error {
            ClientAuthenticationError::Request => Self::request("malformed client authentication"),
            ClientAuthenticationError::Client => Self {
                status: StatusCode::UNAUTHORIZED,
                error: "invalid_client",
                description: "client authentication failed",
                outcome: "invalid_client",
            },
        }
    }
}

impl From<GrantError> for TokenError {
    fn from(error: GrantError) -> Self {
        let (code, description) = match error {
            GrantError::Scope => ("invalid_scope", "more than was granted"),
            _ => ("invalid_grant", "the code or refresh token is not valid"),
        };
        Self {
            status: StatusCode::BAD_REQUEST,
            error: code,
            description,
            outcome: error.outcome(),
        }
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": self.error, "error_description": self.description});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"token\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = read_form(&headers, &body);
    let empty = BTreeMap::new();
    let result = match &form {
        Ok(form) => server.token(&headers, form),
        Err(description) => Err(TokenError::request(description)),
    };
    let outcome = result.as_ref().map_or_else(|error| error.outcome, |_| "issued");
    server
        .journal
        .record(server.now(), form.as_ref().unwrap_or(&empty), outcome);
    match result {
        Ok(response) => Json(response).into_response(),
        Err(error) => error.into_response(),
    }
}

/// A form in which each parameter occurs once (RFC 6749 section 3.2).
pub(super) fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, &'static str> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("the body must be a form");
    }
    let text = std::str::from_utf8(body).map_err(|_| "the body must be UTF-8")?;
    form::parse_unique(text).map_err(|_| "a parameter is repeated")
}

impl AuthorizationServer {
    /// The client that sent this form.
    pub(super) fn authenticated(
        &self,
        headers: &HeaderMap,
        form: &BTreeMap<String, String>,
    ) -> Result<Client, TokenError> {
        Ok(self.authenticate(headers, form)?)
    }

    fn token(
        &self,
        headers: &HeaderMap,
        form: &BTreeMap<String, String>,
    ) -> Result<TokenResponse, TokenError> {
        let client = self.authenticated(headers, form)?;
        let get = |name: &'static str| {
            form.get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        let now = self.now();
        let redeemed = match get("grant_type") {
            Some("authorization_code") => {
                let code = get("code").ok_or(TokenError::request("code is missing"))?;
                let uri = get("redirect_uri").ok_or(TokenError::request("redirect_uri is missing"))?;
                let verifier = get("code_verifier").ok_or(TokenError::request("code_verifier is missing"))?;
                self.grants
                    .change(|grants| grants.redeem_code(code, &client.client_id, uri, Some(verifier), now))
            }
            Some("refresh_token") => {
                let text = get("refresh_token").ok_or(TokenError::request("refresh_token is missing"))?;
                let scopes = get("scope").map(|scope| scope.split(' ').map(str::to_owned).collect());
                self.grants
                    .change(|grants| grants.redeem_refresh_token(text, &client.client_id, scopes, true, now))
            }
            Some(_) => {
                let error = "unsupported_grant_type";
                let description = "authorization_code or refresh_token";
                return Err(TokenError {
                    error,
                    outcome: error,
                    ..TokenError::request(description)
                });
            }
            None => return Err(TokenError::request("grant_type is missing")),
        };
        let redeemed = redeemed.map_err(|_| TokenError::server())??;
        self.issue(&redeemed)
    }

    fn issue(&self, redeemed: &Redeemed) -> Result<TokenResponse, TokenError> {
        let now = self.now();
        let lifetime = self.profile.access_token_lifetime;
        let offline = !self.profile.openid
            || redeemed
                .grant
                .scopes
                .iter()
                .any(|scope| scope == "offline_access");
        let refreshable = offline.then_some(self.profile.rules.refresh_token_lifetime);
        let random = self.random.as_ref();
        let issued = self
            .grants
            .change(|grants| grants.issue_tokens(random, now, redeemed, lifetime, refreshable))
            .map_err(|_| TokenError::server())?;
        let account = people::find(self.profile.accounts, &redeemed.grant.username);
        let id_token = match (&self.id_token_key, account) {
            (Some(key), Some(account)) => {
                Some(key.id_token(&self.issuer, redeemed, account, &issued.access_token, now, None))
            }
            _ => None,
        };
        Ok(TokenResponse {
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            scope: redeemed.scopes.join(" "),
            refresh_token: issued.refresh_token,
            id_token,
        })
    }
}
