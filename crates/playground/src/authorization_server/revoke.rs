//! Token revocation (RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::token::{TokenError, read_form};

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match revoke(&server, &headers, &body) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Unknown tokens are a success: the client wants them gone, and they are (section 2.2).
fn revoke(server: &AuthorizationServer, headers: &HeaderMap, body: &[u8]) -> Result<(), TokenError> {
    let form = read_form(headers, body).map_err(TokenError::request)?;
    let client = server.authenticated(headers, &form)?;
    let token = form.get("token").ok_or(TokenError::request("token is missing"))?;
    server
        .grants
        .change(|grants| grants.revoke(token, &client.client_id))
        .map_err(|_| TokenError::server())
}
