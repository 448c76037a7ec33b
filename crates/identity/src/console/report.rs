//! `/console/report`: which tokens and keys were released and what became of them, to look at and as files to hand over.

use axum::body::Body;
use axum::extract::{Path, Query};
use axum::response::Response;
use countersign_api::ApiError;
use countersign_api::admin::{GetAuditReport, get_audit_report};
use countersign_web::security_headers;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;

use super::audit::{self, moment};
use super::operator::{Problem, Session};
use super::page::{Cell, Field, Page, Table, query, short, with_filter};

const HERE: &str = "/console/report";
/// Most releases on the page: the trail is asked once for each grant among them.
const SHOWN: usize = 100;
/// About how many records are looked at for the page: 5,000 are 20 ms of a database's time.
const LOOKED_AT: i64 = 5_000;
/// Most releases of a file; the operation gives no more.
const MOST: usize = 10_000;
/// How far back the form reaches before it is filled in.
const WEEK: i64 = 7 * 86_400;

/// What is asked for; a field left empty matches all.
#[derive(Deserialize)]
pub(super) struct Asked {
    agent: Option<String>,
    provider: Option<String>,
    user: Option<String>,
    grant: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// All of the time is looked at, however long that takes.
    all: Option<String>,
}

impl Asked {
    /// Whether anything was: the first visit shows the form alone, and reads nothing.
    fn something(&self) -> bool {
        let Self {
            agent,
            provider,
            user,
            grant,
            from,
            to,
            all,
        } = self;
        let fields = [agent, provider, user, grant, from, to, all];
        fields.into_iter().any(Option::is_some)
    }

    fn filter(&self, now: i64) -> Vec<Field> {
        let week = moment_text(now - WEEK);
        let from = if self.something() {
            self.from.as_deref()
        } else {
            Some(&*week)
        };
        vec![
            Field::text("agent", "Agent", self.agent.as_deref()),
            Field::text("provider", "Provider", self.provider.as_deref()),
            Field::text("user", "Person (user id or key)", self.user.as_deref()),
            Field::text("grant", "Grant", self.grant.as_deref()),
            Field::text("from", "From, as 2026-11-29 14:03 (UTC)", from),
            Field::text("to", "Before, likewise", self.to.as_deref()),
        ]
    }

    fn input(self, limit: usize) -> Result<get_audit_report::Input, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let time = |name, text| given(text).map(|text| moment(name, &text)).transpose();
        Ok(get_audit_report::Input {
            workload_name: given(self.agent),
            credential_provider_name: given(self.provider),
            user: given(self.user),
            grant_id: given(self.grant),
            from: time("from", self.from)?,
            to: time("to", self.to)?,
            format: None,
            max_results: i64::try_from(limit).ok(),
            max_records: self.all.is_none().then_some(LOOKED_AT),
        })
    }
}

/// The way here from the page of what `name` names in the form.
pub(super) fn fact(name: &str, value: &str) -> (&'static str, Cell) {
    (
        "Released",
        Cell::text("Report of the last 30 days").at(query(HERE, name, value)),
    )
}

#[tracing::instrument(name = "identity.console_report", skip_all)]
pub(super) async fn show(Query(asked): Query<Asked>, session: Session) -> Response {
    let page = reported(&session, asked).await;
    session.answer(page)
}

async fn reported(session: &Session, asked: Asked) -> Result<Page, Problem> {
    let mut page = Page::new(HERE, "Report");
    page.lead = "Which tokens and keys were released: to which agent, for whom, with which scopes, into which account at \
                 the service, how long they are good, and what became of their withdrawal.";
    page.filter = asked.filter(session.visit.now.as_secs());
    page.filter_button = "Report";
    if !asked.something() {
        return Ok(page);
    }
    let input = match asked.input(SHOWN) {
        Ok(input) => input,
        Err(error) => return Problem(error).on(page),
    };
    match session.perform::<GetAuditReport>(&input).await {
        Ok(found) => show_report(&mut page, &found.report),
        Err(problem) => return problem.on(page),
    }
    Ok(page)
}

