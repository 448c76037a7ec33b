//! Who an access token is about (OpenID Connect Core section 5.3). Ledgerline tells it for any valid token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;

use crate::authorization_server::{AuthorizationServer, BearerError};
use crate::people;

pub(super) async fn userinfo(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap) -> Response {
    let openid = server.profile.openid;
    let access = match server.bearer(&headers, openid.then_some("openid")) {
        Ok(access) => access,
        Err(error) => return error.into_response(),
    };
    let Some(account) = people::find(server.profile.accounts, &access.username) else {
        return BearerError::Invalid.into_response();
    };
    let allowed = |scope: &str| !openid || access.scopes.iter().any(|granted| granted == scope);
    let mut claims = json!({"sub": account.subject});
    if allowed("profile") {
        claims["name"] = account.name.into();
        claims["preferred_username"] = account.username.into();
        if !account.groups.is_empty() {
            claims["groups"] = account.groups.into();
        }
    }
    if openid && allowed("email") {
        claims["email"] = account.email.into();
        claims["email_verified"] = true.into();
    }
    Json(claims).into_response()
}
