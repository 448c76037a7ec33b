//! The start page (design D11).
//!
//! A session of a recognisable person asks that person first, and only on their yes does the browser go on. A session
//! of somebody whom only a workload can name goes on at once, with the cookie alone. In both cases the session
//! remembers the browser, and another browser is refused from then on.

use std::collections::BTreeSet;

use axum::extract::{Request, State as Extract};
use axum::response::Response;
use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_web::page::{found, see_other};
use countersign_web::{Person, csrf, form};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::Deserialize;

use super::browser::Browser;
use super::fetch_metadata::{Idle, idle, is_navigation};
use super::page::{self, Refusal};
use super::visit::{Refused, Visit};
use crate::config::{SidRule, StartLogin};
use crate::session::{Secrets, SessionUri, Status};
use crate::state::State;
use crate::store::authorization_session::{self, SessionRow};
use crate::store::grant::{self, GrantState};

const ACTION: &str = "StartAuthorization";
/// Longest query and form read, bytes.
const MAX_FORM: usize = 8 * 1024;

#[derive(Deserialize)]
struct Query {
    request_uri: String,
}

#[derive(Deserialize)]
struct Answer {
    request_uri: String,
    csrf_token: String,
    decision: Decision,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

/// Where a GET leads.
enum Step {
    /// Log in first.
    Login(SessionUri),
    /// The question.
    Ask(Box<SessionRow>, Vec<String>, Box<Person>, SessionUri),
    /// Straight on.
    Go(Box<SessionRow>),
}

/// `GET`: the question, or the way on.
#[tracing::instrument(name = "identity.start_authorization", skip_all)]
pub(super) async fn show(Extract(state): Extract<State>, request: Request) -> Response {
    let (mut visit, _) = Visit::begin(&state, ACTION, request);
    match idle(&visit.parts.method, &visit.parts.headers) {
        Some(Idle::Head) => return Response::default(),
        Some(Idle::Prefetch) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        None => {}
    }
    match step(&mut visit).await {
        Ok(Step::Login(uri)) => {
            let mut url = visit.state.front_channel(super::LOGIN);
            url.query_pairs_mut().append_pair("request_uri", uri.expose());
            found(url.as_str())
        }
        Ok(Step::Ask(session, held, person, uri)) => ask(&visit, &session, &held, &person, &uri),
        Ok(Step::Go(session)) => {
            visit.acts(session.user_key, session.sid.as_deref());
            let browser = visit
                .cookie()
                .read_or_make(&visit.parts.headers, &*visit.state.random);
            match go(&visit, &session, &browser).await {
                Ok(url) => {
                    let answer = with_cookie(&visit, &browser, found(&url));
                    visit.done(answer).await
                }
                Err(refused) => visit.refuse(refused).await,
            }
        }
        Err(refused) => visit.refuse(refused).await,
    }
}

/// The `request_uri` of the query, and nothing else in it.
pub(super) fn request_uri(visit: &Visit) -> Result<SessionUri, Refused> {
    let malformed = Refused::new(Refusal::Unknown, "malformed_session_uri");
    let query = visit.parts.uri.query().unwrap_or_default();
    if query.len() > MAX_FORM {
        return Err(malformed);
    }
    let query: Query = form::parse(query).map_err(|_| Refused::new(Refusal::Unknown, "malformed_query"))?;
    SessionUri::parse(&query.request_uri).ok_or(malformed)
}

async fn step(visit: &mut Visit) -> Result<Step, Refused> {
    if !is_navigation(&visit.parts.headers) {
        return Err(Refused::new(Refusal::NotNavigation, "not_a_navigation"));
    }
    let uri = request_uri(visit)?;
    let session = find(visit, &uri).await?;
    // The person first: nobody else learns how the session stands.
    let person = if session.person.is_some() {
        let Some(person) = visit.person().await? else {
            return Ok(Step::Login(uri));
        };
        check_person(visit, &session, &person)?;
        Some(person)
    } else {
        None
    };
    check_startable(visit, &session).await?;
    match person {
        Some(person) => {
            let held = held_beside(visit, &session).await?;
            Ok(Step::Ask(Box::new(session), held, Box::new(person), uri))
        }
        None if visit.state.settings(&session.account).start_login == StartLogin::Required => {
            Err(Refused::new(Refusal::LoginRequired, "person_not_recognisable"))
        }
        None => Ok(Step::Go(Box::new(session))),
    }
}

async fn find(visit: &mut Visit, uri: &SessionUri) -> Result<SessionRow, Refused> {
    let session = authorization_session::find_by_uri(&visit.state.pool, &uri.hash()).await?;
    let session = session.ok_or(Refused::new(Refusal::Unknown, "unknown_session"))?;
    visit.concerns(&session);
    Ok(session)
}

/// The person of the session, in the login in which it was asked for: completion will require no less (design D9), so
/// nobody is sent to consent in vain.
fn check_person(visit: &mut Visit, session: &SessionRow, person: &Person) -> Result<(), Refused> {
    visit.is_seen_by(person);
    if !visit.is_for(session, person) {
        return Err(Refused::new(Refusal::OtherPerson, "wrong_person"));
    }
    let required = visit.state.settings(&session.account).sid == SidRule::Require;
    if required && session.sid.is_some() && session.sid != person.sid {
        return Err(Refused::new(Refusal::OtherLogin, "other_browser_session"));
    }
    Ok(())
}

/// Whether the session still waits for its start, in this browser.
async fn check_startable(visit: &Visit, session: &SessionRow) -> Result<(), Refused> {
    visit.refuse_lapsed(session).await?;
    match session.status {
        Status::Created => {}
        Status::Started => {
            let browser = visit
                .cookie()
                .read(&visit.parts.headers)
                .map(|browser| browser.hash());
            if browser.is_none() || browser != session.browser_hash {
                return Err(Refused::new(Refusal::OtherBrowser, "other_browser"));
            }
        }
        _ => return Err(Refused::new(Refusal::of(session), "not_startable")),
    }
    visit.refuse_stopped(session).await
}

/// Scopes that the person has let the agent have, other than those that it asks for now.
async fn held_beside(visit: &Visit, session: &SessionRow) -> Result<Vec<String>, Refused> {
    let grants = grant::list_by_vault_key(&visit.state.pool, &session.vault_key).await?;
    let held: BTreeSet<String> = grants
        .into_iter()
        .filter(|grant| grant.state != GrantState::NeedsConsent)
        .flat_map(|grant| grant.scopes)
        .filter(|scope| !session.scopes.contains(scope))
        .collect();
    Ok(held.into_iter().collect())
}

fn ask(visit: &Visit, session: &SessionRow, held: &[String], person: &Person, uri: &SessionUri) -> Response {
    let browser = visit
        .cookie()
        .read_or_make(&visit.parts.headers, &*visit.state.random);
    let token = csrf::token(
        &csrf_secret(&visit.state),
        browser.id(),
        &purpose(session),
        visit.now,
    );
    with_cookie(
        visit,
        &browser,
        page::start(session, held, person, uri.expose(), &token),
    )
}

fn csrf_secret(state: &State) -> [u8; 32] {
    state.installation.session.derive("front channel form tokens")
}

fn purpose(session: &SessionRow) -> String {
    format!("start {}", session.id)
}

fn with_cookie(visit: &Visit, browser: &Browser, mut answer: Response) -> Response {
    if let Some(cookie) = visit.cookie().set(browser) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// created → started, and the URL of the authorization server.
async fn go(visit: &Visit, session: &SessionRow, browser: &Browser) -> Result<String, Refused> {
    let provider = visit.unchanged(session).await?;
    let keyring = &*visit.state.vault_keyring(&session.account)?;
    let secrets =
        Secrets::open(keyring, session).map_err(|error| Refused::failed("session_unreadable", error))?;
    if !authorization_session::start(&visit.state.pool, &session.id, &browser.hash(), visit.now).await? {
        return Err(Refused::new(Refusal::OtherBrowser, "other_browser"));
    }
    Ok(provider.authorization_url(&visit.state, session, &secrets).into())
}

/// `POST`: the person's answer.
#[tracing::instrument(name = "identity.start_authorization", skip_all)]
pub(super) async fn decide(Extract(state): Extract<State>, request: Request) -> Response {
    let (mut visit, body) = Visit::begin(&state, ACTION, request);
    match decided(&mut visit, body).await {
        Ok(location) => visit.done(see_other(location.expose_secret())).await,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn decided(visit: &mut Visit, body: axum::body::Body) -> Result<SecretString, Refused> {
    let origin = visit
        .state
        .config
        .front_channel_url
        .origin()
        .ascii_serialization();
    csrf::require_same_origin(&visit.parts.headers, &origin)
        .map_err(|error| Refused::new(Refusal::ForeignForm, error.reason()))?;
    let answer = read_form(body).await?;
    let uri = SessionUri::parse(&answer.request_uri);
    let session = find(
        visit,
        &uri.ok_or(Refused::new(Refusal::Unknown, "malformed_session_uri"))?,
    )
    .await?;
    // Sessions without a recognisable person have no question to answer.
    let person = visit
        .person()
        .await?
        .ok_or(Refused::new(Refusal::ForeignForm, "identity_missing"))?;
    check_person(visit, &session, &person)?;
    let browser = visit.cookie().read(&visit.parts.headers);
    let browser = browser.ok_or(Refused::new(Refusal::ForeignForm, "missing_cookie"))?;
    csrf::verify(
        &csrf_secret(&visit.state),
        browser.id(),
        &purpose(&session),
        &answer.csrf_token,
        visit.now,
    )
    .map_err(|error| Refused::new(Refusal::ForeignForm, error.reason()))?;
    check_startable(visit, &session).await?;
    if answer.decision == Decision::Allow {
        return go(visit, &session, &browser).await.map(SecretString::from);
    }
    visit.entry.detail.insert("decision".to_owned(), "deny".into());
    super::callback::deny(visit, &session, Status::Denied, "declined", "access_denied", None).await
}

async fn read_form(body: axum::body::Body) -> Result<Answer, Refused> {
    let malformed = || Refused::new(Refusal::ForeignForm, "malformed_form");
    let body = axum::body::to_bytes(body, MAX_FORM)
        .await
        .map_err(|_| malformed())?;
    let text = std::str::from_utf8(&body).map_err(|_| malformed())?;
    form::parse(text).map_err(|_| malformed())
}
