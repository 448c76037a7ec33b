//! A disk that fills up in the middle of a burst.

use std::time::Duration;

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

/// A line that found no room is made up for, also when nothing is recorded any more.
#[cfg(unix)]
#[tokio::test]
async fn a_checkpoint_file_that_was_full_gets_every_line() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 1).await;
    recorder.checkpoint().await.expect("a checkpoint");
    let path = &fixture.checkpoint_file;
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).expect("put aside");
    // Whose every write fails with ENOSPC.
    std::os::unix::fs::symlink("/dev/full", path).expect("linked");
    for _ in 0..3 {
        record_some(&recorder, 1).await;
        let full = recorder.checkpoint().await;
        assert!(matches!(full, Err(AuditError::CheckpointFile { .. })), "{full:?}");
    }
    let report = fixture.verify_alone().await;
    assert_eq!(report.checkpoints, 4, "the database has them all the same");

    // Room again, behind as much of a line as there was room for.
    std::fs::rename(&aside, path).expect("put back");
    let mut half = std::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .expect("there");
    std::io::Write::write_all(&mut half, br#"{"checkpoint":{"version":1,"data"#).expect("written");
    recorder.checkpoint().await.expect("makes up for them");
    let lines = fixture.lines().await;
    assert_eq!(lines.lines().count(), 4);
    let report = fixture.verify().await;
    assert!(report.ok, "{report}");
    assert_eq!(report.anchored_outside.map(|anchor| anchor.checkpoint), Some(4));
}

/// Nobody asks again, and no record comes.
#[cfg(unix)]
#[tokio::test]
async fn a_checkpoint_that_failed_on_demand_is_tried_again() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    recorder.checkpoint().await.expect("a checkpoint");
    let path = &fixture.checkpoint_file;
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).expect("put aside");
    std::os::unix::fs::symlink("/dev/full", path).expect("linked");
    record_some(&recorder, 1).await;
    recorder.checkpoint().await.expect_err("full");
    // The record itself may have made one due in ten seconds, which this one is instead of.
    tokio::time::sleep(Duration::from_millis(200)).await;
    recorder.checkpoint().await.expect_err("full");
    std::fs::rename(&aside, path).expect("put back");
    let written = async {
        while fixture.lines().await.lines().count() < 2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written)
        .await
        .expect("within the time of a checkpoint");
}

async fn page_count(fixture: &Fixture) -> i64 {
    let mut tx = fixture.pool().begin().await.expect("begins");
    let rows = tx
        .fetch_all("PRAGMA page_count", Vec::new())
        .await
        .expect("a pragma");
    rows[0].int("page_count").expect("a number")
}
