//! An operator's routes on the operations listener: browser sessions, forgetting a person, and the gateway's keys.
//!
//! ```text
//! GET    /gateway/sessions?user=KEY&limit=N      live sessions, newest first
//! DELETE /gateway/sessions?user=KEY              all of a person
//! DELETE /gateway/sessions/{sid}                 one
//! POST   /gateway/users/{key}/forget             end a person's sessions, make their records name nobody
//! GET    /gateway/keys                           keys, without what they unlock
//! POST   /gateway/keys/{purpose}/rotate          a new primary key
//! POST   /gateway/keys/{id}/retire               an old key is good for nothing from now on
//! ```
//!
//! The gateway may not call the identity API and so cannot tell whose access key signed a request; whoever shows its
//! operator token may do all of this and nothing else (docs/decisions/0010-gateway-operator.md). Without a configured
//! token there are no such routes.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use countersign_audit::{Entry, Outcome};
use countersign_crypto::{ExposeSecret as _, SecretString, UserKey, constant_time_eq, sha256};
use countersign_web::{Peer, form};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::operator::{KeySummary, Operator, OperatorError, RotatingKey};
use crate::session::SessionSummary;

/// Sessions listed where nobody says how many.
const DEFAULT_LIMIT: u32 = 100;
/// Most sessions listed.
const MAX_LIMIT: u32 = 1_000;

/// What the routes share.
struct Routes {
    operator: Operator,
    token_hash: [u8; 32],
}

/// Whose sessions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    /// A user key in hexadecimal.
    user: Option<String>,
    limit: Option<String>,
}

/// Why nothing was done.
enum Refusal {
    Unauthorized,
    Invalid(&'static str),
    Operator(OperatorError),
}

impl From<OperatorError> for Refusal {
    fn from(error: OperatorError) -> Self {
        Self::Operator(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "not the operator token".to_owned()),
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, message.to_owned()),
            Self::Operator(error) => match error {
                OperatorError::NoSession(_) => (StatusCode::NOT_FOUND, error.to_string()),
                OperatorError::NotRetirable(_) | OperatorError::Concurrent => {
                    (StatusCode::CONFLICT, error.to_string())
                }
                error => {
                    tracing::error!(%error, "an operator's request failed");
                    let message = "the gateway's store, keys or audit chain fail; its log says more";
                    (StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
                }
            },
        };
        (status, Json(json!({ "message": message }))).into_response()
    }
}

impl Gateway {
    /// The operator's routes, where an operator token is configured. They belong on the operations listener, which
    /// browsers do not reach.
    pub async fn operator_router(&self) -> Option<Router> {
        let token = self.current.lock().await.config.operator.as_ref()?.token.clone();
        Some(router(self.operator(), &token))
    }
}

fn router(operator: Operator, token: &SecretString) -> Router {
    let routes = Arc::new(Routes {
        operator,
        token_hash: sha256(token.expose_secret().as_bytes()),
    });
    Router::new()
        .route("/gateway/sessions", get(list_sessions).delete(end_sessions_of))
        .route("/gateway/sessions/{sid}", delete(end_session))
        .route("/gateway/users/{key}/forget", post(forget_user))
        .route("/gateway/keys", get(list_keys))
        .route("/gateway/keys/{purpose}/rotate", post(rotate_key))
        .route("/gateway/keys/{id}/retire", post(retire_key))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&routes), authenticate))
        .with_state(routes)
}

/// Lets whoever shows the token pass. Hashes are compared, so that neither content nor length shows in the time.
async fn authenticate(State(routes): State<Arc<Routes>>, request: Request, next: Next) -> Response {
    let shown = bearer(request.headers()).map(|token| sha256(token.as_bytes()));
    if shown.is_some_and(|hash| constant_time_eq(&hash, &routes.token_hash)) {
        return next.run(request).await;
    }
    let source = request
        .extensions()
        .get::<Peer>()
        .map(|peer| peer.0.ip().to_string());
    let mut entry = Entry::new("Operate", Outcome::Refused).with_reason("operator_token");
    entry.source.clone_from(&source);
    routes
        .operator
        .recorder()
        .record_unauthenticated_refusal(source.as_deref().unwrap_or("unknown"), entry);
    Refusal::Unauthorized.into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.strip_prefix("Bearer "),
        _ => None,
    }
}

fn selection(request: &Request) -> Result<(Option<UserKey>, u32), Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let selection: Selection =
        form::parse(query).map_err(|_| Refusal::Invalid("the query has user and limit"))?;
    let user = selection.user.as_deref().map(user_key).transpose()?;
    let limit = selection.limit.as_deref().map(str::parse).transpose();
    let limit = limit.map_err(|_| Refusal::Invalid("limit is a number"))?;
    Ok((user, limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)))
}

fn user_key(text: &str) -> Result<UserKey, Refusal> {
    UserKey::from_hex(text).map_err(|_| Refusal::Invalid("user is a user key of 64 hexadecimal digits"))
}

async fn list_sessions(State(routes): State<Arc<Routes>>, request: Request) -> Result<Json<Value>, Refusal> {
    let (user, limit) = selection(&request)?;
    let sessions = routes.operator.list_sessions(user.as_ref(), limit).await?;
    let sessions: Vec<Value> = sessions.iter().map(session).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

async fn end_sessions_of(
    State(routes): State<Arc<Routes>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (user, _) = selection(&request)?;
    let user = user.ok_or(Refusal::Invalid("whose sessions? give user"))?;
    let ended = routes.operator.end_sessions_of(&user).await?;
    Ok(Json(json!({ "ended": ended })))
}

async fn end_session(
    State(routes): State<Arc<Routes>>,
    Path(sid): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let sid: Uuid = sid
        .parse()
        .map_err(|_| Refusal::Invalid("a session id is a UUID"))?;
    routes.operator.end_session(sid).await?;
    Ok(Json(json!({ "ended": [sid] })))
}

async fn forget_user(
    State(routes): State<Arc<Routes>>,
    Path(key): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let forgotten = routes.operator.forget_user(&user_key(&key)?).await?;
    Ok(Json(json!({
        "sessionsEnded": forgotten.sessions_ended,
        "auditDetailsErased": forgotten.audit_details_erased,
    })))
}

async fn list_keys(State(routes): State<Arc<Routes>>) -> Result<Json<Value>, Refusal> {
    let keys: Vec<Value> = routes.operator.list_keys().await?.iter().map(key).collect();
    Ok(Json(json!({ "keys": keys })))
}

async fn rotate_key(
    State(routes): State<Arc<Routes>>,
    Path(purpose): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let purpose = RotatingKey::ALL
        .into_iter()
        .find(|key| key.as_str() == purpose)
        .ok_or(Refusal::Invalid(
            "keys that rotate: user-token-signing, alb-header-signing, session",
        ))?;
    Ok(Json(key(&routes.operator.rotate_key(purpose).await?)))
}

async fn retire_key(
    State(routes): State<Arc<Routes>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    routes.operator.retire_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn session(session: &SessionSummary) -> Value {
    json!({
        "sid": session.sid,
        "userKey": session.user_key.to_hex(),
        "application": session.application,
        "createdAt": session.created_at.as_secs(),
        "lastSeenAt": session.last_seen_at.as_secs(),
        "expiresAt": session.expires_at.as_secs(),
    })
}

fn key(key: &KeySummary) -> Value {
    json!({
        "id": key.id,
        "purpose": key.purpose.as_str(),
        "version": key.version,
        "state": key.state.as_str(),
        "createdAt": key.created_at.as_secs(),
    })
}
