//! The callback: what the authorization server says, through the browser that started (design D11).
//!
//! Cookie, `state`, the provider's own path and `iss` are checked before anything is believed. A code is sealed and
//! kept, never exchanged here; what goes on to the return URL is a fresh completion handle, so that whoever knows the
//! session URI (it stands in the link) cannot use what somebody else's consent brought.

use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use countersign_crypto::{ExposeSecret as _, SecretString, constant_time_eq, sha256};
use countersign_oauth::AuthorizationResponse;
use countersign_web::page::found;
use http::StatusCode;
use url::form_urlencoded;

use super::fetch_metadata::{idle, is_navigation};
use super::page::Refusal;
use super::visit::{Refused, Visit};
use crate::session::{Secrets, SessionUri, Status, open_code, seal_code};
use crate::state::State;
use crate::store::authorization_session::{self, Ending, SessionRow};
use crate::store::workload_identity::ReturnHandle;
use crate::vault::Provider;

const ACTION: &str = "ReceiveAuthorizationResponse";

/// `GET` from the authorization server.
#[tracing::instrument(name = "identity.receive_authorization_response", skip_all)]
pub(super) async fn callback(
    Extract(state): Extract<State>,
    Path(callback_id): Path<String>,
    request: Request,
) -> Response {
    let (mut visit, _) = Visit::begin(&state, ACTION, request);
    if idle(&visit.parts.method, &visit.parts.headers).is_some() {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    match received(&mut visit, &callback_id).await {
        Ok(location) => visit.done(found(location.expose_secret())).await,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn received(visit: &mut Visit, callback_id: &str) -> Result<SecretString, Refused> {
    if !is_navigation(&visit.parts.headers) {
        return Err(Refused::new(Refusal::NotNavigation, "not_a_navigation"));
    }
    let query = visit.parts.uri.query().unwrap_or_default();
    let response = AuthorizationResponse::parse(query);
    // A response that has one `state` and is otherwise malformed ends its session; any other names none.
    let state = match &response {
        Ok(response) => response.state().to_owned(),
        Err(error) => only_state(query).ok_or(Refused::new(Refusal::Unknown, error.reason()))?,
    };
    let session = authorization_session::find_by_state(&visit.state.pool, &sha256(state.as_bytes())).await?;
    let session = session.ok_or(Refused::new(Refusal::Unknown, "unknown_state"))?;
    visit.concerns(&session);
    let browser = check_browser(visit, &session)?;
    // From here on it is the browser of the session; the session's person is who this is recorded for.
    visit.acts(session.user_key, session.sid.as_deref());
    visit.refuse_lapsed(&session).await?;
    check_status(visit, &session, &response).await?;
    visit.refuse_stopped(&session).await?;
    let provider = match visit.unchanged(&session).await {
        Ok(provider) => provider,
        Err(refused) if refused.refusal == Refusal::Withdrawn => {
            return Err(fail(visit, &session, refused.reason, Refusal::Withdrawn).await?);
        }
        Err(refused) => return Err(refused),
    };
    // Each provider has its own path: a code that comes back by another's is of another server (attack row C4).
    if !constant_time_eq(provider.row.callback_id.as_bytes(), callback_id.as_bytes()) {
        return Err(fail(
            visit,
            &session,
            "callback_of_another_provider",
            Refusal::ForeignAnswer,
        )
        .await?);
    }
    match response.and_then(|response| response.check_issuer(&provider.server).map(|()| response)) {
        Ok(AuthorizationResponse::Code { code, .. }) => {
            hold(visit, &session, &provider, &browser, &code).await
        }
        Ok(AuthorizationResponse::Error {
            error, description, ..
        }) => {
            let status = if error == "access_denied" {
                Status::Denied
            } else {
                Status::Failed
            };
            deny(
                visit,
                &session,
                status,
                "authorization_server_error",
                &error,
                description.as_deref(),
            )
            .await
        }
        Err(error @ countersign_oauth::CallbackError::Malformed) => {
            let description = Some("the authorization server sent neither a code nor an error");
            deny(
                visit,
                &session,
                Status::Failed,
                error.reason(),
                "server_error",
                description,
            )
            .await
        }
        Err(error) => Err(fail(visit, &session, error.reason(), Refusal::ForeignAnswer).await?),
    }
}

/// The one `state` of a query that is otherwise malformed.
fn only_state(query: &str) -> Option<String> {
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    match (states.next(), states.next()) {
        (Some((_, state)), None) => Some(state.into_owned()),
        _ => None,
    }
}

/// The browser that started, by its cookie (attack row A6).
fn check_browser(visit: &Visit, session: &SessionRow) -> Result<[u8; 32], Refused> {
    let browser = visit.cookie().read(&visit.parts.headers);
    let browser = browser
        .ok_or(Refused::new(Refusal::ForeignAnswer, "missing_cookie"))?
        .hash();
    match session.browser_hash {
        Some(started) if constant_time_eq(&started, &browser) => Ok(browser),
        _ => Err(Refused::new(Refusal::ForeignAnswer, "other_browser")),
    }
}

/// Only a started session takes an answer. A second answer with the same code is a reload and changes nothing; with
/// another code somebody injects one, and the session is lost (attack rows B5, B6).
async fn check_status(
    visit: &Visit,
    session: &SessionRow,
    response: &Result<AuthorizationResponse, countersign_oauth::CallbackError>,
) -> Result<(), Refused> {
    match session.status {
        Status::Started => Ok(()),
        Status::CodeHeld => {
            let keyring = &*visit.state.vault_keyring(&session.account)?;
            let held =
                open_code(keyring, session).map_err(|error| Refused::failed("session_unreadable", error))?;
            let same = match (response, held) {
                (Ok(AuthorizationResponse::Code { code, .. }), Some(held)) => {
                    constant_time_eq(code.expose_secret().as_bytes(), held.expose_secret().as_bytes())
                }
                _ => false,
            };
            if same {
                return Err(Refused::new(Refusal::Used, "repeated_callback"));
            }
            Err(fail(visit, session, "second_code", Refusal::ForeignAnswer).await?)
        }
        _ => Err(Refused::new(Refusal::of(session), "not_started")),
    }
}

/// Ends the session as failed; gives the refusal to answer with.
async fn fail(
    visit: &Visit,
    session: &SessionRow,
    reason: &'static str,
    refusal: Refusal,
) -> Result<Refused, Refused> {
    visit.end(session, Status::Failed, reason, None).await?;
    Ok(Refused::new(refusal, reason))
}

/// `started → code_held`. Answers with the return URL, which carries the completion handle.
async fn hold(
    visit: &Visit,
    session: &SessionRow,
    provider: &Provider,
    browser: &[u8; 32],
    code: &SecretString,
) -> Result<SecretString, Refused> {
    let state = &visit.state;
    let keyring = &*state.vault_keyring(&session.account)?;
    let secrets = open_secrets(visit, session)?;
    let handle = handle(visit, session, &secrets).await?;
    let sealed = seal_code(keyring, &*state.random, session, code);
    let deadline = session.deadline.min(visit.now.plus(provider.code_kept()));
    let held = authorization_session::hold_code(
        &state.pool,
        session,
        browser,
        authorization_session::HeldCode {
            code: &sealed,
            handle_hash: &handle.hash(),
            deadline,
        },
        visit.now,
    )
    .await?;
    if !held {
        return Err(Refused::new(Refusal::Used, "not_started"));
    }
    let mut parameters = vec![("session_id", handle.expose())];
    parameters.extend(secrets.custom_state.as_deref().map(|state| ("state", state)));
    Ok(return_url(session, &parameters).into())
}

/// What goes back as `session_id`: a fresh handle, unless the workload chose the original's behaviour.
async fn handle(visit: &Visit, session: &SessionRow, secrets: &Secrets) -> Result<SessionUri, Refused> {
    let cache = &visit.state.cache;
    let workload = cache
        .workload_identity_by_id(&session.account, &session.workload_id)
        .await?;
    let original = workload.is_some_and(|workload| workload.return_handle == ReturnHandle::SessionUri);
    let kept = SessionUri::parse(&secrets.uri).filter(|_| original);
    Ok(kept.unwrap_or_else(|| SessionUri::generate(&*visit.state.random)))
}

/// Ends the session without a grant, and takes the refusal to the return URL (RFC 6749 section 4.1.2.1), with a
/// handle by which the page there can ask what happened.
pub(super) async fn deny(
    visit: &mut Visit,
    session: &SessionRow,
    status: Status,
    reason: &'static str,
    error: &str,
    description: Option<&str>,
) -> Result<SecretString, Refused> {
    // Attack row D3 holds for refusals too: nobody is sent to a return URL that is no longer registered.
    // It is asked nothing, so it need not be there.
    visit.registered(session).await?;
    let secrets = open_secrets(visit, session)?;
    let handle = SessionUri::generate(&*visit.state.random);
    let ending = Ending {
        status,
        reason,
        error: Some(error),
    };
    let pool = &visit.state.pool;
    let from = session.status;
    if !authorization_session::end(pool, &session.id, from, ending, Some(&handle.hash()), visit.now).await? {
        return Err(Refused::new(Refusal::Used, "not_started"));
    }
    visit.entry.outcome = countersign_audit::Outcome::Refused;
    visit.entry.reason = Some(reason);
    visit.entry.detail.insert("error".to_owned(), error.into());
    let mut parameters = vec![("session_id", handle.expose()), ("error", error)];
    parameters.extend(description.map(|text| ("error_description", text)));
    parameters.extend(secrets.custom_state.as_deref().map(|state| ("state", state)));
    Ok(return_url(session, &parameters).into())
}

fn open_secrets(visit: &Visit, session: &SessionRow) -> Result<Secrets, Refused> {
    let keyring = &*visit.state.vault_keyring(&session.account)?;
    Secrets::open(keyring, session).map_err(|error| Refused::failed("session_unreadable", error))
}

/// The registered text with `parameters` after it, percent-encoded; nothing of them can leave the query (attack rows
/// D4, D5).
fn return_url(session: &SessionRow, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let separator = if session.return_url.contains('?') {
        '&'
    } else {
        '?'
    };
    format!("{}{separator}{query}", session.return_url)
}
