//! `GET /connections` and `GET /connections/{id}`.

use askama::Template;
use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use countersign_web::Person;
use countersign_web::page::Layout;
use countersign_web::security_headers::FormAction;
use http::header::SET_COOKIE;

use super::connection::{self, Connection, Held};
use super::health::{Health, Tone};
use super::scope_words::words;
use super::{disconnect_purpose, form_token, person, reconnect, reconnect_purpose, time};
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::state::State;
use crate::store::revocation::{RevocationRow, RevocationState};

#[derive(Template)]
#[template(path = "connections.html")]
struct List<'a> {
    live: Vec<Summary<'a>>,
    ended: Vec<Ended<'a>>,
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
    reconnectable: bool,
}

#[derive(Template)]
#[template(path = "disconnected.html")]
struct Disconnected<'a> {
    provider: &'a str,
    account: Option<String>,
    when: String,
    why: &'static str,
    at_service: Option<AtService>,
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
    if connection.grants.is_empty() {
        let title = format!("{} is disconnected", connection.provider);
        return Ok(layout(&title, &person).render(&disconnected(&connection)));
    }
    let browser = visit
        .cookie()
        .read_or_make(&visit.parts.headers, &*visit.state.random);
    let token = |purpose: &str| form_token(&visit.state, &browser, purpose, visit.now);
    let mut grants = Vec::new();
    for held in &connection.grants {
        let reconnectable = reconnect::return_url(&visit.state, &held.row).await?.is_some();
        grants.push(grant(held, reconnectable));
    }
    let page = One {
        id: &connection.id,
        provider: &connection.provider,
        account: connection.account_name(),
        health: connection.health(),
        agents: agents(&connection),
        grants,
        disconnect_token: token(&disconnect_purpose(id)),
        reconnect_token: token(&reconnect_purpose(id)),
    };
    let mut answer = layout(&connection.provider, &person)
        // Connecting again leads by the start page to the service, and from there wherever it signs people in.
        .form_action(FormAction::AnyRedirect)
        .render(&page);
    if let Some(cookie) = visit.cookie().set(&browser) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(answer)
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
        reconnectable: reconnectable && held.health.tone > Tone::Good,
    }
}

fn in_words(scopes: &[String]) -> Vec<(Option<String>, &str)> {
    scopes
        .iter()
        .map(|scope| (words(scope), scope.as_str()))
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
    let newest = connection.ended.iter().filter_map(|(row, _)| row.ended_at).max();
    newest.map(time).unwrap_or_default()
}

fn disconnected(connection: &Connection) -> Disconnected<'_> {
    let newest = connection.ended.iter().max_by_key(|(row, _)| row.ended_at);
    let why = match newest.and_then(|(row, _)| row.reason.as_deref()) {
        Some("disconnected") => "You disconnected it.",
        Some("revoked_by_operator" | "stopped") => "Your operator ended it.",
        Some("other_account") => "You connected another account in its place.",
        Some("max_age") => "It had reached the age at which your operator ends connections.",
        Some("unused") => "No agent had used it for a long time.",
        Some("reconsent_date") => "Your operator asks everybody to agree anew.",
        Some("workload_deleted") => "The agent it was for is gone.",
        Some("provider_deleted") => "The service is no longer set up here.",
        _ => "It has ended.",
    };
    let revocations = connection.ended.iter().filter_map(|(_, row)| row.as_ref());
    Disconnected {
        provider: &connection.provider,
        account: connection.account_name(),
        when: ended_at(connection),
        why,
        at_service: revocations
            .map(|row| at_service(row, &connection.provider))
            .max_by_key(|said| said.tone),
    }
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
