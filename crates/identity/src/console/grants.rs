//! `/console/grants`: who let which agent use which service.

use axum::extract::{Path, Query, Request, State as Extract};
use axum::response::Response;
use countersign_api::admin::{
    GetGrant, Grant, GrantState, ListGrants, RevocationState, RevokeGrant, SubjectKind, get_grant,
    list_grants, revoke_grant,
};
use countersign_web::page::see_other;
use serde::Deserialize;

use super::operator::{Problem, Role, Session, enter_with_form};
use super::page::{Action, Cell, Field, Page, Table, link, next, time};
use super::{people, report, stops};
use crate::state::State;

const HERE: &str = "/console/grants";

const WHICH: &[(&str, &str)] = &[("", "All, ended ones too"), ("true", "Those that need somebody")];

/// Which grants; a field left empty matches all.
#[derive(Deserialize)]
pub(super) struct Asked {
    user: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    ailing: Option<String>,
    next: Option<String>,
}

/// The form of a button alone.
#[derive(Deserialize)]
pub(super) struct Button {}

#[tracing::instrument(name = "identity.console_grants", skip_all)]
pub(super) async fn list(Query(asked): Query<Asked>, session: Session) -> Response {
    let page = listed(&session, asked).await;
    session.answer(page)
}

async fn listed(session: &Session, asked: Asked) -> Result<Page, Problem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let input = list_grants::Input {
        user: given(asked.user),
        workload_name: given(asked.agent),
        credential_provider_name: given(asked.provider),
        ailing: asked.ailing.filter(|ailing| ailing == "true").map(|_| true),
        next_token: asked.next,
        max_results: Some(50),
    };
    let mut page = Page::new(HERE, "Grants");
    page.lead = "One person's consent for one agent at one service, newest first.";
    page.filter = vec![
        Field::text("agent", "Agent", input.workload_name.as_deref()),
        Field::text("provider", "Provider", input.credential_provider_name.as_deref()),
        Field::text("user", "Person (user id or key)", input.user.as_deref()),
        Field::choice("ailing", "Which", WHICH, input.ailing.map(|_| "true")),
    ];
    let found = match session.perform::<ListGrants>(&input).await {
        Ok(found) => found,
        Err(problem) => return problem.on(page),
    };
    let following = next(HERE, &page.filter, found.next_token.clone());
    let mut table = table(found);
    table.next = following;
    page.tables.push(table);
    Ok(page)
}

/// A table of grants.
pub(super) fn table(found: list_grants::Output) -> Table {
    let row = |grant: Grant| {
        let (word, class) = state(grant.state);
        vec![
            Cell::code(&grant.grant_id[..grant.grant_id.len().min(8)]).to(HERE, &grant.grant_id),
            people::cell(&grant.user_key),
            Cell::text(&*grant.workload_name).to("/console/agents", &grant.workload_name),
            Cell::text(&*grant.credential_provider_name)
                .to("/console/providers", &grant.credential_provider_name),
            Cell::text(grant.account_name.or(grant.account_id).unwrap_or_default()),
            Cell::status(word, class),
            Cell::time(grant.last_used_time, "Not yet"),
        ]
    };
    Table {
        head: &[
            "Grant",
            "Person",
            "Agent",
            "Provider",
            "Account there",
            "State",
            "Last use",
        ],
        rows: found.grants.into_iter().map(row).collect(),
        empty: "There are none.",
        ..Table::default()
    }
}

const fn state(state: GrantState) -> (&'static str, &'static str) {
    match state {
        GrantState::Active => ("active", "good"),
        GrantState::Refreshing => ("refreshing", "good"),
        GrantState::OutcomeUnknown => ("outcome unknown", "limited"),
        GrantState::NeedsConsent => ("needs consent", "limited"),
        GrantState::Unconfirmed => ("awaits the person", "limited"),
        GrantState::Revoked => ("ended", "bad"),
    }
}

#[tracing::instrument(name = "identity.console_grant", skip_all)]
pub(super) async fn one(Path(id): Path<String>, session: Session) -> Response {
    let input = get_grant::Input { grant_id: id };
    let page = match session.perform::<GetGrant>(&input).await {
        Ok(found) => shown(&session, found.grant).await,
        Err(problem) => Err(problem),
    };
    session.answer(page)
}

async fn shown(session: &Session, grant: Grant) -> Result<Page, Problem> {
    let (word, class) = state(grant.state);
    let mut page = Page::new(
        HERE,
        format!("{} at {}", grant.workload_name, grant.credential_provider_name),
    );
    page.facts = vec![
        ("Grant", Cell::code(&*grant.grant_id)),
        ("State", Cell::status(word, class)),
        (
            "Agent",
            Cell::text(&*grant.workload_name).to("/console/agents", &grant.workload_name),
        ),
        (
            "Provider",
            Cell::text(&*grant.credential_provider_name)
                .to("/console/providers", &grant.credential_provider_name),
        ),
        ("Person", people::cell(&grant.user_key)),
        (
            "Account there",
            Cell::text(grant.account_name.or(grant.account_id).unwrap_or_default()),
        ),
        ("Scopes", Cell::code(grant.scopes.join(" "))),
        ("Consent", Cell::text(time(grant.created_time))),
        ("Last use", Cell::time(grant.last_used_time, "Not yet")),
        (
            "Access token ends",
            Cell::time(grant.access_token_expires_at, "The service did not say"),
        ),
        (
            "Can be refreshed",
            Cell::text(if grant.refreshable { "Yes" } else { "No" }),
        ),
        (
            "Evidence",
            Cell::text("Draw the chain").to("/console/audit", &grant.grant_id),
        ),
        report::fact("grant", &grant.grant_id),
    ];
    if let Some(reason) = grant.reason {
        page.facts.insert(2, ("Because", Cell::code(reason)));
    }
    if let Some(revocation) = &grant.revocation {
        let (word, class) = match revocation.state {
            RevocationState::Pending => ("asked, not confirmed", "limited"),
            RevocationState::Done => ("withdrawn", "good"),
            RevocationState::Failed => ("not withdrawn", "bad"),
        };
        page.facts.push(("At the service", Cell::status(word, class)));
    }
    if session.may(Role::Responder) && grant.state != GrantState::Revoked {
        page.actions.push(Action {
            explanation: "The tokens are destroyed here and withdrawn at the service. The agent has to ask the person again.",
            danger: true,
            ..Action::new(
                format!("{}/revoke", link(HERE, &grant.grant_id)),
                "Revoke this grant",
                "Revoke",
            )
        });
    }
    stops::put(session, &mut page, SubjectKind::User, &grant.user_key, None).await?;
    Ok(page)
}

#[tracing::instrument(name = "identity.console_revoke_grant", skip_all)]
pub(super) async fn revoke(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let page = link(HERE, &id);
    let (session, Button {}) = match enter_with_form(&state, request, &format!("{page}/revoke")).await {
        Ok(entered) => entered,
        Err(answer) => return *answer,
    };
    let input = revoke_grant::Input { grant_id: id };
    match session.perform::<RevokeGrant>(&input).await {
        Ok(_) => see_other(&page),
        Err(problem) => problem.page(&session),
    }
}
