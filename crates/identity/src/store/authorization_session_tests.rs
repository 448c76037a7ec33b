//! The conformance suite of the store of authorization sessions: the same on both engines.

use std::time::Duration;

use countersign_crypto::{Timestamp, UserKey, sha256};
use countersign_db::testing::TestDatabase;
use countersign_db::{Pool, migrate};
use futures_util::future::join_all;

use super::authorization_session::{self as sessions, Ending, HeldCode, Opened, SessionRow};
use super::{MIGRATIONS, OWNER};
use crate::session::Status;

pub(super) const BROWSER: [u8; 32] = [1; 32];
const OTHER_BROWSER: [u8; 32] = [2; 32];
const LIMIT: i64 = 20;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(secs))
}

async fn databases() -> Vec<TestDatabase> {
    let databases = countersign_db::testing::databases().await;
    for database in &databases {
        migrate(&database.pool, OWNER, MIGRATIONS, at(0).as_micros())
            .await
            .expect(database.name);
    }
    databases
}

pub(super) fn session(id: &str) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        account: "000000000000".to_owned(),
        workload_id: "w".to_owned(),
        workload_name: "agent".to_owned(),
        provider_id: "p".to_owned(),
        provider_name: "vendor".to_owned(),
        provider_version: 3,
        user_key: UserKey::id("alice"),
        person: Some("idp:alice".to_owned()),
        sid: Some("sid".to_owned()),
        vault_key: [7; 32],
        slot: [8; 32],
        request: [9; 32],
        scopes: vec!["read".to_owned(), "write".to_owned()],
        return_url: "https://app.example/back".to_owned(),
        forced: false,
        uri_hash: sha256(format!("uri {id}").as_bytes()),
        state_hash: sha256(format!("state {id}").as_bytes()),
        browser_hash: None,
        secrets: vec![1, 2, 3],
        code: None,
        status: Status::Created,
        reason: None,
        error: None,
        grant_id: None,
        created_at: at(0),
        deadline: at(600),
        ended_at: None,
    }
}

pub(super) async fn opened(pool: &Pool, new: &SessionRow, now: Timestamp) -> Opened {
    sessions::open(pool, new, LIMIT, now)
        .await
        .expect("the store answers")
}

async fn status(pool: &Pool, id: &str) -> Status {
    sessions::find(pool, id)
        .await
        .expect("the store answers")
        .expect("the session")
        .status
}

pub(super) async fn hold(pool: &Pool, new: &SessionRow, browser: &[u8; 32], now: Timestamp) -> bool {
    let held = HeldCode {
        code: b"sealed",
        handle_hash: &sha256(new.id.as_bytes()),
        deadline: at(300),
    };
    sessions::hold_code(pool, new, browser, held, now)
        .await
        .expect("the store answers")
}

async fn end(pool: &Pool, id: &str, from: Status, to: Status) -> bool {
    let ending = Ending {
        status: to,
        reason: "test",
        error: Some("access_denied"),
    };
    sessions::end(pool, id, from, ending, None, at(1))
        .await
        .expect("the store answers")
}

#[tokio::test]
async fn a_session_is_read_as_it_was_written_and_found_by_each_hash() {
    for database in databases().await {
        let pool = &database.pool;
        let new = session("1");
        assert!(matches!(opened(pool, &new, at(0)).await, Opened::Inserted));
        let by_uri = sessions::find_by_uri(pool, &new.uri_hash)
            .await
            .expect("answers")
            .expect("by URI");
        assert_eq!(format!("{by_uri:?}"), format!("{new:?}"), "{}", database.name);
        assert!(
            sessions::find_by_state(pool, &new.state_hash)
                .await
                .expect("answers")
                .is_some()
        );
        assert!(
            sessions::find_by_handle(pool, &sha256(b"1"))
                .await
                .expect("answers")
                .is_none(),
            "no handle yet"
        );
        assert!(
            sessions::start(pool, "1", &BROWSER, at(1))
                .await
                .expect("answers")
        );
        assert!(hold(pool, &new, &BROWSER, at(2)).await);
        let held = sessions::find_by_handle(pool, &sha256(b"1"))
            .await
            .expect("answers")
            .expect("by handle");
        assert_eq!(
            (held.status, held.code.as_deref(), held.deadline),
            (Status::CodeHeld, Some(&b"sealed"[..]), at(300))
        );
    }
}

