//! The login at the OpenID provider: `begin` sends the browser there, `callback` takes the answer at
//! `/oauth2/idpresponse` of the site.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use countersign_audit::Outcome;
use countersign_crypto::token;
use countersign_oauth::authorize::Pkce;
use countersign_oauth::callback::{AuthorizationResponse, CallbackError};
use http::{HeaderMap, Uri};

use super::site::Site;
use super::transaction::{OpenId, Transaction};
use super::{note_refusal, redirect, session, session_entry, unavailable};
use crate::gateway::Shared;
use crate::listener::Listener;
use crate::metrics;
use crate::origin::ReturnPath;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::session::Login;
use crate::stop_list::Stopped;

/// Names in the audit trail.
const ACTION: &str = "Login";
const REFUSED: &str = "LoginRefused";
/// Why a session ended that its browser has another for.
const REPLACED: &str = "replaced";

/// Sends the browser to the provider.
pub(super) async fn begin(
    gateway: &Shared,
    site: &Site,
    headers: &HeaderMap,
    return_path: ReturnPath,
) -> Result<Response, Reason> {
    let pkce = Pkce::generate(&*gateway.random);
    let openid = OpenId {
        nonce: token(&*gateway.random),
        code_verifier: pkce.verifier,
    };
    let state = token(&*gateway.random);
    let location = site
        .application
        .provider
        .authorization_url(&site.redirect_uri(), &state, &openid.nonce, &pkce.challenge)
        .await?;
    let transaction = Transaction {
        state,
        return_path,
        openid: Some(openid),
    };
    let crowd = site.cookies.clear_crowd(headers);
    let cookie = transaction.cookie(gateway, site);
    Ok(redirect(&location, crowd.into_iter().chain([cookie])))
}

/// `GET /oauth2/idpresponse`.
#[tracing::instrument(name = "gateway.login", skip_all)]
pub(super) async fn callback(
    listener: &Listener,
    site: &Arc<Site>,
    uri: &Uri,
    headers: &HeaderMap,
    provenance: Provenance,
) -> Response {
    match log_in(&listener.gateway, site, uri, headers, &provenance).await {
        Ok(response) => response,
        Err(Failed { reason, state }) => {
            note_refusal(listener, REFUSED, reason, &provenance);
            let refused = Refused::new(reason, headers, provenance.request_id);
            match state {
                // The transaction has been answered; it must not be answered again.
                Some(state) => refused.clearing(site.cookies.clear_transaction(&state)),
                None => refused,
            }
            .into_response()
        }
    }
}

/// A login that failed, and its state once the transaction was found to be this browser's.
struct Failed {
    reason: Reason,
    state: Option<String>,
}

impl From<Reason> for Failed {
    fn from(reason: Reason) -> Self {
        Self { reason, state: None }
    }
}

async fn log_in(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    uri: &Uri,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Response, Failed> {
    let answer = AuthorizationResponse::parse(uri.query().unwrap_or_default()).map_err(reason_of)?;
    let transaction = Transaction::open(gateway, site, headers, answer.state())?;
    match finish(gateway, site, &answer, &transaction, headers, provenance).await {
        Ok(response) => Ok(response),
        Err(reason) => Err(Failed {
            reason,
            state: Some(transaction.state),
        }),
    }
}

/// Everything after the answer has been tied to this browser. Nothing is sent to the provider before.
async fn finish(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    answer: &AuthorizationResponse,
    transaction: &Transaction,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Response, Reason> {
    let openid = transaction.openid.as_ref().ok_or(Reason::AuthInvalidNonce)?;
    let provider = &site.application.provider;
    let mut login = provider.log_in(answer, &site.redirect_uri(), openid).await?;
    login.application.clone_from(&site.application.name);
    if gateway.stops.check(&login)? == Stopped::Yes {
        return Err(Reason::AuthStopped);
    }
    // A browser has one session at a time: who was logged in before is not any more.
    if let Some((ticket, before)) = session(gateway, site, headers, provenance).await? {
        let ended = gateway.sessions.end(ticket.sid).await;
        ended.map_err(|error| unavailable(&error))?;
        let entry = session_entry(provenance, "EndSession", Outcome::Done, &before);
        gateway.record(entry.with_reason(REPLACED)).await?;
    }
    let cookie = begin_session(gateway, site, login, provenance).await?;
    metrics::logged_in();
    let location = site.origin.at(transaction.return_path.as_str());
    let over = site.cookies.clear_transaction(&transaction.state);
    Ok(redirect(&location, [site.cookies.set_ticket(&cookie), over]))
}

async fn begin_session(
    gateway: &Shared,
    site: &Site,
    login: Login,
    provenance: &Provenance,
) -> Result<String, Reason> {
    let sessions = &gateway.sessions;
    let (ticket, session) = sessions
        .begin(login, site.application.limits)
        .await
        .map_err(|error| unavailable(&error))?;
    let mut entry = session_entry(provenance, ACTION, Outcome::Done, &session)
        .with_detail("auth_time", session.login.auth_time.as_secs());
    for claim in ["name", "preferred_username", "email"] {
        if let Some(value) = session.login.claims.get(claim).and_then(|value| value.as_str()) {
            entry = entry.with_personal(claim, value);
        }
    }
    if let Err(reason) = gateway.record(entry).await {
        // Nobody holds the ticket; the record would only lie there until it expires.
        if let Err(error) = sessions.end(ticket.sid).await {
            tracing::warn!(%error, "an unused session stays until it expires");
        }
        return Err(reason);
    }
    Ok(sessions.seal_ticket(&ticket, &site.scope))
}

fn reason_of(error: CallbackError) -> Reason {
    match error {
        CallbackError::MissingState => Reason::AuthMissingStateParam,
        CallbackError::Issuer => Reason::AuthInvalidIssuer,
        CallbackError::Duplicate | CallbackError::Malformed | CallbackError::TooLong => {
            Reason::AuthMissingCodeParam
        }
    }
}
