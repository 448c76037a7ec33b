//! The key listener: discovery and JWKS for verifiers of user tokens, and `/<kid>` in PEM for verifiers of
//! `x-amzn-oidc-data`, as `public-keys.auth.elb.<region>.amazonaws.com` serves it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::config::UserToken;
use crate::keys::LiveKeys;

/// Keys change at rotation, with an overlap of more than this.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

struct Documents {
    configuration: String,
    keys: Arc<LiveKeys>,
}

/// The routes below the issuer's path, and `/<kid>`.
pub(crate) fn router(user_token: &UserToken, keys: Arc<LiveKeys>) -> Router {
    let issuer = user_token.issuer();
    let configuration = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        // Nobody gets tokens here; the members that OpenID Connect Discovery requires say so.
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    let documents = Documents {
        configuration: configuration.to_string(),
        keys,
    };
    let base = user_token.issuer.path().trim_end_matches('/');
    let mut router = Router::new()
        .route(
            &format!("{base}/.well-known/openid-configuration"),
            get(configuration_document),
        )
        .route(&format!("{base}/jwks.json"), get(jwks_document))
        .route("/{kid}", get(pem_document));
    if !base.is_empty() {
        router = router.route(&format!("{base}/{{kid}}"), get(pem_document));
    }
    router
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(Arc::new(documents))
}

async fn configuration_document(State(documents): State<Arc<Documents>>) -> Response {
    cacheable("application/json", documents.configuration.clone())
}

async fn jwks_document(State(documents): State<Arc<Documents>>) -> Response {
    let keys = documents.keys.current();
    let jwks = json!({ "keys": keys.public.user_token.keys });
    cacheable("application/json", jwks.to_string())
}

async fn pem_document(State(documents): State<Arc<Documents>>, Path(kid): Path<String>) -> Response {
    let keys = documents.keys.current();
    match keys.public.pem.iter().find(|(id, _)| *id == kid) {
        Some((_, pem)) => cacheable("application/x-pem-file", pem.clone()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn cacheable(content_type: &'static str, body: String) -> Response {
    let content_type = HeaderValue::from_static(content_type);
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, CACHE_CONTROL),
        ],
        body,
    )
        .into_response()
}