#[tokio::test]
async fn of_equal_concurrent_requests_one_opens_the_session() {
    for database in databases().await {
        let news: Vec<SessionRow> = (0..20).map(|number| session(&format!("s{number}"))).collect();
        let all = join_all(news.iter().map(|new| opened(&database.pool, new, at(0)))).await;
        let inserted = all
            .iter()
            .filter(|opened| matches!(opened, Opened::Inserted))
            .count();
        let existing = all
            .iter()
            .filter(|opened| matches!(opened, Opened::Existing(_)))
            .count();
        assert_eq!((inserted, existing), (1, 19), "{}", database.name);
    }
}

#[tokio::test]
async fn a_slot_is_superseded_by_force_or_another_request_and_never_once_a_code_is_held() {
    for database in databases().await {
        let pool = &database.pool;
        let other = SessionRow {
            request: [10; 32],
            ..session("2")
        };
        let forced = SessionRow {
            forced: true,
            request: [10; 32],
            ..session("3")
        };
        assert!(matches!(
            opened(pool, &session("1"), at(0)).await,
            Opened::Inserted
        ));
        assert!(matches!(opened(pool, &other, at(0)).await, Opened::Inserted));
        assert_eq!(status(pool, "1").await, Status::Superseded, "{}", database.name);
        assert!(
            sessions::start(pool, "2", &BROWSER, at(0))
                .await
                .expect("answers")
        );
        assert!(matches!(opened(pool, &forced, at(0)).await, Opened::Inserted));
        assert_eq!(status(pool, "2").await, Status::Superseded);
        assert!(
            sessions::start(pool, "3", &BROWSER, at(0))
                .await
                .expect("answers")
        );
        assert!(hold(pool, &forced, &BROWSER, at(0)).await);
        assert!(matches!(
            opened(
                pool,
                &SessionRow {
                    forced: true,
                    ..session("4")
                },
                at(0)
            )
            .await,
            Opened::Inserted
        ));
        assert_eq!(status(pool, "3").await, Status::CodeHeld);
        // One that lapsed is replaced, as expired, not as superseded.
        let later = SessionRow {
            deadline: at(1200),
            ..session("5")
        };
        assert!(matches!(opened(pool, &later, at(600)).await, Opened::Inserted));
        assert_eq!(status(pool, "4").await, Status::Expired);
    }
}

#[tokio::test]
async fn b12_a_person_has_so_many_live_sessions_and_no_more() {
    for database in databases().await {
        for number in 0..3_u8 {
            let new = SessionRow {
                slot: [number; 32],
                ..session(&number.to_string())
            };
            let opened = sessions::open(&database.pool, &new, 2, at(0))
                .await
                .expect("answers");
            assert_eq!(
                matches!(opened, Opened::TooMany),
                number == 2,
                "{}",
                database.name
            );
        }
        let new = SessionRow {
            slot: [9; 32],
            deadline: at(1200),
            ..session("9")
        };
        assert!(matches!(
            sessions::open(&database.pool, &new, 2, at(600)).await,
            Ok(Opened::Inserted)
        ));
    }
}

