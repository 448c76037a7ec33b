//! `GET /connections` and `GET /connections/{id}`.

use askama::Template;
use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use countersign_web::Person;
use countersign_web::page::{Layout, scope_words};
use countersign_web::security_headers::FormAction;
use http::header::SET_COOKIE;

use super::connection::{self, Connection, Held};
use super::health::{Health, Tone, lost};
use super::{disconnect_purpose, form_token, person, reconnect, reconnect_purpose, time};
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::state::State;
use crate::store::grant::{GrantRow, GrantState};
use crate::store::revocation::{RevocationRow, RevocationState};

#[derive(Template)]
#[template(path = "connections.html")]
struct List<'a> {
    live: Vec<Summary<'a>>,
    ended: Vec<Ended<'a>>,
    app: Option<&'a str>,
}

struct Summary<'a> {
    id: &'a str,
    provider: &'a str,
    account: Option<String>,
    agents: String,
    last_use: Option<String>,
    health: Option<&'a Health>,
}

struct Ended<'a> {
    id: &'a str,
    provider: &'a str,
    account: Option<String>,
    when: String,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct One<'a> {
    id: &'a str,
    provider: &'a str,
    account: Option<String>,
    health: Option<&'a Health>,
    agents: String,
    grants: Vec<Shown<'a>>,
    disconnect_token: String,
    reconnect_token: String,
}

