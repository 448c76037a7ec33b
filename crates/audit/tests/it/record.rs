use countersign_audit::tail::{Filter, list};
use countersign_audit::{AuditError, Entry, Outcome, Recorder};

use countersign_db::{Engine, Pool};

use crate::fixture::{Fixture, fixtures, record_some, token_use};

#[tokio::test]
async fn a_record_is_on_disk_when_it_is_acknowledged() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let id = recorder.record(token_use(1)).await.expect("records");
        let page = list(fixture.pool(), &Filter::default(), None, 10)
            .await
            .expect("lists");
        let record = page.records.last().expect("there");
        assert_eq!(record.id, id, "{}", fixture.db.name);
        assert_eq!(record.id.seq, 2, "after OpenAuditWriter");
        assert_eq!(record.action, "GetResourceOauth2Token");
        assert_eq!(record.account, "000000000000");
        assert_eq!(record.request_id.as_deref(), Some("request-1"));
        assert_eq!(record.detail["scopes"][0], "issues:read");
        assert_eq!(
            record.source, None,
            "an address that belongs to a person is sealed"
        );
    }
}

#[tokio::test]
async fn concurrent_records_share_commits_and_each_gets_its_own_place() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        // The person's key is known then; two thousand who all look for it wait for connections, not for commits.
        record_some(&recorder, 1).await;
        let tasks: Vec<_> = (0..2000)
            .map(|n| {
                let recorder = recorder.clone();
                tokio::spawn(async move { recorder.record(token_use(n)).await })
            })
            .collect();
        let mut places = std::collections::BTreeSet::new();
        for task in tasks {
            places.insert(task.await.expect("no panic").expect("records").seq);
        }
        assert_eq!(places.len(), 2000, "{}", fixture.db.name);
        recorder.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
        assert_eq!(report.records, 2002);
        assert_eq!(
            report.anchored.as_ref().map(|anchor| anchor.records_after),
            Some(0)
        );
        assert_eq!(report.anchored_outside, report.anchored);
    }
}

/// D15: no record, no token. And the chain goes on, unbroken, when the store is back.
#[tokio::test]
async fn a_failed_commit_reaches_every_waiter_and_the_chain_goes_on() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        record_some(&recorder, 3).await;
        fixture
            .tamper("ALTER TABLE audit_record RENAME TO elsewhere")
            .await;
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let recorder = recorder.clone();
                tokio::spawn(async move { recorder.record(token_use(n)).await })
            })
            .collect();
        for task in tasks {
            let outcome = task.await.expect("no panic");
            assert!(
                matches!(outcome, Err(AuditError::NotWritten)),
                "{}: {outcome:?}",
                fixture.db.name
            );
        }
        fixture
            .tamper("ALTER TABLE elsewhere RENAME TO audit_record")
            .await;
        let id = recorder.record(token_use(0)).await.expect("records again");
        assert_eq!(id.seq, 5, "{}", fixture.db.name);
        recorder.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
    }
}

/// The commit happened and its acknowledgement was lost: the next batch goes on after it.
#[tokio::test]
async fn a_commit_of_unknown_outcome_is_looked_up() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        record_some(&recorder, 1).await;
        let rows = "SELECT writer, seq + 1, recorded_at, role, account, region, action, outcome, reason, principal, \
                    request_id, trace_id, source, sid, workload, provider, session_id, grant_id, person, personal, \
                    detail, previous, hash FROM audit_record WHERE seq = 2";
        // A row in the next place, as an unacknowledged commit leaves it (its hash is of no interest here).
        fixture.tamper(&format!("INSERT INTO audit_record {rows}")).await;
        let refused = recorder.record(token_use(0)).await;
        assert!(
            matches!(refused, Err(AuditError::NotWritten)),
            "{}",
            fixture.db.name
        );
        let id = recorder
            .record(token_use(0))
            .await
            .expect("goes on after what it found");
        assert_eq!(id.seq, 4, "{}", fixture.db.name);
    }
}

#[tokio::test]
async fn after_close_nothing_is_recorded() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let other = recorder.clone();
        recorder.close().await.expect("closes");
        assert!(
            matches!(other.record(token_use(0)).await, Err(AuditError::Closed)),
            "{}",
            fixture.db.name
        );
    }
}

