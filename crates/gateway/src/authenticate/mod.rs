//! Who is asking: the session of a request, and the ways to get one.
//!
//! The account origin logs people in at the OpenID provider ([`login`]). The app origin never talks to the
//! provider: it gets a ticket of its own to the same session by a one-time code ([`handover`]).

use std::sync::Arc;

use axum::response::Response;
use countersign_audit::{Entry, Outcome};
use countersign_web::page;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::config::OnUnauthenticatedRequest;
use crate::listener::{Listener, ListenerName};
use crate::origin::{ReturnPath, ReturnPathError};
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::is_navigation;
use crate::session::{Session, Ticket};

pub(crate) mod handover;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod provider;
mod transaction;

/// The result of an `authenticate-oidc` action.
pub(crate) enum Authenticated {
    /// Somebody with a session.
    Person(Arc<Session>),
    /// Nobody, and the rule lets them pass.
    Nobody,
    /// Nobody yet: the browser is sent to log in.
    Login(Response),
}

/// Performs an `authenticate-oidc` action.
pub(crate) async fn authenticate(
    listener: &Listener,
    otherwise: OnUnauthenticatedRequest,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Authenticated, Reason> {
    refuse_cross_origin(method, headers)?;
    if let Some((_, session)) = session(listener, headers).await? {
        return Ok(Authenticated::Person(session));
    }
    // What was not a GET cannot be repeated after a login, and must not be without its sender.
    let repeatable = method == Method::GET || method == Method::HEAD;
    match otherwise {
        OnUnauthenticatedRequest::Allow => Ok(Authenticated::Nobody),
        OnUnauthenticatedRequest::Deny => Err(Reason::AuthRequired),
        OnUnauthenticatedRequest::AuthenticateNavigation if !is_navigation(headers) => {
            Err(Reason::AuthRequired)
        }
        _ if !repeatable => Err(Reason::AuthRequired),
        _ => begin(listener, headers, return_path(uri)?)
            .await
            .map(Authenticated::Login),
    }
}

/// The live session of a request and its ticket.
pub(crate) async fn session(
    listener: &Listener,
    headers: &HeaderMap,
) -> Result<Option<(Ticket, Arc<Session>)>, Reason> {
    let Some(cookie) = listener
        .cookies
        .ticket(headers)
        .map_err(|_| Reason::AuthInvalidCookie)?
    else {
        return Ok(None);
    };
    let sessions = &listener.gateway.sessions;
    let Some(ticket) = sessions.open_ticket(&cookie, &listener.origin.to_string()) else {
        return Ok(None);
    };
    let session = sessions
        .find(&ticket)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(session.map(|session| (ticket, session)))
}

/// Sends a browser without a session to get one, and back to `return_path` afterwards.
async fn begin(
    listener: &Listener,
    headers: &HeaderMap,
    return_path: ReturnPath,
) -> Result<Response, Reason> {
    match listener.name {
        ListenerName::Account => login::begin(listener, headers, return_path).await,
        ListenerName::App => Ok(handover::begin(listener, headers, return_path)),
    }
}

fn return_path(uri: &Uri) -> Result<ReturnPath, Reason> {
    ReturnPath::of(uri).map_err(|error| match error {
        ReturnPathError::Foreign => Reason::InvalidRequestTarget,
        ReturnPathError::TooLong => Reason::RequestTargetTooLong,
    })
}

/// A resource isolation policy by Fetch Metadata (<https://www.w3.org/TR/fetch-metadata/>): where a session decides the
/// answer, another origin may navigate the window here, and nothing else. So a hostile page of the app
/// origin cannot fetch, frame or post to the account origin, nor any other site to either.
fn refuse_cross_origin(method: &Method, headers: &HeaderMap) -> Result<(), Reason> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(site) = text("sec-fetch-site") else {
        return Ok(());
    };
    let navigation = text("sec-fetch-mode") == Some("navigate")
        && text("sec-fetch-dest") == Some("document")
        && (method == Method::GET || method == Method::HEAD);
    if matches!(site, "same-origin" | "none") || navigation {
        Ok(())
    } else {
        Err(Reason::CrossOriginRequest)
    }
}

/// 302 to `location` with cookies.
fn redirect(location: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = page::found(location);
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The store did not answer. Whoever might be logged in must not be taken for nobody.
fn unavailable(error: &countersign_db::DbError) -> Reason {
    tracing::error!(%error, "the session store does not answer");
    Reason::SessionStoreUnavailable
}

/// Writes what happened; without the record on disk nothing is handed out (design D15).
async fn record(listener: &Listener, entry: Entry) -> Result<(), Reason> {
    listener
        .gateway
        .recorder
        .record(entry)
        .await
        .map(drop)
        .map_err(|error| {
            tracing::error!(%error, "an audit record could not be written");
            Reason::AuditUnavailable
        })
}

/// Notes a refusal of somebody who may be anybody.
pub(crate) fn note_refusal(
    listener: &Listener,
    action: &'static str,
    reason: Reason,
    provenance: &Provenance,
) {
    let entry = provenance
        .entry(action, Outcome::Refused)
        .with_reason(reason.as_str())
        .with_detail("listener", listener.name.as_str());
    listener
        .gateway
        .recorder
        .record_unauthenticated_refusal(&provenance.source_text(), entry);
}

/// An entry about a person's session.
fn session_entry(
    provenance: &Provenance,
    action: &'static str,
    listener: &Listener,
    session: &Session,
) -> Entry {
    let login = &session.login;
    provenance
        .entry(action, Outcome::Done)
        .with_sid(session.sid.to_string())
        .with_person(login.user_key())
        .with_personal("subject", login.subject.clone())
        .with_detail("listener", listener.name.as_str())
        .with_detail("issuer", login.issuer.clone())
}
