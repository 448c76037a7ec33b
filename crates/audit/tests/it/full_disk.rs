//! A disk that fills up in the middle of a burst.

use countersign_audit::AuditError;
use countersign_audit::tail::{Filter, list};

use crate::fixture::{Fixture, record_some, token_use};

/// D15: what could not be written is not acknowledged, so that no token leaves; what was acknowledged is there; and the
/// chain goes on when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_a_burst_loses_nothing_that_was_acknowledged() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 3).await;
    let pages = page_count(&fixture).await;
    // SQLite itself now says that the disk is full (SQLITE_FULL), on the one connection that writes.
    let limit = pages + 12;
    fixture.tamper(&format!("PRAGMA max_page_count = {limit}")).await;

    let mut burst = tokio::task::JoinSet::new();
    for n in 0..600 {
        let recorder = recorder.clone();
        burst.spawn(async move { recorder.record(token_use(n)).await });
    }
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    while let Some(ended) = burst.join_next().await {
        match ended.expect("no panic") {
            Ok(id) => acknowledged.push(id.to_string()),
            Err(AuditError::NotWritten) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "the disk was full");

    fixture.tamper("PRAGMA max_page_count = 1000000").await;
    record_some(&recorder, 3).await;
    recorder.close().await.expect("closes");
    let mut there = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = list(fixture.pool(), &Filter::default(), after.as_deref(), 1000)
            .await
            .expect("lists");
        if page.records.is_empty() {
            break;
        }
        there.extend(page.records.iter().map(|record| record.id.to_string()));
        after = page.cursor;
    }
    assert!(
        acknowledged.iter().all(|id| there.contains(id)),
        "acknowledged and not there"
    );
    // What was refused may be there only if its commit was not: none is, since each failed before it.
    assert_eq!(there.len(), 1 + 3 + acknowledged.len() + 3);
    assert!(fixture.verify().await.ok, "{}", fixture.verify().await);
}

async fn page_count(fixture: &Fixture) -> i64 {
    let mut tx = fixture.pool().begin().await.expect("begins");
    let rows = tx
        .fetch_all("PRAGMA page_count", Vec::new())
        .await
        .expect("a pragma");
    rows[0].int("page_count").expect("a number")
}
