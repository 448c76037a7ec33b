use std::sync::Arc;

use countersign_audit::retention::forget_inactive;
use countersign_audit::tail::{Filter, list};
use countersign_audit::{PersonKeys, Personal, Record, forget};
use countersign_crypto::UserKey;
use countersign_db::Database;

use crate::fixture::{Fixture, fixtures, token_use};

fn alice() -> UserKey {
    UserKey::jwt("https://idp.example", "alice")
}

async fn uses(fixture: &Fixture, keys: &PersonKeys) -> Vec<Record> {
    let filter = Filter {
        action: Some("GetResourceOauth2Token".to_owned()),
        ..Filter::default()
    };
    let mut records = list(fixture.pool(), &filter, None, 100)
        .await
        .expect("lists")
        .records;
    keys.open(&mut records).await.expect("opens");
    records
}

#[tokio::test]
async fn an_operator_reads_personal_details_until_the_person_is_forgotten() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        recorder.record(token_use(1)).await.expect("records");
        recorder.record(token_use(2)).await.expect("records");
        let keys = PersonKeys::new(fixture.pool(), Arc::clone(&fixture.persons));

        let before = uses(&fixture, &keys).await;
        let Personal::Opened(values) = &before[0].personal else {
            panic!("{}: sealed", fixture.db.name)
        };
        assert_eq!(values["email"], "alice@canary.example");
        assert_eq!(values["source"], "192.0.2.7");
        let pseudonym = keys.pseudonym(&alice()).await.expect("reads");
        assert!(
            before.iter().all(|record| record.person == pseudonym),
            "{}",
            fixture.db.name
        );
        assert_eq!(keys.pseudonym(&UserKey::id("bob")).await.expect("reads"), None);

        let now = fixture.clock_now();
        assert!(
            forget(fixture.pool(), &fixture.persons, &alice(), now)
                .await
                .expect("forgets")
        );
        assert!(
            !forget(fixture.pool(), &fixture.persons, &alice(), now)
                .await
                .expect("nothing left")
        );
        assert_eq!(keys.pseudonym(&alice()).await.expect("reads"), None);
        let after = uses(&fixture, &keys).await;
        assert!(
            after.iter().all(|record| record.personal == Personal::Forgotten),
            "{}",
            fixture.db.name
        );

        // The recorder learns it from the change feed; what it records now is under a new key.
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        recorder.record(token_use(3)).await.expect("records");
        let again = uses(&fixture, &keys).await;
        assert!(
            matches!(again[2].personal, Personal::Opened(_)),
            "{}",
            fixture.db.name
        );
        assert_ne!(
            again[2].person, pseudonym,
            "{}: not linked to the forgotten one",
            fixture.db.name
        );

        recorder.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
    }
}

#[tokio::test]
async fn without_the_operators_key_details_stay_sealed() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        recorder.record(token_use(1)).await.expect("records");
        let page = list(fixture.pool(), &Filter::default(), None, 10)
            .await
            .expect("lists");
        assert_eq!(page.records[1].personal, Personal::Sealed);
        let json = serde_json::to_string(&page.records).expect("json");
        assert!(!json.contains("canary") && !json.contains("192.0.2.7"), "{json}");
    }
}

/// Planted personal values and user keys are nowhere in the files, the write-ahead log included.
#[tokio::test]
async fn personal_values_are_nowhere_in_clear() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    let recorder = fixture.recorder().await;
    recorder.record(token_use(1)).await.expect("records");
    let Database::Sqlite { path, .. } = &fixture.db.database else {
        unreachable!("asked for SQLite")
    };
    let mut bytes = fixture.lines().await.into_bytes();
    for suffix in ["", "-wal"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        bytes.extend(std::fs::read(name).expect("the file"));
    }
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"request-1"), "the search finds what is there");
    assert!(!contains(b"canary"));
    assert!(!contains(b"192.0.2.7"));
    assert!(!contains(alice().as_bytes()));
    assert!(!contains(alice().to_hex().as_bytes()));
}

/// Retention of personal details: whoever has not been seen for so long cannot be read about any more; the others can.
#[tokio::test]
async fn details_of_persons_not_seen_for_long_become_unreadable() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        recorder.record(token_use(1)).await.expect("records");
        let bob = UserKey::jwt("https://idp.example", "bob");
        let seen = |n| {
            let mut entry = token_use(n);
            entry.person = Some(bob);
            entry
        };
        recorder.record(seen(2)).await.expect("records");
        fixture.clock.advance(std::time::Duration::from_hours(24 * 400));
        recorder.record(seen(3)).await.expect("records");
        let now = fixture.clock_now();
        let before = now.minus(std::time::Duration::from_hours(24 * 365));
        let destroyed = forget_inactive(fixture.pool(), before, now)
            .await
            .expect("forgets");
        assert_eq!(destroyed, 1, "{}", fixture.db.name);
        assert_eq!(
            forget_inactive(fixture.pool(), before, now)
                .await
                .expect("nothing left"),
            0
        );

        let keys = PersonKeys::new(fixture.pool(), Arc::clone(&fixture.persons));
        assert_eq!(
            keys.pseudonym(&alice()).await.expect("reads"),
            None,
            "{}",
            fixture.db.name
        );
        assert!(keys.pseudonym(&bob).await.expect("reads").is_some());
        let uses = uses(&fixture, &keys).await;
        assert_eq!(uses[0].personal, Personal::Forgotten);
        assert!(
            matches!(uses[1].personal, Personal::Opened(_)),
            "{}",
            fixture.db.name
        );
        recorder.close().await.expect("closes");
        assert!(
            fixture.verify().await.ok,
            "{}: and the chain verifies",
            fixture.db.name
        );
    }
}
