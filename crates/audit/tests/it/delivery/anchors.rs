//! Checkpoints kept elsewhere, and what they find.

use countersign_audit::delivery::{EvidenceConfig, Kept, LockCheck, lock_of};
use serde_json::json;

use super::parts::{Rsyslog, S3};
use super::until;
use crate::fixture::{Fixture, fixtures, record_some, token_use};

/// D16: what is anchored outside finds a tail that was cut off together with the checkpoints that named it.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_reach_a_file_elsewhere_and_find_a_truncated_tail() {
    for fixture in fixtures().await {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let kept = elsewhere.path().join("kept");
        let recorder = fixture.recorder().await;
        record_some(&recorder, 3).await;
        recorder.checkpoint().await.expect("a checkpoint");
        let deliveries = fixture
            .deliveries(json!({"anchors": [{"name": "elsewhere", "to": {"file": kept}}]}))
            .await;
        record_some(&recorder, 3).await;
        // The last checkpoint is handed over as well: the recorder closes first.
        recorder.close().await.expect("closes");
        deliveries.close().await;

        let text = Kept::read(&kept).expect("is there").0;
        assert_eq!(text, fixture.lines().await, "{}: the same lines", fixture.db.name);
        assert_eq!(fixture.status("anchor elsewhere").await.behind, 0);
        assert!(fixture.verify_against(&text).await.ok);

        fixture
            .tamper("DELETE FROM audit_checkpoint WHERE number = 2")
            .await;
        fixture.tamper("DELETE FROM audit_record WHERE seq > 4").await;
        assert!(
            fixture.verify_alone().await.ok,
            "{}: by itself it looks whole",
            fixture.db.name
        );
        let report = fixture.verify_against(&text).await;
        assert!(!report.ok, "{}", fixture.db.name);
        assert!(
            report.faults[0].what.contains("rolled back") || report.faults[0].what.contains("truncated"),
            "{report}"
        );
    }
}

