//! The same commands through the API of a running server: the identity service's chain only.

use std::{process::ExitCode, time::Duration};

use countersign_api::{Client, admin as api};
use countersign_audit::{Counted, delivery::Kept};
use countersign_crypto::Timestamp;

use super::command::{ReportArgs, Search};
use super::search;
use crate::{admin, args::Output, output};

/// How often `tail --follow` asks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Most records of one answer.
const PAGE: i64 = 100;

pub(super) async fn tail(lines: u32, follow: bool, search: &Search, output: Output) -> anyhow::Result<()> {
    let wanted = asked(search)?;
    let client = admin::connect()?;
    let mut records = vec![];
    let mut next_token = None;
    while records.len() < lines as usize {
        let missing = i64::from(lines) - i64::try_from(records.len()).unwrap_or(i64::MAX);
        let input = api::list_audit_records::Input {
            newest: Some(true),
            next_token: next_token.take(),
            max_results: Some(missing.clamp(1, PAGE)),
            ..wanted.clone()
        };
        let page = call::<api::ListAuditRecords>(&client, &input).await?;
        records.extend(page.records);
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    records.truncate(lines as usize);
    records.reverse();
    let mut after = records
        .last()
        .and_then(|record| record["id"].as_str())
        .map(str::to_owned);
    print(&records, output)?;
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let input = api::list_audit_records::Input {
            after: after.clone(),
            max_results: Some(PAGE),
            ..wanted.clone()
        };
        let page = call::<api::ListAuditRecords>(&client, &input).await?;
        if let Some(id) = page.records.last().and_then(|record| record["id"].as_str()) {
            after = Some(id.to_owned());
        }
        print(&page.records, output)?;
    }
}

/// The same search in the words of the API.
fn asked(search: &Search) -> anyhow::Result<api::list_audit_records::Input> {
    let range = search::range(&search.time, false)?;
    Ok(api::list_audit_records::Input {
        action: search.action.clone(),
        outcome: search.outcome.clone(),
        reason: search.reason.clone(),
        principal: search.principal.clone(),
        sid: search.sid.clone(),
        request_id: search.request.clone(),
        user: search.subject.user.clone(),
        workload_name: search.subject.workload.clone(),
        credential_provider_name: search.subject.provider.clone(),
        grant_id: search.subject.grant.clone(),
        from: range.from.map(Timestamp::as_secs),
        to: range.to.map(Timestamp::as_secs),
        ..Default::default()
    })
}

/// The report of a running server.
pub(super) async fn report(args: &ReportArgs) -> anyhow::Result<api::get_audit_report::Output> {
    let client = admin::connect()?;
    let range = search::range(&args.time, true)?;
    let input = api::get_audit_report::Input {
        user: args.subject.user.clone(),
        workload_name: args.subject.workload.clone(),
        credential_provider_name: args.subject.provider.clone(),
        grant_id: args.subject.grant.clone(),
        from: range.from.map(Timestamp::as_secs),
        to: range.to.map(Timestamp::as_secs),
        format: args.format.map(|format| format.as_str().to_owned()),
        max_results: Some(i64::from(args.limit.min(10_000))),
        max_records: None,
    };
    call::<api::GetAuditReport>(&client, &input).await
}

pub(super) async fn explain(id: &str, output: Output) -> anyhow::Result<()> {
    let client = admin::connect()?;
    let input = api::explain_audit_record::Input { id: id.to_owned() };
    let answer = call::<api::ExplainAuditRecord>(&client, &input).await?;
    match (output, answer.explanation["text"].as_str()) {
        (Output::Text, Some(text)) => output::line(text.trim_end()),
        _ => output::json(&answer)?,
    }
    Ok(())
}

pub(super) async fn verify(against: Option<&Kept>, output: Output) -> anyhow::Result<ExitCode> {
    let client = admin::connect()?;
    let against = match against {
        None => None,
        Some(kept) => {
            let lines = kept.unfollowed("identity");
            anyhow::ensure!(
                !lines.is_empty(),
                "what was kept is not of the identity service's trail, and a server verifies no other: --config FILE does"
            );
            Some(lines.into_iter().map(str::to_owned).collect())
        }
    };
    let answer = call::<api::VerifyAudit>(&client, &api::verify_audit::Input { against }).await?;
    if output == Output::Json {
        output::json(&answer)?;
    } else {
        let verdict = if answer.ok { "OK" } else { "NOT OK" };
        output::line(format!(
            "identity: {verdict}, {}",
            Counted(answer.records, "record")
        ));
        match &answer.anchored_to {
            Some(anchor) => output::line(format!("  anchored to {anchor}")),
            None => output::line("  not anchored"),
        }
        for fault in &answer.faults {
            output::line(format!("  {}: {}", fault.place, fault.what));
        }
    }
    Ok(if answer.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn print(records: &[serde_json::Value], output: Output) -> anyhow::Result<()> {
    for record in records {
        if output == Output::Json {
            output::json_line(record)?;
            continue;
        }
        let field = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        output::line(format!(
            "{} {} {} {} {} {}",
            field("at"),
            field("id"),
            field("action"),
            field("outcome"),
            field("reason"),
            field("workload"),
        ));
    }
    Ok(())
}

async fn call<O: countersign_api::Operation>(client: &Client, input: &O::Input) -> anyhow::Result<O::Output> {
    client
        .call::<O>(input)
        .await
        .map_err(|error| anyhow::anyhow!("{}: {error}", O::NAME))
}
