//! `/console/simulation`: what a principal's policy would decide about a request, and why. Nothing is done.

use axum::extract::Query;
use axum::response::Response;
use countersign_api::ApiError;
use countersign_api::admin::simulate_policy::{
    ContextEntry, ElementResult, Output, PolicyDecision, ResourceResult, StatementResult,
};
use countersign_api::admin::{SimulatePolicy, simulate_policy};
use serde::Deserialize;

use super::operator::{Problem, Session};
use super::page::{Cell, Field, Page, Table};

const HERE: &str = "/console/principals";

/// The request that nobody makes.
#[derive(Deserialize)]
pub(super) struct Asked {
    principal: Option<String>,
    action: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    resources: Option<String>,
    context: Option<String>,
}

#[tracing::instrument(name = "identity.console_simulation", skip_all)]
pub(super) async fn show(Query(asked): Query<Asked>, session: Session) -> Response {
    let page = simulated(&session, asked).await;
    session.answer(page)
}

async fn simulated(session: &Session, asked: Asked) -> Result<Page, Problem> {
    let given = |text: Option<String>| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let (principal, action) = (given(asked.principal), given(asked.action));
    let (agent, provider) = (given(asked.agent), given(asked.provider));
    let (resources, context) = (given(asked.resources), given(asked.context));
    let mut page = Page::new(HERE, "What would the policy decide?");
    page.lead = "The evaluator that decides about real requests, asked about one that nobody makes.";
    page.filter = vec![
        Field::text("principal", "Principal", principal.as_deref()),
        Field::text("action", "Action (service:Operation)", action.as_deref()),
        Field::text("agent", "Agent", agent.as_deref()),
        Field::text("provider", "Provider", provider.as_deref()),
        Field {
            lines: true,
            ..Field::text("resources", "Resources: ARNs, one a line", resources.as_deref())
        },
        Field {
            lines: true,
            ..Field::text("context", "Context: key=value, one a line", context.as_deref())
        },
    ];
    page.filter_button = "Simulate";
    let (principal_name, action) = match (principal, action) {
        (Some(principal), Some(action)) => (principal, action),
        (None, None) => return Ok(page),
        (None, _) => return Problem(ApiError::field("principalName", "must be given")).on(page),
        (_, None) => return Problem(ApiError::field("action", "must be given")).on(page),
    };
    let lines = |text: String| {
        text.lines()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let context = match context.map(lines).map(entries).transpose() {
        Ok(context) => context,
        Err(error) => return Problem(error).on(page),
    };
    let input = simulate_policy::Input {
        principal_name,
        document: None,
        action,
        resources: resources.map(lines),
        workload_name: agent,
        credential_provider_name: provider,
        context,
    };
    match session.perform::<SimulatePolicy>(&input).await {
        Ok(decided) => show_decision(&mut page, decided, &ours(session)),
        Err(problem) => return problem.on(page),
    }
    Ok(page)
}

/// A key that is given on several lines has several values.
fn entries(lines: Vec<String>) -> Result<Vec<ContextEntry>, ApiError> {
    let mut entries: Vec<ContextEntry> = Vec::new();
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once('=') else {
            return Err(ApiError::field("context", "must be lines of key=value"));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.values.push(value),
            None => entries.push(ContextEntry {
                key,
                values: vec![value],
            }),
        }
    }
    Ok(entries)
}

/// How every ARN of the account begins.
fn ours(session: &Session) -> String {
    let config = &session.visit.state.config;
    format!("arn:aws:bedrock-agentcore:{}:{}:", config.region, config.account)
}

fn show_decision(page: &mut Page, decided: Output, ours: &str) {
    let (word, class) = words(decided.decision);
    page.facts = vec![
        ("Decision", Cell::status(word, class)),
        ("Principal", Cell::code(decided.principal_arn)),
        ("Action", Cell::code(decided.action)),
    ];
    page.tables.push(Table {
        caption: "By resource",
        head: &[
            "Resource",
            "Decision",
            "Statement",
            "Effect",
            "Applies",
            "Because",
        ],
        rows: decided
            .results
            .into_iter()
            .flat_map(|result| rows(&result, ours))
            .collect(),
        empty: "There are none.",
        ..Table::default()
    });
}

fn rows(result: &ResourceResult, ours: &str) -> Vec<Vec<Cell>> {
    let (word, class) = match result.decision {
        PolicyDecision::ImplicitDeny => ("not allowed", "limited"),
        decision => words(decision),
    };
    let resource = result.resource.strip_prefix(ours).unwrap_or(&result.resource);
    let head = |cells: Vec<Cell>| {
        let mut row = vec![Cell::code(resource), Cell::status(word, class)];
        row.extend(cells);
        row
    };
    if result.statements.is_empty() {
        return vec![head(vec![
            Cell::text("The policy has none"),
            Cell::default(),
            Cell::default(),
            Cell::default(),
        ])];
    }
    let statement = |statement: &StatementResult| {
        let name = statement.sid.as_ref().map_or_else(
            || statement.statement.to_string(),
            |sid| format!("{} ({sid})", statement.statement),
        );
        let applies = if statement.applies {
            Cell::text("yes")
        } else {
            Cell::text("no")
        };
        let because = statement.elements.iter().find(|element| !element.holds);
        head(vec![
            Cell::text(name),
            Cell::text(&*statement.effect),
            applies,
            Cell::text(because.map(mismatch).unwrap_or_default()),
        ])
    };
    result.statements.iter().map(statement).collect()
}

/// The first element of a statement that does not hold.
fn mismatch(element: &ElementResult) -> String {
    let key = element
        .key
        .as_ref()
        .map(|key| format!(" {key}"))
        .unwrap_or_default();
    let actual = element.actual.as_ref().map_or_else(
        || "it has none".to_owned(),
        |actual| format!("it has {}", actual.join(", ")),
    );
    format!(
        "{}{key} wants {}; {actual}",
        element.element,
        element.expected.join(", ")
    )
}

const fn words(decision: PolicyDecision) -> (&'static str, &'static str) {
    match decision {
        PolicyDecision::Allowed => ("allowed", "good"),
        PolicyDecision::ImplicitDeny => ("not allowed by any statement", "limited"),
        PolicyDecision::ExplicitDeny => ("denied", "bad"),
    }
}