struct Shown<'a> {
    id: &'a str,
    agent: &'a str,
    since: String,
    health: &'a Health,
    scopes: Vec<(Option<String>, &'a str)>,
    declined: Vec<(Option<String>, &'a str)>,
    uses: Vec<String>,
    /// What the button to agree anew says; `None` where there is nothing to agree to, or no way from here.
    reconnect: Option<String>,
}

#[derive(Template)]
#[template(path = "disconnected.html")]
struct Disconnected<'a> {
    id: &'a str,
    provider: &'a str,
    title: &'a str,
    account: Option<String>,
    when: String,
    why: String,
    /// It was not ended by anybody here.
    died: bool,
    at_service: Option<AtService>,
    /// The grant to connect again, and the form's token.
    reconnect: Option<(&'a str, String)>,
}

/// What the service said to the revocation.
struct AtService {
    tone: Tone,
    words: String,
}

/// `GET /connections`.
#[tracing::instrument(name = "identity.list_connections", skip_all)]
pub(super) async fn list(Extract(state): Extract<State>, request: Request) -> Response {
    let (mut visit, _) = Visit::begin(&state, "ListConnections", request);
    match listed(&mut visit).await {
        Ok(page) => page,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn listed(visit: &mut Visit) -> Result<Response, Refused> {
    let person = person(visit).await?;
    let connections = connection::list(visit, &person).await?;
    let mut page = List {
        live: Vec::new(),
        ended: Vec::new(),
        app: visit.state.config.app_url.as_ref().map(url::Url::as_str),
    };
    for connection in &connections {
        if connection.grants.is_empty() {
            page.ended.push(Ended {
                id: &connection.id,
                provider: &connection.provider,
                account: connection.account_name(),
                when: ended_at(connection),
            });
        } else {
            page.live.push(Summary {
                id: &connection.id,
                provider: &connection.provider,
                account: connection.account_name(),
                agents: agents(connection),
                last_use: connection.last_use().map(time),
                health: connection.health(),
            });
        }
    }
    Ok(layout("Connected accounts", &person).render(&page))
}

/// `GET /connections/{id}`.
#[tracing::instrument(name = "identity.get_connection", skip_all)]
pub(super) async fn one(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (mut visit, _) = Visit::begin(&state, "GetConnection", request);
    match shown(&mut visit, &id).await {
        Ok(page) => page,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn shown(visit: &mut Visit, id: &str) -> Result<Response, Refused> {
    let person = person(visit).await?;
    let found = connection::find(visit, &person, id).await?;
    let connection = found.ok_or(Refused::new(Refusal::NoPage, "unknown_connection"))?;
    let browser = visit
        .cookie()
        .read_or_make(&visit.parts.headers, &*visit.state.random);
    let token = |purpose: &str| form_token(&visit.state, &browser, purpose, visit.now);
    let mut answer = if connection.grants.is_empty() {
        let mut reconnect = None;
        if let Some(row) = dead(&connection)
            && reconnect::return_url(&visit.state, row).await?.is_some()
        {
            reconnect = Some((row.id.as_str(), token(&reconnect_purpose(id))));
        }
        ended_page(&connection, &person, reconnect)
    } else {
        live_page(visit, &connection, &person, &token).await?
    };
    if let Some(cookie) = visit.cookie().set(&browser) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(answer)
}

async fn live_page(
    visit: &Visit,
    connection: &Connection,
    person: &Person,
    token: &(dyn Fn(&str) -> String + Sync),
) -> Result<Response, Refused> {
    let id = &connection.id;
    let mut grants = Vec::new();
    for held in &connection.grants {
        let reconnectable = reconnect::return_url(&visit.state, &held.row).await?.is_some();
        grants.push(grant(held, reconnectable));
    }
    let page = One {
        id,
        provider: &connection.provider,
        account: connection.account_name(),
        health: connection.health(),
        agents: agents(connection),
        grants,
        disconnect_token: token(&disconnect_purpose(id)),
        reconnect_token: token(&reconnect_purpose(id)),
    };
    // Connecting again leads by the start page to the service, and from there wherever it signs people in.
    let layout = layout(&connection.provider, person).form_action(FormAction::AnyRedirect);
    Ok(layout.render(&page))
}

fn ended_page(connection: &Connection, person: &Person, reconnect: Option<(&str, String)>) -> Response {
    let died = dead(connection).is_some();
    let what = if died {
        "has stopped working"
    } else {
        "is disconnected"
    };
    let title = format!("{} {what}", connection.provider);
    let revocations = connection.ended.iter().filter_map(|(_, row)| row.as_ref());
    let page = Disconnected {
        id: &connection.id,
        provider: &connection.provider,
        title: &title,
        account: connection.account_name(),
        when: ended_at(connection),
        why: why_ended(connection),
        died,
        at_service: revocations
            .map(|row| at_service(row, &connection.provider))
            .max_by_key(|said| said.tone),
        reconnect,
    };
    layout(&title, person)
        .form_action(FormAction::AnyRedirect)
        .render(&page)
}

/// The grant of a connection that nobody here has ended: the service has, or it could not be renewed.
fn dead(connection: &Connection) -> Option<&GrantRow> {
    let newest = connection.last_ended()?;
    (newest.state == GrantState::NeedsConsent).then_some(newest)
}

fn layout(title: &str, person: &Person) -> Layout {
    Layout::new(title).person(Some(person.display_name()))
}

fn grant(held: &Held, reconnectable: bool) -> Shown<'_> {
    Shown {
        id: &held.row.id,
        agent: &held.row.workload_name,
        since: time(held.row.created_at),
        health: &held.health,
        scopes: in_words(&held.row.scopes),
        declined: in_words(&held.row.declined),
        uses: held.uses.iter().map(|used| time(used.at)).collect(),
        reconnect: reconnectable.then(|| reconnect_label(held)).flatten(),
    }
}

/// The agent does not ask again for what was declined (design D13): the person may.
fn reconnect_label(held: &Held) -> Option<String> {
    if held.health.tone > Tone::Good {
        Some(format!("Connect {} again", held.row.provider_name))
    } else if !held.row.declined.is_empty() {
        Some("Allow this too".to_owned())
    } else {
        None
    }
}

fn in_words(scopes: &[String]) -> Vec<(Option<String>, &str)> {
    scopes
        .iter()
        .map(|scope| (scope_words(scope), scope.as_str()))
        .collect()
}

fn agents(connection: &Connection) -> String {
    let mut names: Vec<&str> = connection
        .grants
        .iter()
        .map(|held| held.row.workload_name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn ended_at(connection: &Connection) -> String {
    let newest = connection.last_ended().and_then(|row| row.ended_at);
    newest.map(time).unwrap_or_default()
}

fn why_ended(connection: &Connection) -> String {
    if let Some(row) = dead(connection) {
        return lost(row.reason.as_deref(), &connection.provider);
    }
    let why = match connection.last_ended().and_then(|row| row.reason.as_deref()) {
        Some("disconnected") => "You disconnected it.",
        Some("revoked_by_operator" | "stopped") => "Your operator ended it.",
        Some("other_account") => "You connected another account in its place.",
        Some("account_kept") => "You kept the account that was connected before.",
        Some("not_confirmed") => "You did not say within ten minutes that this account was to be used.",
        Some("wrong_person") => "Somebody else tried to confirm it.",
        Some("max_age") => "It had reached the age at which your operator ends connections.",
        Some("unused") => "No agent had used it for a long time.",
        Some("reconsent_date") => "Your operator asks everybody to agree anew.",
        Some("workload_deleted") => "The agent it was for is gone.",
        Some("provider_deleted") => "The service is no longer set up here.",
        _ => "It has ended.",
    };
    format!("{why} No agent can use it any more.")
}

fn at_service(row: &RevocationRow, provider: &str) -> AtService {
    let (tone, words) = match (row.state, row.reason.as_deref()) {
        (RevocationState::Done, _) => (Tone::Good, format!("{provider} has withdrawn the access, too.")),
        (RevocationState::Pending, _) => (
            Tone::Limited,
            format!(
                "{provider} has not confirmed yet. It is asked again for three days; load this page again to see."
            ),
        ),
        (RevocationState::Failed, Some("not_offered" | "no_token")) => (
            Tone::Bad,
            format!(
                "{provider} offers no way to be told. To be thorough, remove the application in your account settings there."
            ),
        ),
        (RevocationState::Failed, _) => (
            Tone::Bad,
            format!("{provider} could not be told. Remove the application in your account settings there."),
        ),
    };
    AtService { tone, words }
}
