//! Records on their way out: none lost, and those that came twice say so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use countersign_audit::delivery::read_on;
use countersign_audit::{Entry, Outcome};
use serde_json::{Value, json};

use super::parts::{Rsyslog, S3, WebhookReceiver, lines};
use super::until;
use crate::fixture::{Fixture, fixtures, record_some};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(receiver: &WebhookReceiver, batch: u16) -> Value {
    json!({"exports": [{"name": "siem", "format": "ocsf", "batch": batch, "to": {"webhook": {
        "url": receiver.url, "secret": SECRET, "authorization": "Splunk 1234",
    }}}]})
}

/// Ids of events in what a receiver took, and whether each said that it came before.
fn events(taken: &[Value]) -> Vec<(String, bool)> {
    let events = taken
        .iter()
        .flat_map(|taken| taken["events"].as_array().expect("events"));
    events
        .map(|event| {
            let id = event["metadata"]["uid"].as_str().expect("an id").to_owned();
            (id, event["unmapped"]["repeated"] == true)
        })
        .collect()
}

/// The whole of "no loss, duplicates marked": a receiver that is down, that takes a batch without saying so, and a
/// process that dies, on both engines.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_in_every_way_has_every_record_in_the_end() {
    for fixture in fixtures().await {
        let directory = tempfile::tempdir().expect("a directory");
        let receiver = WebhookReceiver::start(SECRET, directory.path());
        receiver.behave("down");
        let first = fixture.recorder().await;
        let second = fixture.recorder().await;
        record_some(&first, 7).await;
        record_some(&second, 5).await;
        first.checkpoint().await.expect("a checkpoint");
        let deliveries = fixture.deliveries(webhook(&receiver, 4)).await;
        until("the failure is noted", async || {
            fixture.status("export siem").await.failing_since.is_some()
        })
        .await;
        let error = fixture.status("export siem").await.last_error.expect("an error");
        assert_eq!(error, "the webhook answered 503", "and no secret");
        // An hour later, with more to hand over, it is still down; then it takes a batch and hangs up.
        fixture.clock.advance(Duration::from_hours(1));
        record_some(&first, 6).await;
        first.checkpoint().await.expect("a checkpoint");
        assert!(receiver.taken().is_empty());
        receiver.behave("lost");
        until("a batch was taken", async || !receiver.taken().is_empty()).await;
        // The process dies before it hears of it.
        drop(deliveries);
        receiver.behave("up");
        // So long is the lease of the dead process.
        fixture.clock.advance(Duration::from_secs(61));
        let deliveries = fixture.deliveries(webhook(&receiver, 4)).await;
        until("all is handed over", async || {
            let status = fixture.status("export siem").await;
            status.behind == 0 && status.failing_since.is_none()
        })
        .await;
        first.close().await.expect("closes");
        second.close().await.expect("closes");
        deliveries.close().await;

        let taken = receiver.taken();
        let events = events(&taken);
        let ids: BTreeSet<String> = events.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(ids, fixture.ids().await, "{}: none lost", fixture.db.name);
        let mut seen = BTreeSet::new();
        for (id, repeated) in &events {
            assert!(
                seen.insert(id) || *repeated,
                "{}: {id} came twice unmarked",
                fixture.db.name
            );
        }
        assert!(events.len() > ids.len(), "a batch came twice");
        let mut batches: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
        for taken in &taken {
            let ids = taken["events"].as_array().expect("events").iter();
            let ids = ids
                .map(|event| event["metadata"]["uid"].as_str().expect("an id"))
                .collect();
            batches
                .entry(taken["id"].as_str().expect("an id"))
                .or_default()
                .insert(ids);
        }
        assert!(
            batches.values().all(|contents| contents.len() == 1),
            "{}: one id is one batch, whenever it comes",
            fixture.db.name
        );
        assert!(taken.iter().all(|taken| taken["authorization"] == "Splunk 1234"));
        assert_eq!(receiver.refused(), None, "the library accepts every signature");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_changes_from_one_secret_to_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    // It still knows only the old one.
    let receiver = WebhookReceiver::start(SECRET, directory.path());
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    recorder.close().await.expect("closes");
    let with = |secret: &str, previous: Option<&str>| {
        json!({"exports": [{"name": "siem", "to": {"webhook": {
            "url": receiver.url, "secret": secret, "previous_secret": previous,
        }}}]})
    };
    let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let alone = fixture.deliveries(with(new, None)).await;
    until("it is refused", async || receiver.refused().is_some()).await;
    drop(alone);
    assert!(
        receiver.taken().is_empty(),
        "nothing is taken with a signature that it does not know"
    );
    fixture.clock.advance(Duration::from_secs(61));
    let both = fixture.deliveries(with(new, Some(SECRET))).await;
    until("it is taken", async || receiver.taken().len() == 1).await;
    both.close().await;
}

