//! `countersign audit tail`: the newest records of both chains, and those that follow.

use std::time::Duration;

use countersign_audit::{
    Record,
    tail::{self, Filter},
};

use super::command::Search;
use super::search;
use super::store::Store;
use crate::{args::Output, output};

/// How often `--follow` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// Most records read at a time.
const PAGE: u32 = 500;

pub(super) async fn tail(
    stores: &[Store],
    lines: u32,
    follow: bool,
    search: &Search,
    output: Output,
) -> anyhow::Result<()> {
    let mut filters = vec![];
    for store in stores {
        filters.push(search::filter(search, store).await?);
    }
    let mut newest = vec![];
    let mut cursors = vec![];
    for (store, filter) in stores.iter().zip(&filters) {
        let (mut records, cursor) = last(store, filter, lines).await?;
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
        for ((store, filter), cursor) in stores.iter().zip(&filters).zip(&mut cursors) {
            let page = tail::list(&store.pool, filter, cursor.as_deref(), PAGE).await?;
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
async fn last(store: &Store, filter: &Filter, lines: u32) -> anyhow::Result<(Vec<Record>, Option<String>)> {
    let filter = Filter {
        newest_first: true,
        ..filter.clone()
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
