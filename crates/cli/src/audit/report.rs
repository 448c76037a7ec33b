//! `countersign audit report`: which tokens and keys were released.

use anyhow::Context as _;
use countersign_api::admin::get_audit_report;
use countersign_audit::report::{Query, report};
use countersign_crypto::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;

use super::command::{ReportArgs, ReportFormat};
use super::store::Store;
use super::{online, search};
use crate::{args::Output, output};

pub(super) async fn run(args: &ReportArgs, output: Output) -> anyhow::Result<()> {
    let answer = match super::open(&args.source).await? {
        Some(stores) => offline(&stores, args).await?,
        None => online::report(args).await?,
    };
    let report = answer.report;
    match (&report, output) {
        (Value::String(text), _) => output::line(text.trim_end()),
        (_, Output::Text) if args.format.is_none() => table(&report),
        _ => output::json(&report)?,
    }
    // A file that ends too early looks whole: whoever keeps standard output alone reads this on their terminal.
    if answer.truncated {
        output::note(
            "there are more releases, these are the oldest: ask for a shorter time, or raise --limit (a running server \
             gives at most 10000, a stopped store 100000)",
        );
    }
    Ok(())
}

/// From the databases themselves. An object, or the text of another format.
async fn offline(stores: &[Store], args: &ReportArgs) -> anyhow::Result<get_audit_report::Output> {
    // Tokens and keys are released by the identity service alone.
    let store = stores.iter().find(|store| store.role == "identity");
    let store = store.context("the configuration has no [identity], which releases tokens")?;
    let range = search::range(&args.time, true)?;
    let persons = match &args.subject.user {
        Some(user) => search::pseudonyms(user, store).await?,
        None => vec![],
    };
    let query = Query {
        workload: args.subject.workload.clone(),
        provider: args.subject.provider.clone(),
        grant: args.subject.grant.clone(),
        user: args.subject.user.clone(),
        persons,
        from: range.from.unwrap_or(Timestamp::from_secs(0)),
        to: range.to.unwrap_or(Timestamp::from_micros(i64::MAX)),
        limit: args.limit as usize,
        look_at: None,
    };
    let report = report(&store.pool, Some(&store.persons), query, SystemClock.now()).await?;
    Ok(get_audit_report::Output {
        truncated: report.truncated,
        searched_to: None,
        report: match args.format {
            Some(ReportFormat::Csv) => report.csv().into(),
            Some(ReportFormat::Html) => report.html()?.into(),
            Some(ReportFormat::Json) | None => serde_json::to_value(&report)?,
        },
    })
}

fn table(report: &Value) {
    let columns = [
        "at",
        "workload",
        "provider",
        "person",
        "account",
        "scopes",
        "good",
        "revocation",
        "record",
    ];
    let releases = report["releases"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if releases.is_empty() {
        output::note("nothing was released");
        return;
    }
    let rows: Vec<Vec<String>> = releases.iter().map(row).collect();
    output::table(&columns, &rows);
    output::note(format!(
        "{} released, of which {} may still be good",
        rows.len(),
        report["stillValid"]
    ));
}

fn row(release: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let person = text(&release["person"]);
    let account = &release["account"];
    let account = match (account["id"].as_str(), account["name"].as_str()) {
        (Some(id), Some(name)) => format!("{name} ({id})"),
        (Some(id), None) => id.to_owned(),
        _ => text(&account["state"]),
    };
    let scopes: Vec<&str> = release["scopes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let validity = &release["validity"];
    let good = match (validity["until"].as_str(), validity["at"].as_str()) {
        (Some(until), _) => format!("until {until}"),
        (None, Some(at)) => format!("{} {at}", text(&validity["state"])),
        _ => text(&validity["state"]),
    };
    let revocation = &release["revocation"];
    let revocation = match revocation["action"].as_str() {
        Some(action) => format!("{action} {}", text(&revocation["outcome"])),
        None => "-".to_owned(),
    };
    [
        text(&release["at"]),
        text(&release["workload"]),
        text(&release["provider"]),
        person.get(..12).unwrap_or(&person).to_owned(),
        account,
        scopes.join(" "),
        good,
        revocation,
        text(&release["record"]),
    ]
    .into_iter()
    // What the service called the account must not move the reader's cursor.
    .map(|cell| cell.replace(char::is_control, "\u{fffd}"))
    .collect()
}
