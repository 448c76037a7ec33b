//! `countersign audit …`: offline on the databases themselves, or through the API of a running server.
//!
//! Offline is the stronger form: it trusts no process, reads both chains, and can compare with checkpoints that were
//! kept elsewhere.

mod online;
mod store;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use countersign_audit::{
    Record,
    explain::{self, Source},
    tail::{self, Filter},
    verify::{self, Report, Trail},
};

use crate::{
    admin,
    args::{AuditCommand, AuditSource, Output},
    output,
};
use store::Store;

/// Where `countersign dev` keeps its data unless it is told otherwise.
const DEFAULT_DATA: &str = ".countersign";
/// How often `tail --follow` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// Most records read at a time.
const PAGE: u32 = 500;

/// `tail` and `explain`.
pub(crate) async fn run(command: AuditCommand, output: Output) -> anyhow::Result<()> {
    match command {
        AuditCommand::Tail {
            source,
            lines,
            follow,
        } => match open(&source).await? {
            Some(stores) => tail(&stores, lines, follow, output).await,
            None => online::tail(lines, follow, output).await,
        },
        AuditCommand::Explain { source, id } => match open(&source).await? {
            Some(stores) => explain(&stores, &id, output).await,
            None => online::explain(&id, output).await,
        },
        AuditCommand::Verify { .. } => bail!("verify has an exit code of its own"),
    }
}

/// `verify`: 0 if nothing was changed, 1 with the places if something was.
pub(crate) async fn verify(
    source: &AuditSource,
    against: Option<&Path>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let against = match against {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => None,
    };
    let Some(stores) = open(source).await? else {
        return online::verify(against.as_deref(), output).await;
    };
    let mut reports = vec![];
    for store in &stores {
        // The file beside the database always counts; one kept elsewhere is what an intruder could not change.
        let local = store.checkpoints.as_deref().unwrap_or_default();
        let checkpoints = match &against {
            // A crash may have cut the local file's last line, which is forgiven only at the end of the text.
            Some(against) => format!("{}{against}", local.rfind('\n').map_or("", |end| &local[..=end])),
            None => local.to_owned(),
        };
        let trail = Trail {
            pool: &store.pool,
            role: store.role,
            keys: &store.keys.signing,
            checkpoints: &checkpoints,
        };
        reports.push(
            verify::verify(&trail, &mut |_| ())
                .await
                .with_context(|| format!("cannot verify the {} chain", store.role))?,
        );
    }
    let ok = reports.iter().all(|report| report.ok);
    match output {
        Output::Json => output::json(&reports)?,
        Output::Text => reports.iter().for_each(say),
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What a person wants to know of a report.
fn say(report: &Report) {
    let verdict = if report.ok { "OK" } else { "CHANGED" };
    output::line(format!(
        "{}: {verdict}, {} records of {} writers, {} checkpoints",
        report.role, report.records, report.writers, report.checkpoints
    ));
    let anchors = [
        ("in the database", &report.anchored),
        ("outside the database", &report.anchored_outside),
    ];
    for (place, anchor) in anchors {
        output::line(match anchor {
            Some(anchor) => format!(
                "  anchored {place} to checkpoint {} of {}; {} records after it",
                anchor.checkpoint, anchor.at, anchor.records_after
            ),
            None => format!("  not anchored {place}"),
        });
    }
    for fault in &report.faults {
        output::line(format!("  {}: {}", fault.place, fault.what));
    }
    if report.more_faults > 0 {
        output::line(format!("  and {} more", report.more_faults));
    }
}

async fn tail(stores: &[Store], lines: u32, follow: bool, output: Output) -> anyhow::Result<()> {
    let mut newest = vec![];
    let mut cursors = vec![];
    for store in stores {
        let (mut records, cursor) = last(store, lines).await?;
        newest.append(&mut records);
        cursors.push(cursor);
    }
    newest.sort_by_key(|record| record.at);
    let skip = newest.len().saturating_sub(lines as usize);
    print(&newest[skip..], output)?;
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let mut fresh = vec![];
        for (store, cursor) in stores.iter().zip(&mut cursors) {
            let page = tail::list(&store.pool, &Filter::default(), cursor.as_deref(), PAGE).await?;
            if page.cursor.is_some() {
                *cursor = page.cursor;
            }
            fresh.extend(opened(store, page.records).await?);
        }
        fresh.sort_by_key(|record| record.at);
        print(&fresh, output)?;
    }
}

/// The newest records of one store, oldest first, and the cursor behind the newest.
async fn last(store: &Store, lines: u32) -> anyhow::Result<(Vec<Record>, Option<String>)> {
    let filter = Filter {
        newest_first: true,
        ..Filter::default()
    };
    let (mut records, mut cursor): (Vec<Record>, _) = (vec![], None::<String>);
    while records.len() < lines as usize {
        let wanted = PAGE.min(lines - u32::try_from(records.len()).unwrap_or(lines));
        let page = tail::list(&store.pool, &filter, cursor.as_deref(), wanted).await?;
        let end = page.records.is_empty();
        records.extend(page.records);
        cursor = page.cursor;
        if end || cursor.is_none() {
            break;
        }
    }
    records.reverse();
    let behind = records.last().map(|record| record.id.to_string());
    Ok((opened(store, records).await?, behind))
}

/// With personal details readable, where the keys to them still exist.
async fn opened(store: &Store, mut records: Vec<Record>) -> anyhow::Result<Vec<Record>> {
    store.persons.open(&mut records).await?;
    Ok(records)
}

fn print(records: &[Record], output: Output) -> anyhow::Result<()> {
    for record in records {
        match output {
            Output::Json => output::json_line(record)?,
            Output::Text => output::line(record),
        }
    }
    Ok(())
}

async fn explain(stores: &[Store], id: &str, output: Output) -> anyhow::Result<()> {
    let sources: Vec<Source<'_>> = stores
        .iter()
        .map(|store| Source {
            pool: &store.pool,
            persons: Some(&store.persons),
        })
        .collect();
    let Some(explanation) = explain::explain(&sources, id).await? else {
        bail!("no record, request or grant has the id {id}; `countersign audit tail` shows record ids");
    };
    match output {
        Output::Json => output::json(&explanation),
        Output::Text => {
            output::line(explanation.to_string().trim_end());
            Ok(())
        }
    }
}

/// The stores that the arguments name; `None` for a running server that the environment names.
async fn open(source: &AuditSource) -> anyhow::Result<Option<Vec<Store>>> {
    if let Some(path) = &source.data {
        return Store::of_dev(path).await.map(Some);
    }
    if let Some(path) = &source.config {
        return Store::of_config(path).await.map(Some);
    }
    // The data on this machine first: it has both chains, and nothing has to be believed.
    let default = Path::new(DEFAULT_DATA);
    if !default.is_dir() && admin::is_configured() {
        return Ok(None);
    }
    Store::of_dev(default)
        .await
        .context("name the audit trail with --data DIR or --config FILE, or a server with the AWS variables")
        .map(Some)
}