/// "A checkpoint of another system" of the bad input, wherever it was kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_system_is_named() {
    let (ours, other) = (Fixture::new_sqlite().await, Fixture::new_sqlite().await);
    for fixture in [&ours, &other] {
        let recorder = fixture.recorder().await;
        record_some(&recorder, 2).await;
        recorder.close().await.expect("closes");
    }
    let report = ours.verify_against(&other.lines().await).await;
    assert!(!report.ok);
    assert!(report.faults[0].what.contains("exchanged"), "{report}");
    let both = format!("{}{}", ours.lines().await, other.lines().await);
    assert!(
        !ours.verify_against(&both).await.ok,
        "beside one of our own as well"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_checkpoints_under_object_lock_and_shows_a_fork() {
    let s3 = S3::start();
    s3.bucket(&["create-locked", "worm"]);
    s3.bucket(&["create", "plain"]);
    let fixture = Fixture::new_sqlite().await;
    let to = |bucket: &str| {
        json!({"s3": {
            "bucket": bucket, "prefix": "trail/", "region": "us-east-1", "endpoint": s3.endpoint(),
            "access_key_id": "x", "secret_access_key": "y",
            "lock": {"mode": "compliance", "days": 30},
        }})
    };
    let config = json!({"anchors": [{"name": "worm", "to": to("worm")}]});
    let recorder = fixture.recorder().await;
    record_some(&recorder, 3).await;
    recorder.checkpoint().await.expect("a checkpoint");
    let deliveries = fixture.deliveries(config.clone()).await;
    record_some(&recorder, 1).await;
    recorder.checkpoint().await.expect("a checkpoint");
    until("two objects", async || {
        let status = fixture.status("anchor worm").await;
        assert_eq!(status.last_error, None);
        status.behind == 0
    })
    .await;
    deliveries.close().await;

    let keys = s3.bucket(&["keys", "worm"]);
    let first = keys.lines().next().expect("a key");
    assert!(
        first.starts_with("trail/") && first.ends_with("/identity-000000000001.json"),
        "{first}"
    );
    let retention = s3.bucket(&["retention", "worm", first]);
    // START is 2023-11-14; a month on.
    assert!(retention.starts_with("COMPLIANCE 2023-12-14"), "{retention}");
    let kept: String = keys.lines().map(|key| s3.bucket(&["get", "worm", key])).collect();
    assert_eq!(kept, fixture.lines().await);

    // Asking again is no error; another content under the same number is a fork, and nothing is overwritten.
    fixture
        .tamper("UPDATE evidence_delivery SET checkpoint_number = 0")
        .await;
    let again = fixture.deliveries(config.clone()).await;
    until("done again", async || {
        fixture.status("anchor worm").await.behind == 0
    })
    .await;
    again.close().await;
    fixture
        .tamper("UPDATE evidence_delivery SET checkpoint_number = 0")
        .await;
    fixture
        .tamper("UPDATE audit_checkpoint SET signature = 'forged' WHERE number = 1")
        .await;
    let forked = fixture.deliveries(config).await;
    until("the fork is noticed", async || {
        let error = fixture.status("anchor worm").await.last_error;
        error.is_some_and(|error| error.contains("forked"))
    })
    .await;
    drop(forked);
    assert_eq!(
        kept,
        s3.bucket(&["get", "worm", first]) + &s3.bucket(&["get", "worm", keys.lines().nth(1).expect("two")])
    );

    let both: EvidenceConfig = serde_json::from_value(json!({"anchors": [
        {"name": "worm", "to": to("worm")}, {"name": "plain", "to": to("plain")}, {"name": "gone", "to": to("gone")},
    ]}))
    .expect("well-formed");
    let checks = lock_of(&both).await;
    assert_eq!(checks[0], ("worm".to_owned(), LockCheck::Locked));
    assert_eq!(checks[1], ("plain".to_owned(), LockCheck::Unlocked));
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_keeps_checkpoints_that_verify_against_its_own_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let rsyslog = Rsyslog::start(directory.path()).await;
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    recorder.record(token_use(1)).await.expect("records");
    recorder.checkpoint().await.expect("a checkpoint");
    let to = |address: String| json!({"syslog": {"address": address, "hostname": "identity-1"}});
    let deliveries = fixture
        .deliveries(json!({"anchors": [
            {"name": "tcp", "to": to(format!("tcp://127.0.0.1:{}", rsyslog.tcp))},
            {"name": "udp", "to": to(format!("udp://127.0.0.1:{}", rsyslog.udp))},
            {"name": "local", "to": to(format!("unix:{}", rsyslog.socket.display()))},
        ]}))
        .await;
    until("three messages", async || {
        rsyslog.text().matches("{\"checkpoint\":").count() == 3
    })
    .await;
    recorder.close().await.expect("closes");
    deliveries.close().await;
    let text = rsyslog.text();
    assert!(
        text.contains("identity-1 countersign Checkpoint [countersign@32473 role=\"identity\""),
        "{text}"
    );
    let kept = Kept::read(&rsyslog.log).expect("is there").0;
    assert!(
        fixture.verify_against(&kept).await.ok,
        "{}",
        fixture.verify_against(&kept).await
    );
    // One line changed on its way back is seen.
    let changed = kept.replacen("\"writers\":1", "\"writers\":2", 1);
    assert!(!fixture.verify_against(&changed).await.ok);
}

/// The journal's own protocol: one datagram an entry, in which no value begins a field of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_gets_one_entry_a_checkpoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("journal");
    let journal = tokio::net::UnixDatagram::bind(&socket).expect("binds");
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    recorder.record(token_use(1)).await.expect("records");
    recorder.checkpoint().await.expect("a checkpoint");
    let deliveries = fixture
        .deliveries(json!({"anchors": [{"name": "journal", "to": {"journald": {"socket": socket}}}]}))
        .await;
    let mut entry = vec![0; 1 << 16];
    let read = tokio::time::timeout(std::time::Duration::from_secs(30), journal.recv(&mut entry)).await;
    let length = read.expect("in time").expect("an entry");
    let entry = String::from_utf8(entry[..length].to_vec()).expect("text");
    let fields: Vec<&str> = entry.lines().collect();
    assert!(fields[0].starts_with("MESSAGE={\"checkpoint\":"), "{entry}");
    assert!(fields.contains(&"SYSLOG_IDENTIFIER=countersign"), "{entry}");
    assert!(fields.contains(&"COUNTERSIGN_ROLE=identity"), "{entry}");
    assert_eq!(
        format!("{}\n", &fields[0]["MESSAGE=".len()..]),
        fixture.lines().await
    );
    deliveries.close().await;
}