#[tokio::test]
async fn entries_that_cannot_be_kept_are_refused() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let nobody = Entry::new("Login", Outcome::Done).with_personal("email", "a@b");
        assert!(matches!(recorder.record(nobody).await, Err(AuditError::NoPerson)));
        let large = Entry::new("Login", Outcome::Done).with_detail("x", "y".repeat(40_000));
        assert!(matches!(recorder.record(large).await, Err(AuditError::TooLarge)));
        // Hostile headers neither fail the batch nor the reader.
        let hostile = Entry::new("Login", Outcome::Refused)
            .with_request_id(format!("a\0{}", "é".repeat(5000)))
            .with_detail("agent", "nul \0 and \u{1b}[2J");
        let id = recorder.record(hostile).await.expect("records");
        let page = list(fixture.pool(), &Filter::default(), None, 10)
            .await
            .expect("lists");
        let record = page.records.iter().find(|record| record.id == id).expect("there");
        assert!(
            record
                .request_id
                .as_ref()
                .is_some_and(|id| id.len() <= 2048 && !id.contains('\0'))
        );
        assert!(!record.to_string().contains('\u{1b}'));
        recorder.close().await.expect("closes");
        assert!(fixture.verify().await.ok, "{}", fixture.db.name);
    }
}

/// No final checkpoint, nothing lost, and the next writer goes on.
#[test]
fn a_crash_without_a_last_checkpoint_still_verifies() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (outer, mut fixtures) = {
        let outer = runtime();
        let fixtures = outer.block_on(fixtures());
        // Dies with everything under way.
        let doomed = runtime();
        for fixture in &fixtures {
            doomed.block_on(async {
                let recorder: Recorder = fixture.recorder().await;
                record_some(&recorder, 5).await;
                recorder.checkpoint().await.expect("a checkpoint");
                record_some(&recorder, 3).await;
                std::mem::forget(recorder);
            });
        }
        doomed.shutdown_background();
        (outer, fixtures)
    };
    outer.block_on(async {
        for fixture in &mut fixtures {
            // Connections to PostgreSQL die with the runtime that opened them; those of SQLite have threads of their
            // own.
            if fixture.db.engine() == Engine::Postgres {
                fixture.db.pool = Pool::connect(&fixture.db.database).await.expect("reconnects");
            }
            let report = fixture.verify().await;
            assert!(report.ok, "{report}");
            assert_eq!(
                report.anchored.map(|anchor| anchor.records_after),
                Some(3),
                "{}",
                fixture.db.name
            );
            let next = fixture.recorder().await;
            next.close().await.expect("closes");
            let report = fixture.verify().await;
            assert!(report.ok, "{report}");
            assert_eq!(
                report.anchored.map(|anchor| anchor.records_after),
                Some(0),
                "{}",
                fixture.db.name
            );
        }
    });
    drop(fixtures);
}

#[tokio::test]
async fn checkpoints_follow_activity_by_themselves() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 2).await;
    assert_eq!(fixture.lines().await, "", "not at once");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(13);
    while fixture.lines().await.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "a checkpoint within ten seconds of activity"
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(fixture.verify().await.ok);
}

#[tokio::test]
async fn listing_pages_filters_and_goes_on_from_a_record() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        for n in 0..25 {
            fixture.clock.advance(std::time::Duration::from_secs(1));
            record_some(&recorder, 1 + n % 3).await;
        }
        let all = list(fixture.pool(), &Filter::default(), None, 1000)
            .await
            .expect("lists")
            .records;
        let mut paged = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = list(fixture.pool(), &Filter::default(), after.as_deref(), 7)
                .await
                .expect("lists");
            if page.records.is_empty() {
                break;
            }
            paged.extend(page.records);
            after = page.cursor;
        }
        assert_eq!(paged, all, "{}", fixture.db.name);

        let newest = Filter {
            newest_first: true,
            ..Filter::default()
        };
        let first = list(fixture.pool(), &newest, None, 3).await.expect("lists");
        let second = list(fixture.pool(), &newest, first.cursor.as_deref(), 3)
            .await
            .expect("lists");
        let reversed: Vec<_> = all.iter().rev().take(6).cloned().collect();
        assert_eq!(
            [first.records, second.records].concat(),
            reversed,
            "{}",
            fixture.db.name
        );

        let refused = Filter {
            outcome: Some("refused".to_owned()),
            ..Filter::default()
        };
        let refused = list(fixture.pool(), &refused, None, 1000)
            .await
            .expect("lists")
            .records;
        assert_eq!(
            refused.len(),
            all.iter().filter(|record| record.outcome == "refused").count()
        );
        assert!(!refused.is_empty());

        let id = recorder.record(token_use(99)).await.expect("records");
        let later = list(fixture.pool(), &Filter::default(), after.as_deref(), 10)
            .await
            .expect("lists");
        assert_eq!(later.records.len(), 1, "{}", fixture.db.name);
        assert_eq!(later.records[0].id, id);
        let wrong = list(fixture.pool(), &Filter::default(), Some("nonsense"), 10).await;
        assert!(matches!(wrong, Err(AuditError::Cursor)));
    }
}
