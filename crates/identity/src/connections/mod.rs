//! `/connections`: what a person has connected, who uses it, how long it will last, and the way to cut it.
//!
//! ```text
//! GET  /connections                  every connection
//! GET  /connections/records          the person's own records, as JSON
//! GET  /connections/{id}             one
//! POST /connections/{id}/disconnect  ends it here and at the service
//! POST /connections/{id}/reconnect   asks for consent again
//! ```
//!
//! The person is the one whom the gateway's token names, and sees what is theirs alone: an id is looked for among their
//! own connections, so another person's and one that never was are the same page. Changes need the page's own Origin, the
//! browser's cookie and a form token for this one purpose.

mod connection;
mod disconnect;
mod health;
mod reconnect;
mod records;
mod show;

use axum::Router;
use axum::routing::{get, post};
use countersign_crypto::Timestamp;
use countersign_web::{Person, csrf, form};
use serde::Deserialize;

use crate::front_channel::browser::Browser;
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::state::State;

const PATH: &str = "/connections";
/// Longest form read, bytes.
const MAX_FORM: usize = 4 * 1024;

/// Adds the pages.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    router
        .route(PATH, get(show::list))
        .route("/connections/records", get(records::download))
        .route("/connections/{id}", get(show::one))
        .route("/connections/{id}/disconnect", post(disconnect::disconnect))
        .route("/connections/{id}/reconnect", post(reconnect::reconnect))
}

/// The person in front of the page. The gateway lets nobody through without saying who.
async fn person(visit: &mut Visit) -> Result<Person, Refused> {
    let person = visit.person().await?;
    let person = person.ok_or(Refused::new(Refusal::Unavailable, "identity_missing"))?;
    visit.is_seen_by(&person);
    let state = &visit.state;
    let account = state
        .config
        .account_served(&person)
        .unwrap_or(&state.config.account);
    account.clone_into(&mut visit.entry.account);
    visit.entry.region.clone_from(&state.config.region);
    Ok(person)
}

/// The fields that every form of these pages has.
#[derive(Deserialize)]
struct Form {
    csrf_token: String,
    /// The grant to connect again.
    grant: Option<String>,
}

/// Reads a form that our own page made for `purpose` in this browser.
async fn read_form(visit: &Visit, body: axum::body::Body, purpose: &str) -> Result<Form, Refused> {
    let foreign = |reason| Refused::new(Refusal::ForeignForm, reason);
    let origin = visit
        .state
        .config
        .front_channel_url
        .origin()
        .ascii_serialization();
    csrf::require_same_origin(&visit.parts.headers, &origin).map_err(|error| foreign(error.reason()))?;
    let body = axum::body::to_bytes(body, MAX_FORM)
        .await
        .map_err(|_| foreign("malformed_form"))?;
    let text = std::str::from_utf8(&body).map_err(|_| foreign("malformed_form"))?;
    let read: Form = form::parse(text).map_err(|_| foreign("malformed_form"))?;
    let browser = visit.cookie().read(&visit.parts.headers);
    let browser = browser.ok_or(foreign("missing_cookie"))?;
    let secret = csrf_secret(&visit.state);
    csrf::verify(&secret, browser.id(), purpose, &read.csrf_token, visit.now)
        .map_err(|error| foreign(error.reason()))?;
    Ok(read)
}

fn form_token(state: &State, browser: &Browser, purpose: &str, now: Timestamp) -> String {
    csrf::token(&csrf_secret(state), browser.id(), purpose, now)
}

fn csrf_secret(state: &State) -> [u8; 32] {
    state.installation.session.derive("connections form tokens")
}

fn disconnect_purpose(id: &str) -> String {
    format!("disconnect {id}")
}

fn reconnect_purpose(id: &str) -> String {
    format!("reconnect {id}")
}

/// A time as people read it; there is no script to put it into their own time zone.
fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_second(at.as_secs()).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%-d %b %Y, %H:%M UTC").to_string()
}
