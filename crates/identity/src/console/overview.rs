//! `/console`: what stands now, and what was refused of late.

use axum::response::Response;
use countersign_api::admin::{
    DescribeHealth, ListAuditRecords, ListGrants, ListStops, describe_health, list_audit_records,
    list_grants, list_stops,
};

use super::health::anchor;
use super::operator::{Problem, Session};
use super::page::{Cell, Page};
use super::{PATH, audit, grants};

#[tracing::instrument(name = "identity.console_overview", skip_all)]
pub(super) async fn show(session: Session) -> Response {
    let page = overview(&session).await;
    session.answer(page)
}

async fn overview(session: &Session) -> Result<Page, Problem> {
    let stops = list_stops::Input {
        max_results: Some(100),
        ..list_stops::Input::default()
    };
    let stops = session.perform::<ListStops>(&stops).await?;
    let newest = list_grants::Input {
        max_results: Some(5),
        ..list_grants::Input::default()
    };
    let newest = session.perform::<ListGrants>(&newest).await?;
    let refusals = list_audit_records::Input {
        outcome: Some("refused".to_owned()),
        newest: Some(true),
        max_results: Some(10),
        ..list_audit_records::Input::default()
    };
    let refusals = session.perform::<ListAuditRecords>(&refusals).await?;
    let health = session
        .perform::<DescribeHealth>(&describe_health::Input {})
        .await?;
    let config = &session.visit.state.config;
    let mut page = Page::new(PATH, "Overview");
    let in_force = match (stops.stops.len(), &stops.next_token) {
        (0, _) => Cell::status("none", "good"),
        (count, None) => Cell::status(count.to_string(), "limited"),
        (count, Some(_)) => Cell::status(format!("more than {count}"), "limited"),
    };
    page.facts = vec![
        ("Account", Cell::code(&*config.account)),
        ("Region", Cell::code(&*config.region)),
        ("Stops in force", in_force.at("/console/stops")),
        (
            "Grants that need somebody",
            needs(&health).at("/console/grants?ailing=true"),
        ),
        ("Evidence", anchor(&health).at("/console/health")),
    ];
    let mut table = grants::table(newest);
    table.caption = "Newest grants";
    table.empty = "Nobody has connected anything yet.";
    page.tables.push(table);
    let mut table = audit::table(&refusals.records);
    table.caption = "Newest refusals";
    table.empty = "Nothing was refused.";
    page.tables.push(table);
    Ok(page)
}

fn needs(health: &describe_health::Output) -> Cell {
    let grants = &health.grants;
    match grants.needs_consent + grants.outcome_unknown + grants.failing {
        0 => Cell::status("none", "good"),
        count => Cell::status(count.to_string(), "limited"),
    }
}
