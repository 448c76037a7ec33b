//! A vendor's API as far as it is about the token: whose it is, and its end.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::Shared;
use super::shapes::facebook_permissions;
use super::token::read;
use super::vendor::{AccountCall, RevocationRule};
use crate::people;

/// Whose the access token is.
pub(super) async fn get(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let rule = shared.vendor.account;
    let now = shared.server.now();
    let found = match rule.call {
        AccountCall::Introspection => {
            let Ok(fields) = read(&headers, &body, false) else {
                return StatusCode::BAD_REQUEST.into_response();
            };
            if shared.client(&headers, &fields).is_err() {
                return unauthorized();
            }
            fields.get("token").cloned()
        }
        AccountCall::Post if !body.is_empty() => return StatusCode::BAD_REQUEST.into_response(),
        AccountCall::Get | AccountCall::Post => credentials(&headers, rule.scheme),
    };
    if let Some(name) = rule.client_header {
        let named = headers.get(name).and_then(|value| value.to_str().ok());
        if named != Some(shared.client_id.as_str()) {
            return unauthorized();
        }
    }
    let access = found.and_then(|token| shared.server.grants.read(|grants| grants.access(&token, now)));
    let found = access.as_ref().and_then(|access| {
        let account = people::find(shared.server.profile.accounts, &access.username)?;
        Some((account, &access.scopes))
    });
    match (found, rule.call) {
        (Some((account, scopes)), _) => {
            let mut body = (rule.body)(account);
            if shared.vendor.name == "facebook" {
                body["permissions"] = facebook_permissions(scopes);
            }
            Json(body).into_response()
        }
        // An unknown token is no error there.
        (None, AccountCall::Introspection) => Json(json!({"active": false})).into_response(),
        (None, _) if shared.vendor.name == "slack" => {
            Json(json!({"ok": false, "error": "invalid_auth"})).into_response()
        }
        (None, _) => unauthorized(),
    }
}

/// The end of a grant.
pub(super) async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let rule = shared.vendor.revocation;
    let token = match rule {
        RevocationRule::Bearer | RevocationRule::BearerDelete => {
            let live = credentials(&headers, "Bearer").filter(|token| {
                let now = shared.server.now();
                shared
                    .server
                    .grants
                    .read(|grants| grants.access(token, now))
                    .is_some()
            });
            let Some(token) = live else {
                return unauthorized();
            };
            token
        }
        _ => {
            let json = rule == RevocationRule::Json;
            let Ok(fields) = read(&headers, &body, json) else {
                return StatusCode::BAD_REQUEST.into_response();
            };
            if shared.client(&headers, &fields).is_err() {
                return unauthorized();
            }
            match fields.get("token") {
                Some(token) => token.clone(),
                None => return StatusCode::BAD_REQUEST.into_response(),
            }
        }
    };
    let refresh = shared
        .server
        .grants
        .read(|grants| grants.is_refresh_token(&token));
    if rule == RevocationRule::RefreshTokens && !refresh {
        let body = json!({"error": "unsupported_token_type"});
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    if rule == RevocationRule::Marked {
        let marked = shared.server.grants.read(|grants| grants.is_marked(&token));
        if marked == Some(false) {
            let body = json!({"error": "unsupported_token_type", "error_description": "no device_id"});
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    }
    match shared.server.grants.change(|grants| grants.end(&token)) {
        Ok(_) => Json(json!({"ok": true, "success": true})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `DELETE PLACE/{client_id}/grant`.
pub(super) async fn delete_grant(
    State(shared): State<Arc<Shared>>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = read(&headers, &body, true).unwrap_or_default();
    let authentic = shared
        .server
        .authenticate(&headers, &std::collections::BTreeMap::new())
        .is_ok_and(|client| client.client_id == client_id);
    if !authentic {
        return unauthorized();
    }
    let Some(token) = fields.get("access_token") else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    match shared.server.grants.change(|grants| grants.end(token)) {
        Ok(Some(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The token after the scheme, of the one `Authorization` header.
fn credentials(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (found, token) = value.to_str().ok()?.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| token.to_owned())
}

fn unauthorized() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({"error": "unauthorized"}))).into_response()
}
