//! `/console/agents`: workload identities.

use axum::extract::{Path, Query};
use axum::response::Response;
use countersign_api::admin::{ListGrants, SubjectKind, list_grants};
use countersign_api::control::{
    GetWorkloadIdentity, ListWorkloadIdentities, get_workload_identity, list_workload_identities,
};

use super::operator::{Problem, Session};
use super::page::{Cell, Page, Table, next, query, time};
use super::stops::{self, Turn};
use super::{grants, report};

const HERE: &str = "/console/agents";

#[tracing::instrument(name = "identity.console_agents", skip_all)]
pub(super) async fn list(Query(turn): Query<Turn>, session: Session) -> Response {
    let page = listed(&session, turn).await;
    session.answer(page)
}

async fn listed(session: &Session, turn: Turn) -> Result<Page, Problem> {
    let input = list_workload_identities::Input {
        next_token: turn.next,
        max_results: Some(20),
    };
    let found = session.perform::<ListWorkloadIdentities>(&input).await?;
    let mut page = Page::new(HERE, "Agents");
    page.lead = "Workload identities: the agents that may ask for tokens.";
    let row = |item: list_workload_identities::Item| {
        vec![
            Cell::text(&*item.name).to(HERE, &item.name),
            Cell::code(item.workload_identity_arn),
        ]
    };
    page.tables.push(Table {
        head: &["Name", "ARN"],
        rows: found.workload_identities.into_iter().map(row).collect(),
        empty: "There are none yet.",
        next: next(HERE, &[], found.next_token),
        ..Table::default()
    });
    Ok(page)
}

#[tracing::instrument(name = "identity.console_agent", skip_all)]
pub(super) async fn one(Path(name): Path<String>, session: Session) -> Response {
    let page = shown(&session, name).await;
    session.answer(page)
}

async fn shown(session: &Session, name: String) -> Result<Page, Problem> {
    let input = get_workload_identity::Input { name: name.clone() };
    let agent = session.perform::<GetWorkloadIdentity>(&input).await?;
    let input = list_grants::Input {
        workload_name: Some(name.clone()),
        max_results: Some(20),
        ..list_grants::Input::default()
    };
    let held = session.perform::<ListGrants>(&input).await?;
    let mut page = Page::new(HERE, name.as_str());
    let urls = agent.allowed_resource_oauth2_return_urls.unwrap_or_default();
    page.facts = vec![
        ("ARN", Cell::code(agent.workload_identity_arn)),
        ("Return URLs", Cell::code(urls.join(" "))),
        ("Made", Cell::text(time(agent.created_time))),
        ("Changed", Cell::text(time(agent.last_updated_time))),
        (
            "Evidence",
            Cell::text("Records about this agent").at(query("/console/audit", "agent", &name)),
        ),
        report::fact("agent", &name),
    ];
    let more = held.next_token.is_some();
    let mut table = grants::table(held);
    table.caption = "Newest grants";
    if more {
        table.next = Some(query("/console/grants", "agent", &name));
        "All of them".clone_into(&mut table.further);
    }
    page.tables.push(table);
    stops::put(session, &mut page, SubjectKind::Workload, &name, None).await?;
    Ok(page)
}
