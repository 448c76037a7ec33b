use std::time::Duration;

use countersign_audit::tail::{Filter, list};
use countersign_audit::{Entry, Outcome};
use countersign_crypto::UserKey;

use crate::fixture::{Fixture, fixtures};

/// D15: strangers cannot fill the disk.
#[tokio::test]
async fn ten_refusals_of_a_stranger_a_minute_and_one_summary() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let refusal = || {
            Entry::new("GetResourceOauth2Token", Outcome::Refused)
                .with_reason("signature_mismatch")
                .with_person(UserKey::id("a name the stranger made up"))
                .with_personal("userId", "a name the stranger made up")
        };
        for _ in 0..500 {
            recorder.record_unauthenticated_refusal("192.0.2.66", refusal());
        }
        fixture.clock.advance(Duration::from_mins(1));
        recorder.record_unauthenticated_refusal("192.0.2.66", refusal());
        recorder.close().await.expect("closes");

        let refused = Filter {
            outcome: Some("refused".to_owned()),
            ..Filter::default()
        };
        let records = list(fixture.pool(), &refused, None, 1000)
            .await
            .expect("lists")
            .records;
        let summaries: Vec<_> = records
            .iter()
            .filter(|record| record.action == "SummarizeRefusals")
            .collect();
        assert_eq!(
            records.len(),
            12,
            "{}: ten, a summary, and one of the next minute",
            fixture.db.name
        );
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].detail["count"], 490);
        assert_eq!(summaries[0].reason.as_deref(), Some("signature_mismatch"));
        assert!(
            records
                .iter()
                .all(|record| record.source.as_deref() == Some("192.0.2.66"))
        );
        assert!(
            records.iter().all(|record| record.person.is_none()),
            "an unproven name is not evidence"
        );
        assert!(fixture.verify().await.ok, "{}", fixture.db.name);
    }
}

/// 10,000 refusals of as many strangers at once: the disk gets a bounded number of records, and who is known is
/// recorded meanwhile as ever.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_strangers_neither_fill_the_disk_nor_hold_up_anybody() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let flood = {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                for n in 0..10_000_u32 {
                    let source = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
                    let refusal = Entry::new("GetResourceOauth2Token", Outcome::Refused)
                        .with_reason("signature_mismatch");
                    recorder.record_unauthenticated_refusal(&source, refusal);
                    if n % 100 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        };
        for n in 0..50 {
            let acknowledged = recorder.record(crate::fixture::token_use(n)).await;
            acknowledged.expect("somebody known is not held up");
        }
        flood.await.expect("no panic");
        recorder.close().await.expect("closes");
        let mut filter = Filter {
            reason: Some("signature_mismatch".to_owned()),
            ..Filter::default()
        };
        let mut refused = Vec::new();
        let mut after = None;
        loop {
            let page = list(fixture.pool(), &filter, after.as_deref(), 1000)
                .await
                .expect("lists");
            if page.records.is_empty() {
                break;
            }
            refused.extend(page.records);
            after = page.cursor;
        }
        let (summaries, single): (Vec<_>, Vec<_>) = refused
            .into_iter()
            .partition(|record| record.action == "SummarizeRefusals");
        assert!(single.len() <= 1000, "{}: {}", fixture.db.name, single.len());
        let counted: i64 = summaries
            .iter()
            .filter_map(|record| record.detail["count"].as_i64())
            .sum();
        let single = i64::try_from(single.len()).expect("few");
        assert_eq!(
            single + counted,
            10_000,
            "{}: each is a record or counted",
            fixture.db.name
        );
        filter.reason = None;
        filter.action = Some("GetResourceOauth2Token".to_owned());
        filter.outcome = Some("done".to_owned());
        let known = list(fixture.pool(), &filter, None, 1000)
            .await
            .expect("lists")
            .records;
        assert_eq!(known.len(), 50, "{}", fixture.db.name);
        assert!(fixture.verify().await.ok, "{}", fixture.db.name);
    }
}

/// The writer is behind: a minute ends, and then the recorder itself, while the queue has no room.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_while_the_queue_was_full_is_told_later() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    let mut sent = 0;
    let mut flood = |per_source: usize| {
        for source in 0..200 {
            for _ in 0..per_source {
                let refusal =
                    Entry::new("GetResourceOauth2Token", Outcome::Refused).with_reason("signature_mismatch");
                recorder.record_unauthenticated_refusal(&format!("192.0.2.{source}"), refusal);
                sent += 1;
            }
        }
    };
    for _ in 0..2 {
        // The one connection that writes.
        let writes = fixture.pool().begin().await.expect("begins");
        flood(20);
        fixture.clock.advance(Duration::from_mins(1));
        // With the first of these the minute has ended.
        flood(1);
        drop(writes);
        recorder.checkpoint().await.expect("a checkpoint");
        recorder
            .record(crate::fixture::token_use(1))
            .await
            .expect("behind all that was queued");
        fixture.clock.advance(Duration::from_mins(1));
    }
    let writes = fixture.pool().begin().await.expect("begins");
    flood(20);
    let closing = tokio::spawn(recorder.clone().close());
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(writes);
    closing.await.expect("no panic").expect("closes");

    let filter = Filter {
        reason: Some("signature_mismatch".to_owned()),
        ..Filter::default()
    };
    let (mut single, mut counted, mut after) = (0, 0, None);
    loop {
        let page = list(fixture.pool(), &filter, after.as_deref(), 1000)
            .await
            .expect("lists");
        if page.records.is_empty() {
            break;
        }
        for record in page.records {
            match record.detail.get("count").and_then(serde_json::Value::as_i64) {
                Some(count) => counted += count,
                None => single += 1,
            }
        }
        after = page.cursor;
    }
    assert_eq!(single + counted, sent, "{single} records and {counted} counted");
}
