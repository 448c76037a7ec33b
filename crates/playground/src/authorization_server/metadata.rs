//! What the server says of itself: RFC 8414 for Ledgerline, OpenID Connect Discovery for the provider. One
//! document each, so that clients which look in the wrong place find nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_crypto::JwkSet;
use serde_json::{Value, json};

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::id_token::IdTokenKey;

pub(super) const fn path(openid: bool) -> &'static str {
    if openid {
        "/.well-known/openid-configuration"
    } else {
        "/.well-known/oauth-authorization-server"
    }
}

pub(super) async fn get(State(server): State<Arc<AuthorizationServer>>) -> Json<Value> {
    let scopes: Vec<&str> = server.profile.scopes.iter().map(|scope| scope.name).collect();
    let mut metadata = json!({
        "issuer": server.issuer,
        "authorization_endpoint": server.endpoint("/authorize"),
        "token_endpoint": server.endpoint("/token"),
        "userinfo_endpoint": server.endpoint("/userinfo"),
        "revocation_endpoint": server.endpoint("/revoke"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    if let Some(key) = &server.id_token_key {
        metadata["jwks_uri"] = server.endpoint("/jwks.json").into();
        metadata["end_session_endpoint"] = server.endpoint("/end-session").into();
        metadata["subject_types_supported"] = json!(["public"]);
        metadata["id_token_signing_alg_values_supported"] = json!([key.algorithm().as_str()]);
        metadata["prompt_values_supported"] = json!(["none", "login", "consent", "select_account"]);
        metadata["claims_supported"] = json!([
            "sub",
            "name",
            "preferred_username",
            "email",
            "email_verified",
            "auth_time"
        ]);
        metadata["request_uri_parameter_supported"] = false.into();
    }
    Json(metadata)
}

pub(super) async fn jwks(State(server): State<Arc<AuthorizationServer>>) -> Json<JwkSet> {
    Json(JwkSet {
        keys: server.id_token_key.iter().map(IdTokenKey::public_jwk).collect(),
    })
}