#[tokio::test]
async fn each_arrow_leaves_from_its_own_status_in_its_own_browser_and_time() {
    for database in databases().await {
        let pool = &database.pool;
        let new = session("1");
        opened(pool, &new, at(0)).await;
        assert!(!hold(pool, &new, &BROWSER, at(1)).await, "not started");
        assert!(
            !sessions::start(pool, "1", &BROWSER, at(600))
                .await
                .expect("answers"),
            "expired"
        );
        assert!(
            sessions::start(pool, "1", &BROWSER, at(1))
                .await
                .expect("answers")
        );
        assert!(
            sessions::start(pool, "1", &BROWSER, at(2))
                .await
                .expect("answers"),
            "the same browser again"
        );
        assert!(
            !sessions::start(pool, "1", &OTHER_BROWSER, at(2))
                .await
                .expect("answers")
        );
        assert!(
            !sessions::begin_exchange(pool, "1", at(60), at(2))
                .await
                .expect("answers"),
            "no code"
        );
        assert!(!hold(pool, &new, &OTHER_BROWSER, at(3)).await);
        assert!(!hold(pool, &new, &BROWSER, at(600)).await);
        assert!(hold(pool, &new, &BROWSER, at(3)).await);
        assert!(!hold(pool, &new, &BROWSER, at(3)).await, "a code is held");
        assert!(
            !sessions::start(pool, "1", &BROWSER, at(3))
                .await
                .expect("answers")
        );
        assert!(
            !sessions::begin_exchange(pool, "1", at(400), at(300))
                .await
                .expect("answers"),
            "the code is too old"
        );
        assert!(
            sessions::begin_exchange(pool, "1", at(90), at(30))
                .await
                .expect("answers")
        );
        let exchanging = sessions::find(pool, "1")
            .await
            .expect("answers")
            .expect("the session");
        assert_eq!(
            (exchanging.status, exchanging.code),
            (Status::Exchanging, None),
            "the code is gone"
        );
        let mut tx = pool.begin().await.expect("a transaction");
        assert!(
            sessions::complete(&mut tx, "1", "g", at(31))
                .await
                .expect("answers")
        );
        assert!(
            !sessions::complete(&mut tx, "1", "h", at(31))
                .await
                .expect("answers")
        );
        tx.commit().await.expect("committed");
        assert!(!end(pool, "1", Status::Exchanging, Status::Failed).await);
        assert_eq!(status(pool, "1").await, Status::Completed, "{}", database.name);
    }
}

#[tokio::test]
async fn b02_of_concurrent_exchanges_one_begins() {
    for database in databases().await {
        let pool = &database.pool;
        let new = session("1");
        opened(pool, &new, at(0)).await;
        sessions::start(pool, "1", &BROWSER, at(0))
            .await
            .expect("answers");
        hold(pool, &new, &BROWSER, at(0)).await;
        let all = join_all((0..30).map(|_| sessions::begin_exchange(pool, "1", at(60), at(1)))).await;
        assert_eq!(
            all.into_iter().filter(|begun| matches!(begun, Ok(true))).count(),
            1,
            "{}",
            database.name
        );
    }
}

#[tokio::test]
async fn b10_what_lapses_ends_and_a_dead_process_exchange_has_failed() {
    for database in databases().await {
        let pool = &database.pool;
        for (number, id) in [(1, "waiting"), (2, "held"), (3, "exchanging")] {
            let new = SessionRow {
                slot: [number; 32],
                ..session(id)
            };
            opened(pool, &new, at(0)).await;
            if number > 1 {
                sessions::start(pool, id, &BROWSER, at(0)).await.expect("answers");
                hold(pool, &new, &BROWSER, at(0)).await;
            }
        }
        sessions::begin_exchange(pool, "exchanging", at(60), at(0))
            .await
            .expect("answers");
        assert_eq!(sessions::expire_due(pool, at(59)).await.expect("answers"), 0);
        assert_eq!(sessions::expire_due(pool, at(60)).await.expect("answers"), 1);
        assert_eq!(sessions::expire_due(pool, at(600)).await.expect("answers"), 2);
        for (id, expected) in [
            ("waiting", Status::Expired),
            ("held", Status::Expired),
            ("exchanging", Status::Failed),
        ] {
            let ended = sessions::find(pool, id)
                .await
                .expect("answers")
                .expect("the session");
            assert_eq!(
                (ended.status, ended.code),
                (expected, None),
                "{}: {id}",
                database.name
            );
        }
        assert_eq!(sessions::purge(pool, at(600)).await.expect("answers"), 1);
        assert_eq!(sessions::purge(pool, at(601)).await.expect("answers"), 2);
    }
}