fn show_report(page: &mut Page, report: &Value) {
    let releases = report["releases"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    page.facts = summary(report, releases.len());
    let searched_to = report["searchedTo"].as_str().map(audit::time);
    if let Some(end) = &searched_to {
        let all = format!("{}all=true", with_filter(HERE, &page.filter));
        page.facts.extend([
            ("Looked at", Cell::status(format!("only up to {end}"), "bad")),
            (
                "The rest",
                Cell::text("Look at all of the time, which may take some seconds").at(all),
            ),
        ]);
    }
    if !releases.is_empty() || searched_to.is_some() {
        let file = |format: &str| {
            let path = with_filter(&format!("{HERE}/{format}"), &page.filter);
            path.trim_end_matches(['?', '&']).to_owned()
        };
        page.downloads = vec![
            ("Page to print (HTML)", file("html")),
            ("Table (CSV)", file("csv")),
            ("JSON", file("json")),
        ];
    }
    page.tables.push(Table {
        caption: "Released",
        head: &[
            "When",
            "Agent",
            "Provider",
            "Account there",
            "Scopes",
            "Good",
            "Until",
            "Withdrawal",
            "Person",
            "Grant",
        ],
        rows: releases.iter().map(row).collect(),
        empty: if searched_to.is_some() {
            "Nothing was released in what was looked at."
        } else {
            "Nothing was released."
        },
        ..Table::default()
    });
}

/// What stands above the table.
fn summary(report: &Value, released: usize) -> Vec<(&'static str, Cell)> {
    let said = |value: &Value| Cell::text(value.as_str().map(audit::time).unwrap_or_default());
    let more = report["truncated"] == true;
    let number = if more {
        format!("More than {SHOWN}; the {SHOWN} oldest are below")
    } else {
        released.to_string()
    };
    let alive = match report["stillValid"].as_u64().unwrap_or_default() {
        count if more => Cell::status(format!("{count} of those {SHOWN}"), "limited"),
        0 if report["searchedTo"].is_null() => Cell::status("none", "good"),
        count => Cell::status(count.to_string(), "limited"),
    };
    vec![
        ("From", said(&report["query"]["from"])),
        ("Before", said(&report["query"]["to"])),
        ("Released", Cell::text(number)),
        ("May still be good", alive),
    ]
}

fn row(release: &Value) -> Vec<Cell> {
    let said = |member: &str| release[member].as_str().unwrap_or_default();
    let named = |name: &str, part: &str| match name {
        "" => Cell::default(),
        name => Cell::text(name).to(part, name),
    };
    // API keys have no page of their own.
    let provider = match said("action") {
        "GetResourceApiKey" => Cell::text(said("provider")),
        _ => named(said("provider"), "/console/providers"),
    };
    let scopes = release["scopes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
    let (word, until) = validity(&release["validity"]);
    vec![
        Cell::moment(audit::time(said("at"))).to("/console/audit", said("record")),
        named(said("workload"), "/console/agents"),
        provider,
        Cell::text(account(&release["account"])),
        Cell::code(scopes.join(" ")),
        word,
        until,
        withdrawal(&release["revocation"]),
        // The pseudonym of the trail, which is nobody's user key.
        Cell::code(short(said("person"), 8)),
        match said("grant") {
            "" => Cell::default(),
            grant => Cell::code(short(grant, 8)).to("/console/grants", grant),
        },
    ]
}

fn account(account: &Value) -> String {
    match (
        account["name"].as_str(),
        account["id"].as_str(),
        account["state"].as_str(),
    ) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(id), _) => id.to_owned(),
        (None, None, Some(state @ ("sealed" | "forgotten"))) => state.to_owned(),
        _ => String::new(),
    }
}

/// Whether it is good, and until when it is or was.
fn validity(validity: &Value) -> (Cell, Cell) {
    let (word, class, time) = match validity["state"].as_str() {
        Some("valid") => ("valid", "limited", "until"),
        Some("ended") => ("ended", "good", "at"),
        Some("revoked") => ("revoked", "good", "at"),
        _ => ("unknown", "limited", ""),
    };
    let time = validity[time].as_str().map(audit::time).unwrap_or_default();
    (Cell::status(word, class), Cell::moment(time))
}

fn withdrawal(revocation: &Value) -> Cell {
    let Some(outcome) = revocation["outcome"].as_str() else {
        return Cell::default();
    };
    let words = match (revocation["action"].as_str(), outcome) {
        (Some("RevokeAtProvider"), "done") => "withdrawn".to_owned(),
        (Some("RevokeAtProvider"), _) => match revocation["reason"].as_str() {
            Some(reason) => format!("not withdrawn: {reason}"),
            None => "not withdrawn".to_owned(),
        },
        _ => "ended here".to_owned(),
    };
    let cell = Cell::status(words, audit::class(outcome));
    match revocation["record"].as_str() {
        Some(record) => cell.to("/console/audit", record),
        None => cell,
    }
}

#[tracing::instrument(name = "identity.console_report_file", skip_all)]
pub(super) async fn file(
    Path(format): Path<String>,
    Query(asked): Query<Asked>,
    session: Session,
) -> Response {
    match written(&session, asked, format).await {
        Ok(file) => file,
        Err(problem) => problem.page(&session),
    }
}

async fn written(session: &Session, asked: Asked, format: String) -> Result<Response, Problem> {
    let input = get_audit_report::Input {
        format: Some(format.clone()),
        max_records: None,
        ..asked.input(MOST).map_err(Problem)?
    };
    let found = session.perform::<GetAuditReport>(&input).await?;
    // The other two say themselves that there is more; a table that ends too early looks whole.
    if format == "csv" && found.truncated {
        let error = ApiError::field(
            "from",
            format!("so much was released that a table ends at {MOST}; ask for a shorter time"),
        );
        return Err(Problem(error));
    }
    let text = match found.report {
        Value::String(text) => text,
        report => serde_json::to_string_pretty(&report).unwrap_or_default(),
    };
    let kind = match &*format {
        "csv" => "text/csv; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        _ => "application/json",
    };
    let day = moment_text(session.visit.now.as_secs());
    let day = day.get(..10).unwrap_or_default();
    let name = format!("attachment; filename=\"countersign-report-{day}.{format}\"");
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    security_headers::add_missing(headers);
    Ok(response)
}

/// A time as [`moment`] reads it.
fn moment_text(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::summary;

    #[test]
    fn none_is_good_only_where_all_were_looked_at() {
        for (report, said) in [
            (json!({"stillValid": 0}), ("none", "good")),
            (json!({"stillValid": 2}), ("2", "limited")),
            (
                json!({"stillValid": 0, "truncated": true}),
                ("0 of those 100", "limited"),
            ),
            (
                json!({"stillValid": 0, "searchedTo": "2026-11-29T00:00:00Z"}),
                ("0", "limited"),
            ),
        ] {
            let facts = summary(&report, 100);
            let (name, cell) = &facts[3];
            assert_eq!(
                (*name, (&*cell.text, cell.class)),
                ("May still be good", said),
                "{report}"
            );
        }
    }
}
