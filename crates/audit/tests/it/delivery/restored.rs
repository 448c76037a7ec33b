//! Deliveries after a restore: the numbers come again, with other content.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use countersign_audit::AuditError;
use countersign_audit::delivery::{Kept, read_on};
use serde_json::{Value, json};

use super::parts::{S3, lines};
use super::until;
use crate::fixture::{Fixture, fixtures, record_some};

/// A writer of its own, closed with a checkpoint.
async fn record(fixture: &Fixture, count: usize) {
    let recorder = fixture.recorder().await;
    record_some(&recorder, count).await;
    recorder.close().await.expect("closes");
}

/// Hands over all that there is.
async fn deliver(fixture: &Fixture, config: &Value, name: &str) {
    let deliveries = fixture.deliveries(config.clone()).await;
    until("all is handed over", async || {
        let status = fixture.status(name).await;
        assert_eq!(status.last_error, None, "{name}");
        status.behind == 0
    })
    .await;
    deliveries.close().await;
}

/// Ids of the records in all files of a directory and below it.
fn found(directory: &Path) -> BTreeSet<String> {
    let (mut ids, mut paths) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).expect("reads");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let records = lines(&path);
            ids.extend(
                records
                    .iter()
                    .map(|record| record["id"].as_str().expect("an id").to_owned()),
            );
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_restored_database_arrives() {
    for fixture in fixtures().await {
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({"exports": [{"name": "files", "to": {"directory": directory.path()}}]});
        record(&fixture, 3).await;
        deliver(&fixture, &config, "export files").await;
        let backup = fixture.backup().await;
        let mut all = BTreeSet::new();
        // Of the life before, and of two after a restore.
        for _ in 0..3 {
            record(&fixture, 2).await;
            deliver(&fixture, &config, "export files").await;
            all.extend(fixture.ids().await);
            assert_eq!(found(directory.path()), all, "{}", fixture.db.name);
            fixture.restore(&backup).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_restored_database_has_another_id() {
    let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let address = receiver.local_addr().expect("an address");
    let config =
        json!({"exports": [{"name": "log", "to": {"syslog": {"address": format!("udp://{address}")}}}]});
    let fixture = Fixture::new_sqlite().await;
    record(&fixture, 1).await;
    let backup = fixture.backup().await;
    let mut batches = BTreeSet::new();
    for life in ["", ".restored-1", ".restored-2"] {
        record(&fixture, 1).await;
        let sent = fixture.ids().await.len();
        fixture
            .tamper("UPDATE evidence_delivery SET checkpoint_number = 0, tried_checkpoint = 0")
            .await;
        deliver(&fixture, &config, "export log").await;
        let mut buffer = vec![0; 70_000];
        for _ in 0..sent {
            let arrival = tokio::time::timeout(Duration::from_secs(30), receiver.recv(&mut buffer));
            let length = arrival.await.expect("in time").expect("a datagram");
            let message = String::from_utf8_lossy(&buffer[..length]);
            let (_, data) = message.split_once("[countersign@32473 ").expect("begins");
            let (data, _) = data.split_once("] ").expect("ends");
            let value = |name: &str| {
                let (_, rest) = data.split_once(&format!("{name}=\"")).expect("a parameter");
                let (value, _) = rest.split_once('"').expect("ends");
                value.to_owned()
            };
            // RFC 5424: four pairs of quotes, and nothing in them that wants an escape.
            assert_eq!(data.matches('"').count(), 8, "{data}");
            assert!(!data.contains(['\\', ']']), "{data}");
            let expected = format!("{}{life}.export.log.0..0", value("database"));
            assert_eq!(value("batch"), expected);
            batches.insert(expected);
        }
        fixture.restore(&backup).await;
    }
    assert_eq!(batches.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_in_s3_goes_on_after_a_restore() {
    let s3 = S3::start();
    s3.bucket(&["create", "worm"]);
    let fixture = Fixture::new_sqlite().await;
    let config = json!({"anchors": [{"name": "worm", "to": {"s3": {
        "bucket": "worm", "prefix": "trail/", "region": "us-east-1", "endpoint": s3.endpoint(),
        "access_key_id": "x", "secret_access_key": "y",
    }}}]});
    record(&fixture, 1).await;
    deliver(&fixture, &config, "anchor worm").await;
    let backup = fixture.backup().await;
    for _ in 0..2 {
        record(&fixture, 1).await;
        deliver(&fixture, &config, "anchor worm").await;
        fixture.restore(&backup).await;
    }
    let keys = s3.bucket(&["keys", "worm"]);
    let places: Vec<&str> = keys
        .lines()
        .map(|key| key.strip_prefix("trail/").expect("the prefix"))
        .map(|key| key.split_once('/').expect("the database").1)
        .collect();
    assert_eq!(
        places,
        [
            "identity-000000000001.json",
            "identity-000000000002.json",
            "restored-1/identity-000000000002.json",
        ]
    );
    let kept: String = keys.lines().map(|key| s3.bucket(&["get", "worm", key])).collect();
    assert_eq!(kept, fixture.lines().await, "none is missing");
    assert_eq!(Kept(kept).unfollowed("identity").len(), 2, "one a life");
}

#[tokio::test]
async fn a_cursor_of_before_a_restore_is_none() {
    for fixture in fixtures().await {
        record(&fixture, 1).await;
        let backup = fixture.backup().await;
        record(&fixture, 5).await;
        let (_, old) = read_on(fixture.pool(), None, 1000).await.expect("reads");
        fixture.restore(&backup).await;
        record(&fixture, 5).await;
        let mut cursor: Option<String> = None;
        let mut ids = BTreeSet::new();
        loop {
            let (records, next) = read_on(fixture.pool(), cursor.as_deref(), 2)
                .await
                .expect("reads");
            assert!(next.starts_with("1:"), "{next}");
            cursor = Some(next);
            if records.is_empty() {
                break;
            }
            ids.extend(records.iter().map(|record| record.id.to_string()));
        }
        assert_eq!(ids, fixture.ids().await, "{}", fixture.db.name);
        for bad in [old, "2:1..0".to_owned(), "+1:1..0".to_owned(), "1:".to_owned()] {
            let read = read_on(fixture.pool(), Some(&bad), 2).await;
            assert!(matches!(read, Err(AuditError::Cursor)), "{bad}");
        }
    }
}
