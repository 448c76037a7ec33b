//! `POST /oauth2/backchannel-logout`: the identity provider says that a person's session there is over
//! (OpenID Connect Back-Channel Logout 1.0). It ends the sessions here that came of it.
//!
//! Grants that agents hold are not touched, unless configuration says that a logout is a stop
//! (`backchannel_logout_stops_user`): then the identity service is told first, and a provider that hears of no success
//! tries again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use countersign_audit::Outcome;
use countersign_crypto::{UserKey, sha256};
use countersign_web::form::Form;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::provider::LogoutToken;
use super::site::Application;
use super::{note_refusal, unavailable};
use crate::gateway::Shared;
use crate::listener::Listener;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::session::idp_session;
use crate::stop_list::own_tokens;

/// Name of this operation in the audit trail.
const ACTION: &str = "BackchannelLogout";
/// Longest logout token taken, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

#[derive(Deserialize)]
struct LogoutRequest {
    logout_token: String,
}

/// Takes a logout token of any provider that this listener logs people in at.
#[tracing::instrument(name = "gateway.backchannel_logout", skip_all)]
pub(crate) async fn post(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    let outcome = match Form::<LogoutRequest>::from_request(request, &()).await {
        Ok(Form(form)) => log_out(&listener, &form.logout_token, &provenance).await,
        Err(_) => Err(Reason::AuthInvalidLogoutToken),
    };
    let mut response = match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(reason) => {
            note_refusal(&listener, ACTION, reason, &provenance);
            // Section 2.8: 400 and an OAuth error for whatever was wrong with the request.
            let error = match reason.status() {
                StatusCode::BAD_REQUEST => "invalid_request",
                _ => "server_error",
            };
            (reason.status(), Json(json!({ "error": error }))).into_response()
        }
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn log_out(listener: &Listener, token: &str, provenance: &Provenance) -> Result<(), Reason> {
    if token.len() > MAX_TOKEN {
        return Err(Reason::AuthInvalidLogoutToken);
    }
    // Unverified, and only to choose which configured provider's keys to ask.
    let issuer = countersign_crypto::peek_issuer(token).ok_or(Reason::AuthInvalidLogoutToken)?;
    let mut outcome = Err(Reason::AuthInvalidLogoutToken);
    for application in listener.sites.each_application() {
        if application.backchannel_logout && application.provider.issuer() == issuer {
            outcome = application.provider.logout_token(token).await;
            if let Ok(logout) = &outcome {
                return end(&listener.gateway, application, token, logout, provenance).await;
            }
        }
    }
    outcome.map(drop)
}

async fn end(
    gateway: &Shared,
    application: &Application,
    token: &str,
    logout: &LogoutToken,
    provenance: &Provenance,
) -> Result<(), Reason> {
    let (sessions, issuer) = (&gateway.sessions, application.provider.issuer());
    let token_hash = hex::encode(sha256(token.as_bytes()));
    let known = sessions.store.is_logout_token_taken(&token_hash).await;
    if known.map_err(|error| unavailable(&error))? {
        return Err(Reason::AuthInvalidLogoutToken);
    }
    if application.logout_stops_user {
        stop_users(gateway, issuer, logout).await?;
    }
    let user_key = logout
        .subject
        .as_deref()
        .map(|subject| UserKey::jwt(issuer, subject));
    // Section 2.7: a session where one is named, else all of the subject.
    let ended = match (&logout.sid, &user_key) {
        (Some(sid), _) => sessions.end_idp_session(&idp_session(issuer, sid)).await,
        (None, Some(user_key)) => sessions.end_all(user_key).await,
        (None, None) => Ok(Vec::new()),
    };
    let ended = ended.map_err(|error| unavailable(&error))?;
    let mut entry = provenance
        .entry(ACTION, Outcome::Done)
        .with_detail("issuer", issuer)
        .with_detail("sessions", ended.len());
    if let [sid] = ended.as_slice() {
        entry = entry.with_sid(sid.to_string());
    }
    if let Some(user_key) = user_key {
        entry = entry.with_person(user_key);
    }
    gateway.record(entry).await?;
    // Last, since a provider that hears of no success tries again with the same token: ending what has ended is harmless,
    // and to be refused with the sessions alive is not.
    let noted = sessions
        .store
        .take_logout_token(&token_hash, logout.expires_at)
        .await;
    noted.map_err(|error| unavailable(&error))
}

/// Stops whom the token is about.
async fn stop_users(gateway: &Shared, issuer: &str, logout: &LogoutToken) -> Result<(), Reason> {
    let users = match (&logout.subject, &logout.sid) {
        (Some(subject), _) => vec![UserKey::jwt(issuer, subject)],
        (None, Some(sid)) => {
            let idp_session = idp_session(issuer, sid);
            let users = gateway.sessions.store.users_of_idp_session(&idp_session).await;
            users.map_err(|error| unavailable(&error))?
        }
        (None, None) => Vec::new(),
    };
    for user in &users {
        let tokens = own_tokens(gateway.claims_headers.clone());
        gateway.stops.stop(user, tokens).await?;
    }
    Ok(())
}
