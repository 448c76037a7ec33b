//! `/console/health`: how the service stands, as the replica that answers sees it.

use axum::response::Response;
use countersign_api::admin::describe_health::{CallerHealth, GatewayHealth, Output};
use countersign_api::admin::{DescribeHealth, ListGrants, describe_health, list_grants};

use super::grants;
use super::operator::{Problem, Session};
use super::page::{Cell, Page, Table, time};

const HERE: &str = "/console/health";
/// Checkpoints are made ten seconds after the first record that none covers; three times that is a fault.
const LATE_ANCHOR: f64 = 30.0;
/// A gateway asks several times a second, and refuses everybody when it has no answer for one.
const LATE_GATEWAY: f64 = 5.0;

#[tracing::instrument(name = "identity.console_health", skip_all)]
pub(super) async fn show(session: Session) -> Response {
    let page = health(&session).await;
    session.answer(page)
}

async fn health(session: &Session) -> Result<Page, Problem> {
    let found = session
        .perform::<DescribeHealth>(&describe_health::Input {})
        .await?;
    let input = list_grants::Input {
        ailing: Some(true),
        max_results: Some(20),
        ..list_grants::Input::default()
    };
    let ailing = session.perform::<ListGrants>(&input).await?;
    let mut page = Page::new(HERE, "Health");
    page.lead = "As the replica that made this page sees it. Each process says for itself whether it is ready: /readyz on \
                 its operations listener.";
    page.facts = facts(&found);
    let now = session.visit.now.as_secs_f64();
    page.tables.push(Table {
        caption: "Gateways",
        head: &["Issuer", "Asks who is stopped", "Last asked this replica"],
        rows: found
            .gateways
            .into_iter()
            .map(|gateway| gateway_row(gateway, now))
            .collect(),
        empty: "No gateway is configured: nobody can log in.",
        ..Table::default()
    });
    let mut table = grants::table(ailing);
    table.caption = "Grants that need somebody";
    table.empty = "None: every live grant gives tokens.";
    page.tables.push(table);
    let row = |caller: CallerHealth| {
        vec![
            Cell::text(&*caller.principal_name).to("/console/principals", &caller.principal_name),
            Cell::code(caller.address),
            Cell::text(time(caller.last_seen_time)),
            Cell::text(time(caller.first_seen_time)),
        ]
    };
    page.tables.push(Table {
        caption: "Who called last, and from where",
        head: &["Principal", "Address", "Last seen", "First seen there"],
        rows: found.callers.into_iter().map(row).collect(),
        empty: "Nobody has called yet.",
        ..Table::default()
    });
    Ok(page)
}

fn facts(found: &Output) -> Vec<(&'static str, Cell)> {
    let good = |holds, yes: &'static str, no: &'static str| {
        if holds {
            Cell::status(yes, "good")
        } else {
            Cell::status(no, "bad")
        }
    };
    let grants = &found.grants;
    vec![
        (
            "Database",
            Cell::text(format!(
                "{}, answers in {:.1} ms",
                found.database, found.database_ms
            )),
        ),
        (
            "Changes",
            good(
                found.change_feed_fresh,
                "arrive within a second",
                "are late: reads go to the database",
            ),
        ),
        (
            "Keys",
            good(
                found.keys_readable,
                "readable",
                "not readable: no token is served",
            ),
        ),
        ("Evidence", anchor(found)),
        (
            "Checkpoint",
            Cell::text(match found.audit.checkpoint_time {
                Some(at) => format!("number {} of {}", found.audit.checkpoint, time(at)),
                None => "None yet".to_owned(),
            }),
        ),
        ("Need consent", count(grants.needs_consent, "bad")),
        ("Refresh unclear", count(grants.outcome_unknown, "bad")),
        ("Refresh fails", count(grants.failing, "limited")),
        ("End within a day", count(grants.ending, "limited")),
        ("To be withdrawn", revocations(found)),
        ("Given up", count(found.revocations.failed, "bad")),
    ]
}

/// How far the evidence is anchored, in a word.
pub(super) fn anchor(found: &Output) -> Cell {
    let audit = &found.audit;
    let words = match audit.unanchored_records {
        0 => "every record is anchored".to_owned(),
        records => format!(
            "{records} records wait for a checkpoint, {:.0} s",
            audit.anchor_lag_seconds
        ),
    };
    let class = if audit.anchor_lag_seconds > LATE_ANCHOR {
        "bad"
    } else {
        "good"
    };
    Cell::status(words, class)
}

fn revocations(found: &Output) -> Cell {
    let revocations = &found.revocations;
    match (revocations.pending, revocations.pending_since) {
        (0, _) => Cell::status("none", "good"),
        (pending, None) => Cell::status(pending.to_string(), "limited"),
        (pending, Some(since)) => {
            Cell::status(format!("{pending}, the oldest since {}", time(since)), "limited")
        }
    }
}

fn count(count: i64, class: &'static str) -> Cell {
    match count {
        0 => Cell::status("none", "good"),
        count if count >= 10_000 => Cell::status("10,000 or more", class),
        count => Cell::status(count.to_string(), class),
    }
}

fn gateway_row(gateway: GatewayHealth, now: f64) -> Vec<Cell> {
    let (asks, asked) = match (gateway.follows_stops, gateway.last_asked_time) {
        (false, _) => (
            Cell::status("no: stops do not end its sessions", "limited"),
            Cell::default(),
        ),
        (true, None) => (
            Cell::text("yes"),
            Cell::status("not since this replica began", "limited"),
        ),
        (true, Some(at)) => {
            let class = if now - at.as_secs_f64() > LATE_GATEWAY {
                "bad"
            } else {
                "good"
            };
            (Cell::text("yes"), Cell::status(time(at), class))
        }
    };
    vec![Cell::code(gateway.issuer), asks, asked]
}
