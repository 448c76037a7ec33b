//! `GET /identities/stops`: who is stopped, for gateways (design D23). A gateway may not read this service's database
//! nor call its API; it asks here, where it also sends browsers, and shows a token of its own: signed with its key for
//! an audience that opens this door alone, and about nobody.
//!
//! `POST /identities/stops`: a gateway says that a person was logged out by their identity provider, where
//! configuration has that stop the person's grants too.
//!
//! Browsers never get here: the gateway forwards neither.

use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use countersign_audit::Outcome;
use countersign_crypto::{UserKey, parse_strict_json, peek_issuer};
use countersign_web::{PersonError, Routine};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::visit::Visit;
use crate::config::GatewayConfig;
use crate::state::State;
use crate::stops::Subject;
use crate::store::stop::{self, StopRow};

/// Longest token looked at, bytes.
const MAX_TOKEN: usize = 4 * 1024;
/// Largest body, bytes.
const MAX_BODY: usize = 1024;

/// The stops that concern a gateway.
#[derive(Serialize)]
struct StopList {
    /// Everybody is stopped.
    account: bool,
    /// User keys in hexadecimal, and published user ids.
    users: Vec<String>,
}

/// A person whose identity provider has logged them out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LoggedOut {
    user_key: String,
}

/// Why a gateway gets no answer.
#[derive(Clone, Copy)]
enum Refusal {
    /// Not a gateway that may ask.
    Unauthorized(&'static str),
    /// A gateway that may ask, but not this.
    Forbidden(&'static str),
    Malformed(&'static str),
    Unavailable(&'static str),
}

impl From<countersign_db::DbError> for Refusal {
    fn from(error: countersign_db::DbError) -> Self {
        tracing::error!(%error, "stops cannot be read or written");
        Self::Unavailable("store_failed")
    }
}

/// The list. Asking for it is no event: a gateway does a few times a second.
#[tracing::instrument(name = "identity.list_stops_for_gateway", skip_all)]
pub(super) async fn list(Extract(state): Extract<State>, request: Request) -> Response {
    let (visit, _) = Visit::begin(&state, "ListStopsForGateway", request);
    let listed = async {
        let gateway = gateway(&state, &visit.parts.headers).await?;
        let account = state.config.account_of(gateway.account.as_ref());
        crate::health::gateway_asked(&state, &gateway.issuer, visit.now);
        Ok::<_, Refusal>(state.stops.of_people(account).await?)
    };
    match listed.await {
        Ok((account, users)) => {
            answer((Extension(Routine), Json(StopList { account, users })).into_response())
        }
        Err(refusal) => refuse(visit, refusal),
    }
}

/// Stops a person whom their identity provider has logged out.
#[tracing::instrument(name = "identity.stop_on_logout", skip_all)]
pub(super) async fn stop_on_logout(Extract(state): Extract<State>, request: Request) -> Response {
    let (mut visit, body) = Visit::begin(&state, "StopOnLogout", request);
    let stopped = async {
        let gateway = gateway(&state, &visit.parts.headers).await?;
        if !gateway.logout_stops_user {
            return Err(Refusal::Forbidden("logout_stops_nobody"));
        }
        let body = axum::body::to_bytes(body, MAX_BODY).await;
        let body = body.map_err(|_| Refusal::Malformed("body"))?;
        let body = parse_strict_json(&body).map_err(|_| Refusal::Malformed("body"))?;
        let logged_out: LoggedOut = serde_json::from_value(body).map_err(|_| Refusal::Malformed("body"))?;
        let key = UserKey::from_hex(&logged_out.user_key).map_err(|_| Refusal::Malformed("user_key"))?;
        Ok((gateway, key))
    };
    let (gateway, key) = match stopped.await {
        Ok(stopped) => stopped,
        Err(refusal) => return refuse(visit, refusal),
    };
    let account = state.config.account_of(gateway.account.as_ref()).to_owned();
    visit.entry.account.clone_from(&account);
    visit.entry.region.clone_from(&state.config.region);
    visit.entry.person = Some(key);
    visit
        .entry
        .detail
        .insert("gateway".to_owned(), gateway.issuer.clone().into());
    let (kind, subject) = Subject::User(key).stored(&account);
    let row = StopRow {
        account,
        kind: kind.to_owned(),
        subject,
        reason: Some("logged out by the identity provider".to_owned()),
        stopped_by: gateway.issuer.clone(),
        stopped_at: visit.now,
    };
    let stored = async {
        let mut tx = state.pool.begin().await?;
        stop::insert(&mut tx, &row).await?;
        state.commit(tx, &[(stop::CHANGE, &row.subject)]).await
    };
    if let Err(error) = stored.await {
        return refuse(visit, error.into());
    }
    answer(visit.done(StatusCode::NO_CONTENT.into_response()).await)
}

/// The gateway whose token the request shows.
async fn gateway<'s>(state: &'s State, headers: &HeaderMap) -> Result<&'s GatewayConfig, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (Some(value), None) => value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer ")),
        _ => None,
    };
    let token = token
        .filter(|token| token.len() <= MAX_TOKEN)
        .ok_or(Refusal::Unauthorized("token_missing"))?;
    // Unverified: only to choose whose audience it has to be for.
    let issuer = peek_issuer(token).ok_or(Refusal::Unauthorized("token_malformed"))?;
    let mut gateways = state.config.gateways.iter();
    let known = gateways.find(|gateway| gateway.issuer == issuer);
    let door = known.and_then(|gateway| Some((gateway, gateway.stop_list_audience.as_deref()?)));
    let (gateway, audience) = door.ok_or(Refusal::Unauthorized("gateway_unknown"))?;
    match state.persons.verify_gateway_token(token, audience).await {
        Ok(_) => Ok(gateway),
        Err(error @ PersonError::KeysUnavailable) => Err(Refusal::Unavailable(error.reason())),
        Err(error) => Err(Refusal::Unauthorized(error.reason())),
    }
}

fn refuse(mut visit: Visit, refusal: Refusal) -> Response {
    let (status, reason) = match refusal {
        Refusal::Unauthorized(reason) => (StatusCode::UNAUTHORIZED, reason),
        Refusal::Forbidden(reason) => (StatusCode::FORBIDDEN, reason),
        Refusal::Malformed(reason) => (StatusCode::BAD_REQUEST, reason),
        Refusal::Unavailable(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    visit.entry.outcome = if status == StatusCode::SERVICE_UNAVAILABLE {
        Outcome::Failed
    } else {
        Outcome::Refused
    };
    visit.entry.reason = Some(reason);
    visit.count_refusal();
    answer(status.into_response())
}

fn answer(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
