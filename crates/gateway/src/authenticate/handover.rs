//! The hand-over: the app origin gets a ticket to the session that the person has on the account origin.
//!
//! App origin → `{account}/oauth2/handover?origin=app&state=S` → (login) → one-time code →
//! `{app}/oauth2/idpresponse?code=…&state=S`. The code is good for a minute, once, on that origin, and
//! only in the browser that holds the transaction cookie of `S`. Where the person wanted to go stays in
//! that cookie and never leaves the origin.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use countersign_audit::Outcome;
use countersign_crypto::token;
use countersign_web::form;
use http::{HeaderMap, Uri};
use serde::Deserialize;

use super::site::Site;
use super::transaction::Transaction;
use super::{Asking, login, note_refusal, redirect, session, session_entry, unavailable};
use crate::gateway::Shared;
use crate::listener::{Listener, ListenerName};
use crate::origin::ReturnPath;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::Refused;

/// Name of this operation in the audit trail.
const ACTION: &str = "Handover";
/// Length of a state of ours: 32 bytes in base64url.
const STATE_LENGTH: usize = 43;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverRequest {
    origin: String,
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverResponse {
    code: String,
    state: String,
}

/// App origin: sends the browser to the account origin for a code.
pub(super) fn begin(gateway: &Shared, site: &Site, headers: &HeaderMap, return_path: ReturnPath) -> Response {
    let transaction = Transaction {
        state: token(&*gateway.random),
        return_path,
        openid: None,
    };
    let account = &gateway.account_origin;
    let location = account.at(&format!(
        "/oauth2/handover?origin=app&state={}",
        transaction.state
    ));
    let crowd = site.cookies.clear_crowd(headers);
    let cookie = transaction.cookie(gateway, site);
    redirect(&location, crowd.into_iter().chain([cookie]))
}

/// Account origin, `GET /oauth2/handover`: a code for the app origin, after login where there is none.
#[tracing::instrument(name = "gateway.handover", skip_all)]
pub(crate) async fn issue(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    let asking = Asking {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        provenance: &provenance,
    };
    match issue_code(&listener, asking).await {
        Ok(response) => response,
        Err(reason) => {
            note_refusal(&listener, ACTION, reason, &provenance);
            Refused::new(reason, request.headers(), provenance.request_id).into_response()
        }
    }
}

async fn issue_code(listener: &Listener, asking: Asking<'_>) -> Result<Response, Reason> {
    let (gateway, headers, uri) = (&listener.gateway, asking.headers, asking.uri);
    let site = listener.sites.own().ok_or(Reason::NoRule)?;
    super::refuse_cross_origin(asking.method, headers)?;
    let asked: HandoverRequest =
        form::parse(uri.query().unwrap_or_default()).map_err(|_| Reason::AuthInvalidHandover)?;
    let token = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // Codes go to origins of the configuration only.
    if asked.origin != ListenerName::App.as_str() || asked.state.len() != STATE_LENGTH || !token(&asked.state)
    {
        return Err(Reason::AuthInvalidHandover);
    }
    let Some((ticket, _)) = session(gateway, site, headers, asking.provenance).await? else {
        return login::begin(gateway, site, headers, super::return_path(uri)?).await;
    };
    let app = &gateway.app_origin;
    let code = gateway
        .sessions
        .begin_handover(&ticket, &app.to_string(), &asked.state)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(redirect(
        &app.at(&format!("/oauth2/idpresponse?code={code}&state={}", asked.state)),
        [],
    ))
}

/// App origin, `GET /oauth2/idpresponse`: redeems the code and goes where the person wanted to.
#[tracing::instrument(name = "gateway.handover.redeem", skip_all)]
pub(super) async fn redeem(
    listener: &Listener,
    site: &Site,
    uri: &Uri,
    headers: &HeaderMap,
    provenance: Provenance,
) -> Response {
    match redeem_code(&listener.gateway, site, uri, headers, &provenance).await {
        Ok(response) => response,
        Err(reason) => {
            note_refusal(listener, ACTION, reason, &provenance);
            Refused::new(reason, headers, provenance.request_id).into_response()
        }
    }
}

async fn redeem_code(
    gateway: &Shared,
    site: &Site,
    uri: &Uri,
    headers: &HeaderMap,
    provenance: &Provenance,
) -> Result<Response, Reason> {
    let answer: HandoverResponse =
        form::parse(uri.query().unwrap_or_default()).map_err(|_| Reason::AuthInvalidHandover)?;
    let transaction = Transaction::open(gateway, site, headers, &answer.state)?;
    let (sessions, origin) = (&gateway.sessions, site.origin.to_string());
    let redeemed = sessions
        .redeem_handover(&answer.code, &origin, &transaction.state)
        .await
        .map_err(|error| unavailable(&error))?
        .ok_or(Reason::AuthInvalidHandover)?;
    let session = sessions
        .find(&redeemed)
        .await
        .map_err(|error| unavailable(&error))?
        .ok_or(Reason::AuthInvalidHandover)?;
    gateway
        .record(session_entry(provenance, ACTION, Outcome::Done, &session))
        .await?;
    let ticket = site
        .cookies
        .set_ticket(&sessions.seal_ticket(&redeemed, &site.scope));
    let over = site.cookies.clear_transaction(&transaction.state);
    Ok(redirect(
        &site.origin.at(transaction.return_path.as_str()),
        [ticket, over],
    ))
}
