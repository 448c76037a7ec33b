//! `/logout` on both origins: ends the session record, and with it every ticket to it, then logs out at
//! the identity provider where it offers that (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use countersign_audit::Outcome;
use countersign_web::csrf;
use countersign_web::form::Form;
use countersign_web::page::{Action, Button, FormPage, Message, Tone};
use countersign_web::security_headers::FormAction;
use http::{HeaderMap, Method, header};
use serde::Deserialize;

use super::site::Site;
use super::{note_refusal, redirect, session, session_entry, unavailable};
use crate::gateway::Shared;
use crate::listener::Listener;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::Refused;

/// Name of this operation in the audit trail.
const ACTION: &str = "Logout";
/// Where a logout ends: public, or the browser would be sent to log in again.
const LOGGED_OUT: &str = "/logged-out";

#[derive(Deserialize)]
struct Confirmation {
    csrf_token: String,
}

/// `GET /logout`: at once when the person asked for it on our own pages or typed it; a question when
/// another site may have sent them.
#[tracing::instrument(name = "gateway.logout", skip_all)]
pub(crate) async fn get(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    let headers = request.headers();
    let answer = match listener.sites.own() {
        None => Err(Reason::NoRule),
        Some(site) if request.method() == Method::GET && is_own_wish(site, headers) => {
            end(&listener.gateway, site, headers, &provenance).await
        }
        Some(site) => question(&listener.gateway, site, headers),
    };
    answer.unwrap_or_else(|reason| refuse(&listener, reason, headers, provenance))
}

/// `POST /logout`: the answer to the question.
#[tracing::instrument(name = "gateway.logout", skip_all)]
pub(crate) async fn post(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    let headers = request.headers().clone();
    let form = match Form::<Confirmation>::from_request(request, &()).await {
        Ok(Form(form)) => form,
        Err(rejection) => return rejection.into_response(),
    };
    let answer = match listener.sites.own().ok_or(Reason::NoRule) {
        Ok(site) => match check_confirmation(&listener.gateway, site, &headers, &form) {
            Ok(()) => end(&listener.gateway, site, &headers, &provenance).await,
            Err(reason) => Err(reason),
        },
        Err(reason) => Err(reason),
    };
    answer.unwrap_or_else(|reason| refuse(&listener, reason, &headers, provenance))
}

/// `GET /logged-out`.
pub(crate) async fn logged_out(State(listener): State<Arc<Listener>>) -> Response {
    Message::new("You are signed out")
        .lead("Your session here has ended. Other browsers and devices are not affected.")
        .tone(Tone::Success)
        .action(Action::primary(
            "Sign in again",
            listener.gateway.app_origin.at("/"),
        ))
        .render()
}

fn refuse(listener: &Listener, reason: Reason, headers: &HeaderMap, provenance: Provenance) -> Response {
    note_refusal(listener, ACTION, reason, &provenance);
    Refused::new(reason, headers, provenance.request_id).into_response()
}

/// Whether the browser says that our own page, or the person without any page, asked. Older browsers say
/// so by `Origin` or `Referer` alone. A prefetch is nobody's wish.
fn is_own_wish(site: &Site, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-purpose") || headers.contains_key("purpose") {
        return false;
    }
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let own = site.origin.to_string();
    match (text(header::ORIGIN.as_str()), text(header::REFERER.as_str())) {
        (Some(origin), _) => origin == own,
        (None, Some(referer)) => referer
            .strip_prefix(&own)
            .is_some_and(|rest| rest.starts_with('/')),
        (None, None) => false,
    }
}

fn question(gateway: &Shared, site: &Site, headers: &HeaderMap) -> Result<Response, Reason> {
    let browser = browser(site, headers)?;
    let now = gateway.clock.now();
    Ok(FormPage::new("Sign out?", "/logout")
        .lead("This ends your session in this browser.")
        .hidden(
            csrf::FIELD,
            csrf::token(&gateway.csrf_secret, &browser, ACTION, now),
        )
        .button(Button::primary("Sign out").id("logout"))
        // The identity provider's logout may lead on to places of its own.
        .form_action(FormAction::AnyRedirect)
        .render())
}

fn check_confirmation(
    gateway: &Shared,
    site: &Site,
    headers: &HeaderMap,
    form: &Confirmation,
) -> Result<(), Reason> {
    let refused = |error: csrf::CsrfError| {
        tracing::info!(reason = error.reason(), "logout form refused");
        Reason::InvalidCsrfToken
    };
    csrf::require_same_origin(headers, &site.origin.to_string()).map_err(refused)?;
    let browser = browser(site, headers)?;
    let now = gateway.clock.now();
    csrf::verify(&gateway.csrf_secret, &browser, ACTION, &form.csrf_token, now).map_err(refused)
}

/// What the form's token is bound to: the ticket, or its absence.
fn browser(site: &Site, headers: &HeaderMap) -> Result<String, Reason> {
    Ok(site
        .cookies
        .ticket(headers)
        .map_err(|_| Reason::AuthInvalidCookie)?
        .unwrap_or_default())
}

async fn end(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Response, Reason> {
    let mut location = site.origin.at(LOGGED_OUT);
    if let Some((ticket, session)) = session(gateway, site, headers, provenance).await? {
        gateway
            .sessions
            .end(ticket.sid)
            .await
            .map_err(|error| unavailable(&error))?;
        gateway
            .record(session_entry(provenance, ACTION, Outcome::Done, &session))
            .await?;
        let after = gateway.account_origin.at(LOGGED_OUT);
        let provider = &site.application.provider;
        if let Some(url) = provider.end_session_url(&session.login.id_token, &after).await {
            location = url;
        }
    }
    Ok(redirect(&location, [site.cookies.clear_ticket()]))
}
