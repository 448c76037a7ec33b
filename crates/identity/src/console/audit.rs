//! `/console/audit`: the trail of this role, newest first.

use axum::extract::Query;
use axum::response::Response;
use countersign_api::ApiError;
use countersign_api::admin::{ListAuditRecords, list_audit_records};
use serde::Deserialize;
use serde_json::Value;

use super::operator::{Problem, Session};
use super::page::{Cell, Field, Page, Table, next};

const HERE: &str = "/console/audit";
const OUTCOMES: &[(&str, &str)] = &[
    ("", "All"),
    ("done", "Done"),
    ("refused", "Refused"),
    ("failed", "Failed"),
];

/// Which records; a field left empty matches all.
#[derive(Deserialize)]
pub(super) struct Asked {
    action: Option<String>,
    outcome: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    grant: Option<String>,
    reason: Option<String>,
    user: Option<String>,
    caller: Option<String>,
    login: Option<String>,
    session: Option<String>,
    request: Option<String>,
    from: Option<String>,
    to: Option<String>,
    next: Option<String>,
}

#[tracing::instrument(name = "identity.console_audit", skip_all)]
pub(super) async fn list(Query(asked): Query<Asked>, session: Session) -> Response {
    let page = listed(&session, asked).await;
    session.answer(page)
}

async fn listed(session: &Session, asked: Asked) -> Result<Page, Problem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (from, to) = (given(asked.from), given(asked.to));
    let time = |name, text: Option<&str>| text.map(|text| moment(name, text)).transpose();
    let times = time("from", from.as_deref()).and_then(|from| Ok((from, time("to", to.as_deref())?)));
    let (since, until) = *times.as_ref().unwrap_or(&(None, None));
    let input = list_audit_records::Input {
        action: given(asked.action),
        outcome: given(asked.outcome),
        workload_name: given(asked.agent),
        credential_provider_name: given(asked.provider),
        grant_id: given(asked.grant),
        reason: given(asked.reason),
        user: given(asked.user),
        principal: given(asked.caller),
        sid: given(asked.login),
        session_id: given(asked.session),
        request_id: given(asked.request),
        from: since,
        to: until,
        newest: Some(true),
        next_token: asked.next,
        max_results: Some(50),
        ..list_audit_records::Input::default()
    };
    let mut page = Page::new(HERE, "Audit");
    page.lead =
        "Every operation and refusal of the identity service. A record leads to the chain it stands in.";
    page.facts = vec![(
        "Unchanged?",
        Cell::text("Check the whole trail now").to(HERE, "verification"),
    )];
    page.filter = vec![
        Field::text("action", "Action", input.action.as_deref()),
        Field::choice("outcome", "Outcome", OUTCOMES, input.outcome.as_deref()),
        Field::text("reason", "Reason", input.reason.as_deref()),
        Field::text("agent", "Agent", input.workload_name.as_deref()),
        Field::text("provider", "Provider", input.credential_provider_name.as_deref()),
        Field::text("grant", "Grant", input.grant_id.as_deref()),
    ];
    page.more_filter = vec![
        Field::text("user", "Person (user id or key)", input.user.as_deref()),
        Field::text("caller", "Caller (ARN)", input.principal.as_deref()),
        Field::text("login", "Login (sid)", input.sid.as_deref()),
        Field::text("session", "Authorization session", input.session_id.as_deref()),
        Field::text("request", "Request", input.request_id.as_deref()),
        Field::text("from", "From, as 2026-11-29 14:03 (UTC)", from.as_deref()),
        Field::text("to", "Before, likewise", to.as_deref()),
    ];
    if let Err(error) = times {
        return Problem(error).on(page);
    }
    let found = match session.perform::<ListAuditRecords>(&input).await {
        Ok(found) => found,
        Err(problem) => return problem.on(page),
    };
    let mut table = table(&found.records);
    let fields = page.filter.iter().chain(&page.more_filter);
    table.next = next(HERE, fields, found.next_token);
    if let Some(reached) = found.searched_to {
        table.empty = "No match among the most recent records searched.";
        table.further = format!("Look further back than {}", super::page::time(reached));
    }
    page.tables.push(table);
    Ok(page)
}

/// A time as an operator types it, in UTC.
pub(super) fn moment(field: &'static str, text: &str) -> Result<i64, ApiError> {
    let text = text
        .trim()
        .trim_end_matches("UTC")
        .trim_end_matches('Z')
        .trim_end();
    let civil = text.parse::<jiff::civil::DateTime>();
    let civil = civil.or_else(|_| text.parse::<jiff::civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    let at = civil.and_then(|civil| jiff::tz::Offset::UTC.to_timestamp(civil));
    let at = at.map_err(|_| {
        ApiError::field(
            field,
            "must be a time such as 2026-11-29 14:03 or 2026-11-29, in UTC",
        )
    })?;
    Ok(at.as_second())
}

/// A table of records.
pub(super) fn table(records: &[Value]) -> Table {
    let row = |record: &Value| {
        let said = |member: &str| record[member].as_str().unwrap_or_default();
        let id = said("id");
        vec![
            Cell::moment(time(said("at"))).to(HERE, id),
            Cell::text(said("action")),
            Cell::status(said("outcome"), class(said("outcome"))),
            Cell::code(said("reason")),
            named(said("workload"), Some("/console/agents")),
            named(
                said("provider"),
                (!said("action").contains("ApiKey")).then_some("/console/providers"),
            ),
            Cell::text(caller(said("principal"))),
        ]
    };
    Table {
        head: &[
            "When", "Action", "Outcome", "Reason", "Agent", "Provider", "Caller",
        ],
        rows: records.iter().map(row).collect(),
        empty: "No record is like this.",
        ..Table::default()
    }
}

/// A name with its page, where there is one.
fn named(name: &str, part: Option<&str>) -> Cell {
    match part {
        Some(part) if !name.is_empty() => Cell::text(name).to(part, name),
        _ => Cell::text(name),
    }
}

/// The time of a record to the second, as it reads.
pub(super) fn time(at: &str) -> String {
    let to_the_second = at.split_once('.').map_or(at, |(to_the_second, _)| to_the_second);
    format!("{} UTC", to_the_second.trim_end_matches('Z').replace('T', " "))
}

/// How an outcome looks.
pub(super) fn class(outcome: &str) -> &'static str {
    match outcome {
        "done" => "good",
        "refused" => "limited",
        _ => "bad",
    }
}

/// A caller without the parts of the ARN that are the same for all.
pub(super) fn caller(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(_, name)| name)
}
