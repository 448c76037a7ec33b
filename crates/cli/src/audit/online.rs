//! The same commands through the API of a running server: the identity service's chain only.

use std::{process::ExitCode, time::Duration};

use countersign_api::{Client, admin as api};

use crate::{admin, args::Output, output};

/// How often `tail --follow` asks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Most records of one answer.
const PAGE: i64 = 100;

pub(super) async fn tail(lines: u32, follow: bool, output: Output) -> anyhow::Result<()> {
    let client = admin::connect()?;
    let mut records = vec![];
    let mut next_token = None;
    while records.len() < lines as usize {
        let missing = i64::from(lines) - i64::try_from(records.len()).unwrap_or(i64::MAX);
        let input = api::list_audit_records::Input {
            newest: Some(true),
            next_token: next_token.take(),
            max_results: Some(missing.clamp(1, PAGE)),
            ..Default::default()
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
            ..Default::default()
        };
        let page = call::<api::ListAuditRecords>(&client, &input).await?;
        if let Some(id) = page.records.last().and_then(|record| record["id"].as_str()) {
            after = Some(id.to_owned());
        }
        print(&page.records, output)?;
    }
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

pub(super) async fn verify(against: Option<&str>, output: Output) -> anyhow::Result<ExitCode> {
    let client = admin::connect()?;
    let against = against.map(|text| text.lines().map(str::to_owned).collect());
    let answer = call::<api::VerifyAudit>(&client, &api::verify_audit::Input { against }).await?;
    if output == Output::Json {
        output::json(&answer)?;
    } else {
        let verdict = if answer.ok { "OK" } else { "NOT OK" };
        output::line(format!("identity: {verdict}, {} records", answer.records));
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
