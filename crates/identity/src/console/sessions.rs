//! `/console/sessions`: authorization sessions, from an agent's request to the person's consent.

use axum::extract::Query;
use axum::response::Response;
use countersign_api::ApiError;
use countersign_api::admin::{ListAuthorizationSessions, SessionState, list_authorization_sessions};
use serde::Deserialize;

use super::operator::{Problem, Session};
use super::page::{Cell, Field, Page, Table, next, short, time};
use super::people;

const HERE: &str = "/console/sessions";
const STATES: &[(&str, &str)] = &[
    ("", "All"),
    ("CREATED", "Asked for"),
    ("STARTED", "At the service"),
    ("CODE_HELD", "Awaits completion"),
    ("EXCHANGING", "Being exchanged"),
    ("COMPLETED", "Completed"),
    ("DENIED", "Denied by the person"),
    ("FAILED", "Failed"),
    ("EXPIRED", "Expired"),
    ("REJECTED", "Rejected: somebody else's"),
    ("SUPERSEDED", "Superseded"),
];

/// Which sessions; a field left empty matches all.
#[derive(Deserialize)]
pub(super) struct Asked {
    agent: Option<String>,
    provider: Option<String>,
    user: Option<String>,
    state: Option<String>,
    next: Option<String>,
}

#[tracing::instrument(name = "identity.console_sessions", skip_all)]
pub(super) async fn list(Query(asked): Query<Asked>, session: Session) -> Response {
    let page = listed(&session, asked).await;
    session.answer(page)
}

async fn listed(session: &Session, asked: Asked) -> Result<Page, Problem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let state_word = given(asked.state);
    let known = |word: &String| serde_json::from_value::<SessionState>(word.clone().into());
    let state = state_word.as_ref().map(known).transpose();
    let input = list_authorization_sessions::Input {
        user: given(asked.user),
        workload_name: given(asked.agent),
        credential_provider_name: given(asked.provider),
        state: *state.as_ref().unwrap_or(&None),
        next_token: asked.next,
        max_results: Some(50),
    };
    let mut page = Page::new(HERE, "Sessions");
    page.lead = "Authorization sessions: each is one request for a person's consent, kept for a day after its end. Browser \
                 sessions are the gateway's, in a database of its own (countersign session list); stopping a person ends \
                 theirs within a second.";
    page.filter = vec![
        Field::text("agent", "Agent", input.workload_name.as_deref()),
        Field::text("provider", "Provider", input.credential_provider_name.as_deref()),
        Field::text("user", "Person (user id or key)", input.user.as_deref()),
        Field::choice("state", "State", STATES, state_word.as_deref()),
    ];
    if state.is_err() {
        return Problem(ApiError::field("state", "must be one of the list")).on(page);
    }
    let found = match session.perform::<ListAuthorizationSessions>(&input).await {
        Ok(found) => found,
        Err(problem) => return problem.on(page),
    };
    let following = next(HERE, &page.filter, found.next_token);
    let mut table = table(found.sessions);
    table.next = following;
    page.tables.push(table);
    Ok(page)
}

/// A table of sessions.
pub(super) fn table(found: Vec<list_authorization_sessions::Session>) -> Table {
    let row = |asked: list_authorization_sessions::Session| {
        let (word, class) = state(asked.state);
        let grant = asked.grant_id.as_deref().map_or_else(Cell::default, |grant| {
            Cell::code(short(grant, 8)).to("/console/grants", grant)
        });
        vec![
            Cell::text(time(asked.created_time)).to("/console/audit", &asked.session_id),
            Cell::text(&*asked.workload_name).to("/console/agents", &asked.workload_name),
            Cell::text(&*asked.credential_provider_name)
                .to("/console/providers", &asked.credential_provider_name),
            people::cell(&asked.user_key),
            Cell::status(word, class),
            Cell::code(asked.error.or(asked.reason).unwrap_or_default()),
            grant,
        ]
    };
    Table {
        head: &[
            "Asked for",
            "Agent",
            "Provider",
            "Person",
            "State",
            "Reason",
            "Grant",
        ],
        rows: found.into_iter().map(row).collect(),
        empty: "There are none.",
        ..Table::default()
    }
}

const fn state(state: SessionState) -> (&'static str, &'static str) {
    match state {
        SessionState::Created => ("asked for", "limited"),
        SessionState::Started => ("at the service", "limited"),
        SessionState::CodeHeld => ("awaits completion", "limited"),
        SessionState::Exchanging => ("being exchanged", "limited"),
        SessionState::Confirming => ("awaits the person", "limited"),
        SessionState::Completed => ("completed", "good"),
        SessionState::Denied => ("denied", "bad"),
        SessionState::Failed => ("failed", "bad"),
        SessionState::Expired => ("expired", "limited"),
        SessionState::Rejected => ("rejected", "bad"),
        SessionState::Superseded => ("superseded", "limited"),
    }
}
