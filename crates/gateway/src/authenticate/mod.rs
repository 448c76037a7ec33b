//! Who is asking: the session of a request, and the ways to get one.
//!
//! The account origin logs people in at the OpenID provider ([`login`]), and so does every application that
//! is a [`site`] of its own. The app origin never talks to the provider: it gets a ticket of its own to the
//! account origin's session by a one-time code ([`handover`]).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use countersign_audit::{Entry, Outcome};
use countersign_web::page;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::access_log::Executed;
use crate::config::OnUnauthenticatedRequest;
use crate::gateway::Shared;
use crate::listener::Listener;
use crate::metrics;
use crate::origin::{ReturnPath, ReturnPathError};
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::{Refused, is_navigation};
use crate::session::{Session, Ticket};
use crate::stop_list::Stopped;

use self::site::Site;

pub(crate) mod backchannel_logout;
pub(crate) mod handover;
pub(crate) mod lasting;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod provider;
mod refresh;
pub(crate) mod site;
pub(crate) mod target_logout;
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

/// The request as an `authenticate-oidc` action sees it.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) provenance: &'a Provenance,
}

/// Performs an `authenticate-oidc` action.
pub(crate) async fn authenticate(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    otherwise: OnUnauthenticatedRequest,
    asking: Asking<'_>,
) -> Result<Authenticated, Reason> {
    let Asking {
        method, uri, headers, ..
    } = asking;
    // An application behind an ALB is used to requests of other sites, and guards itself.
    if site.application.name.is_empty() {
        refuse_cross_origin(method, headers)?;
    }
    if let Some(session) = person(gateway, site, headers, asking.provenance).await? {
        return Ok(Authenticated::Person(session));
    }
    // What was not a GET cannot be repeated after a login, and must not be without its sender.
    let repeatable = method == Method::GET || method == Method::HEAD;
    match otherwise {
        OnUnauthenticatedRequest::Allow => Ok(Authenticated::Nobody),
        // As an ALB does: who was logged in once is sent to log in again.
        OnUnauthenticatedRequest::Deny if !site.cookies.has_ticket(headers) => Err(Reason::AuthRequired),
        OnUnauthenticatedRequest::AuthenticateNavigation if !is_navigation(headers) => {
            Err(Reason::AuthRequired)
        }
        _ if !repeatable => Err(Reason::AuthRequired),
        _ => Box::pin(begin(gateway, site, headers, return_path(uri)?))
            .await
            .map(Authenticated::Login),
    }
}

/// Who asks, in the way that costs least: most requests follow another one of the same browser within a second.
async fn person(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Option<Arc<Session>>, Reason> {
    let cookie = site.cookies.ticket_bytes(headers);
    let Some(cookie) = cookie.map_err(|_| Reason::AuthInvalidCookie)? else {
        return Ok(None);
    };
    // A stop, and the end of an access token, are never a second late.
    if let Some(session) = gateway.sessions.find_recent(&site.scope, cookie)
        && gateway.stops.check(&session.login)? == Stopped::No
        && !session.login.is_stale(gateway.clock.now())
    {
        return Ok(Some(session));
    }
    // Boxed: the future of a request need not have room for it.
    let found = Box::pin(session(gateway, site, headers, provenance)).await?;
    Ok(found.map(|(_, session)| session))
}

/// The live session of a request at a site, and its ticket.
pub(crate) async fn session(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Option<(Ticket, Arc<Session>)>, Reason> {
    let cookie = site.cookies.ticket_bytes(headers);
    let Some(cookie) = cookie.map_err(|_| Reason::AuthInvalidCookie)? else {
        return Ok(None);
    };
    let found = gateway.sessions.find_by_cookie(&site.scope, cookie).await;
    let Some((ticket, found)) = found.map_err(|error| unavailable(&error))? else {
        return Ok(None);
    };
    if gateway.stops.check(&found.login)? == Stopped::Yes {
        end_stopped(gateway, &found, provenance).await?;
        return Ok(None);
    }
    let current = refresh::current(gateway, site, ticket.clone(), found, provenance.clone()).await?;
    Ok(current.map(|session| (ticket, session)))
}

/// Ends a session whose person was stopped. Logging in again is refused for as long as the stop holds.
async fn end_stopped(gateway: &Shared, session: &Session, provenance: &Provenance) -> Result<(), Reason> {
    gateway
        .sessions
        .end(session.sid)
        .await
        .map_err(|error| unavailable(&error))?;
    let entry = session_entry(provenance, "EndSession", Outcome::Done, session);
    gateway
        .record(entry.with_reason(Reason::AuthStopped.as_str()))
        .await
}

/// Sends a browser without a session to get one, and back to `return_path` afterwards.
async fn begin(
    gateway: &Shared,
    site: &Site,
    headers: &HeaderMap,
    return_path: ReturnPath,
) -> Result<Response, Reason> {
    if site.handed_over {
        Ok(handover::begin(gateway, site, headers, return_path))
    } else {
        login::begin(gateway, site, headers, return_path).await
    }
}

/// `GET /oauth2/idpresponse` on any listener: the answer to a login that one of its sites began. Which one,
/// its transaction cookie tells.
pub(crate) async fn callback(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    provenance.notes.executed(Executed::Authenticate);
    let (uri, headers) = (request.uri(), request.headers());
    let Some(site) = answered(&listener, uri, headers) else {
        return Refused::new(Reason::NoRule, headers, provenance.request_id).into_response();
    };
    if site.handed_over {
        handover::redeem(&listener, site, uri, headers, provenance).await
    } else {
        login::callback(&listener, site, uri, headers, provenance).await
    }
}

/// The site whose login is answered; where the browser brings no login of this `state`, the one that says
/// so.
fn answered<'a>(listener: &'a Listener, uri: &Uri, headers: &HeaderMap) -> Option<&'a Arc<Site>> {
    let state = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find_map(|(name, value)| (name == "state").then(|| value.into_owned()));
    let begun = |site: &&Arc<Site>| {
        let state = state.as_deref().unwrap_or_default();
        !matches!(site.cookies.transaction(headers, state), Ok(None))
    };
    let sites = || listener.sites.all(uri, headers);
    sites().find(begun).or_else(|| sites().next())
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

/// Notes a refusal of somebody who may be anybody.
pub(crate) fn note_refusal(
    listener: &Listener,
    action: &'static str,
    reason: Reason,
    provenance: &Provenance,
) {
    metrics::refused(reason);
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
    outcome: Outcome,
    session: &Session,
) -> Entry {
    let login = &session.login;
    let entry = provenance
        .entry(action, outcome)
        .with_sid(session.sid.to_string())
        .with_person(login.user_key())
        .with_personal("subject", login.subject.clone())
        .with_detail("issuer", login.issuer.clone());
    if login.application.is_empty() {
        entry
    } else {
        entry.with_detail("application", login.application.clone())
    }
}