/// Two replicas work at one delivery under one lease: nothing comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_delivery() {
    for fixture in fixtures().await {
        let directory = tempfile::tempdir().expect("a directory");
        let config =
            json!({"exports": [{"name": "files", "batch": 3, "to": {"directory": directory.path()}}]});
        let recorder = fixture.recorder().await;
        record_some(&recorder, 20).await;
        recorder.checkpoint().await.expect("a checkpoint");
        let one = fixture.deliveries(config.clone()).await;
        let other = fixture.deliveries(config).await;
        record_some(&recorder, 20).await;
        recorder.close().await.expect("closes");
        until("all is handed over", async || {
            fixture.status("export files").await.behind == 0
        })
        .await;
        one.close().await;
        other.close().await;
        let mut found = Vec::new();
        let mut files = vec![directory.path().to_owned()];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(
                    std::fs::read_dir(path)
                        .expect("reads")
                        .map(|entry| entry.expect("an entry").path()),
                );
            } else {
                assert_eq!(
                    path.extension().and_then(|end| end.to_str()),
                    Some("ndjson"),
                    "{path:?}"
                );
                found.extend(lines(&path));
            }
        }
        let ids: Vec<String> = found
            .iter()
            .map(|record| record["id"].as_str().expect("an id").to_owned())
            .collect();
        let distinct: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(distinct, fixture.ids().await, "{}", fixture.db.name);
        assert_eq!(ids.len(), distinct.len(), "{}: none twice", fixture.db.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_and_syslog_take_every_record() {
    let s3 = S3::start();
    s3.bucket(&["create", "records"]);
    let directory = tempfile::tempdir().expect("a directory");
    let rsyslog = Rsyslog::start(directory.path()).await;
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 10).await;
    recorder.close().await.expect("closes");
    let deliveries = fixture
        .deliveries(json!({"exports": [
            {"name": "bucket", "format": "cloudtrail", "batch": 4, "to": {"s3": {
                "bucket": "records", "region": "us-east-1", "endpoint": s3.endpoint(),
                "access_key_id": "x", "secret_access_key": "y",
            }}},
            {"name": "log", "format": "ocsf", "to": {"syslog": {
                "address": format!("tcp://127.0.0.1:{}", rsyslog.tcp),
            }}},
        ]}))
        .await;
    let all = fixture.ids().await;
    until("all is handed over", async || {
        let status = fixture.status("export bucket").await;
        assert_eq!(status.last_error, None);
        status.behind == 0 && rsyslog.text().matches("\"class_uid\"").count() == all.len()
    })
    .await;
    deliveries.close().await;
    let objects = s3.bucket(&["keys", "records"]);
    let found: Vec<Value> = objects
        .lines()
        .flat_map(|key| {
            let text = s3.bucket(&["get", "records", key]);
            text.lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect::<Vec<Value>>()
        })
        .collect();
    let ids: BTreeSet<String> = found
        .iter()
        .map(|event| {
            event["additionalEventData"]["recordId"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    assert_eq!((ids, found.len()), (all.clone(), all.len()));
}

/// A record that no datagram carries is neither lost nor in the way of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_a_datagram_is_named_in_it() {
    let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let address = receiver.local_addr().expect("an address");
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 1).await;
    // As much as a record holds, of marks that a line has as escapes twice as long.
    let marks = "\u{202e}".repeat(10_900);
    let hostile = Entry::new("FrontChannel", Outcome::Refused).with_detail("path", marks);
    let hostile = recorder.record(hostile).await.expect("records");
    record_some(&recorder, 1).await;
    recorder.close().await.expect("closes");
    let deliveries = fixture
        .deliveries(json!({"exports": [
            {"name": "log", "format": "cloudtrail", "to": {"syslog": {"address": format!("udp://{address}")}}},
        ]}))
        .await;
    let (mut taken, mut buffer) = (BTreeMap::new(), vec![0; 70_000]);
    let all = fixture.ids().await;
    while taken.len() < all.len() {
        let arrival = tokio::time::timeout(Duration::from_secs(30), receiver.recv(&mut buffer));
        let length = arrival.await.expect("in time").expect("a datagram");
        let message = String::from_utf8_lossy(&buffer[..length]);
        let (_, line) = message.split_once("] ").expect("structured data");
        let line: Value = serde_json::from_str(line).expect("JSON");
        let id = line["id"]
            .as_str()
            .or(line["additionalEventData"]["recordId"].as_str());
        taken.insert(id.expect("an id").to_owned(), line.clone());
    }
    deliveries.close().await;
    assert_eq!(taken.keys().cloned().collect::<BTreeSet<_>>(), all);
    let instead = &taken[&hostile.to_string()];
    assert!(instead["tooLarge"].as_u64() > Some(60_000), "{instead}");
    assert_eq!(instead["hash"].as_str().map(str::len), Some(64));
    assert_eq!(fixture.status("export log").await.last_error, None);
}

/// The same stream for those who ask: by cursor, to the end, and on from there.
#[tokio::test]
async fn a_collector_reads_on_from_its_cursor_and_misses_nothing() {
    for fixture in fixtures().await {
        let first = fixture.recorder().await;
        let second = fixture.recorder().await;
        let mut cursor: Option<String> = None;
        let mut read = Vec::new();
        for round in 0..12 {
            record_some(if round % 2 == 0 { &first } else { &second }, 5).await;
            if round % 3 == 0 {
                second.checkpoint().await.expect("a checkpoint");
            }
            let (records, next) = read_on(fixture.pool(), cursor.as_deref(), 4)
                .await
                .expect("reads");
            read.extend(records);
            cursor = Some(next);
        }
        first.close().await.expect("closes");
        second.close().await.expect("closes");
        loop {
            let (records, next) = read_on(fixture.pool(), cursor.as_deref(), 4)
                .await
                .expect("reads");
            cursor = Some(next);
            if records.is_empty() {
                break;
            }
            read.extend(records);
        }
        let ids: Vec<String> = read.iter().map(|record| record.id.to_string()).collect();
        let distinct: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(distinct, fixture.ids().await, "{}", fixture.db.name);
        assert_eq!(ids.len(), distinct.len(), "{}: none twice", fixture.db.name);
        let (again, _) = read_on(fixture.pool(), None, 1000).await.expect("reads");
        assert_eq!(
            again
                .iter()
                .map(|record| record.id.to_string())
                .collect::<Vec<_>>(),
            ids,
            "{}: the order never changes",
            fixture.db.name
        );
        for bad in ["", "x", "1.2", "-1..0", "99999..0", "1..0.0", "1.é.0"] {
            assert!(read_on(fixture.pool(), Some(bad), 4).await.is_err(), "{bad}");
        }
    }
}
