//! The conformance suite of what waits for a person's second word: the same on both engines.

use countersign_crypto::UserKey;
use countersign_db::{DbError, Pool};
use futures_util::future::join_all;

use super::authorization_session::{self as sessions, SessionRow};
use super::authorization_session_tests::{BROWSER, hold, opened, session};
use super::grant::{self, GrantRow, GrantState};
use super::grant_tests::{at, databases, found, grant as active, insert};
use super::{confirmation, refresh_ledger, revocation};
use crate::session::Status;

/// A grant of another account, made at second 2 by session `1`.
fn waiting(id: &str, session_id: &str) -> GrantRow {
    let mut new = GrantRow {
        session_id: session_id.to_owned(),
        state: GrantState::Unconfirmed,
        created_at: at(2),
        updated_at: at(2),
        ..active(id, 1)
    };
    new.refresh.access_issued_at = Some(at(2));
    new
}

async fn exchanging(pool: &Pool, new: &SessionRow) {
    opened(pool, new, at(0)).await;
    sessions::start(pool, &new.id, &BROWSER, at(0))
        .await
        .expect("answers");
    assert!(hold(pool, new, &BROWSER, at(1)).await);
    let begun = sessions::begin_exchange(pool, &new.id, at(60), at(1)).await;
    assert!(begun.expect("answers"));
}

/// A session that waits, with its grant, beside the live grant `before`.
async fn asked(pool: &Pool) {
    exchanging(pool, &session("1")).await;
    insert(pool, &active("before", 1)).await;
    let mut tx = pool.begin().await.expect("a transaction");
    assert!(
        confirmation::begin(&mut tx, "1", "new", at(602))
            .await
            .expect("answers")
    );
    grant::insert(&mut tx, &waiting("new", "1"))
        .await
        .expect("beside the live one");
    tx.commit().await.expect("committed");
}

async fn yes(pool: &Pool, secs: u64) -> Result<bool, DbError> {
    let mut tx = pool.begin().await?;
    confirmation::lock_connection(&mut tx, &session("1")).await?;
    let said = confirmation::complete(&mut tx, "1", at(secs)).await?
        && confirmation::activate(&mut tx, &waiting("new", "1"), at(secs)).await?;
    tx.commit().await?;
    Ok(said)
}

async fn no(pool: &Pool, secs: u64) -> Result<bool, DbError> {
    let mut tx = pool.begin().await?;
    let ended = confirmation::end(&mut tx, "1", Status::Denied, "account_kept", at(secs)).await?
        && confirmation::hold(&mut tx, "new").await?
        && grant::end(&mut tx, "new", GrantState::Revoked, "account_kept", at(secs)).await?;
    tx.commit().await?;
    Ok(ended)
}

async fn served(pool: &Pool) -> Vec<String> {
    let live = grant::list_by_vault_key(pool, &[7; 32]).await.expect("answers");
    live.into_iter().map(|grant| grant.id).collect()
}

async fn status(pool: &Pool, id: &str) -> (Status, Option<String>) {
    let found = sessions::find(pool, id).await.expect("answers");
    let found = found.expect("the session");
    (found.status, found.reason)
}

#[tokio::test]
async fn what_waits_is_beside_the_live_grant_and_nothing_serves_or_refreshes_it() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        assert_eq!(served(pool).await, ["before"], "{}", database.name);
        assert_eq!(status(pool, "1").await, (Status::Confirming, None));
        let new = found(pool, "new").await;
        assert_eq!(format!("{new:?}"), format!("{:?}", waiting("new", "1")));
        assert!(!new.is_served() && found(pool, "before").await.is_served());
        let claimed = refresh_ledger::claim(pool, &new.id, new.fence, at(90), at(3)).await;
        assert!(matches!(claimed, Ok(None)), "{claimed:?}");
        // It is its person's all the same: whatever ends grants finds it.
        let alices = confirmation::list_of_user(pool, "p", &UserKey::id("alice"))
            .await
            .expect("answers");
        assert_eq!(alices.0.len(), 2);
        let live = grant::list_live_by_user(pool, &UserKey::id("alice"), 10)
            .await
            .expect("answers");
        assert_eq!(live.len(), 2);
        // A second question about the same is possible, too; a second live grant is not.
        insert(pool, &waiting("another", "2")).await;
        let second = GrantRow {
            state: GrantState::Active,
            ..active("second", 1)
        };
        insert(pool, &second).await;
        assert_eq!(served(pool).await, ["second"]);
        assert_eq!(found(pool, "new").await.state, GrantState::Unconfirmed);
    }
}

#[tokio::test]
async fn a_yes_serves_the_new_grant_and_replaces_the_one_before() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        assert!(yes(pool, 3).await.expect("answers"), "{}", database.name);
        assert_eq!(served(pool).await, ["new"]);
        assert_eq!(status(pool, "1").await, (Status::Completed, None));
        let before = found(pool, "before").await;
        assert_eq!(
            (before.state, before.access_token, before.refresh_token),
            (GrantState::Replaced, None, None)
        );
        assert_eq!(found(pool, "new").await.access_token, Some(vec![5]));
        assert!(!yes(pool, 4).await.expect("answers"), "once");
        assert!(
            !no(pool, 4).await.expect("answers"),
            "and never the other way round"
        );
        // What ends overdue questions leaves it alone, however old it is.
        let mut tx = pool.begin().await.expect("a transaction");
        assert!(!confirmation::hold(&mut tx, "new").await.expect("answers"));
        drop(tx);
        assert_eq!(served(pool).await, ["new"]);
    }
}

#[tokio::test]
async fn a_no_ends_the_new_grant_and_leaves_the_one_before() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        let before = format!("{:?}", found(pool, "before").await);
        assert!(no(pool, 3).await.expect("answers"), "{}", database.name);
        assert_eq!(format!("{:?}", found(pool, "before").await), before);
        let new = found(pool, "new").await;
        assert_eq!(
            (new.state, new.access_token, new.refresh_token),
            (GrantState::Revoked, None, None)
        );
        let queued = revocation::find(pool, "new").await.expect("answers");
        assert_eq!(queued.expect("queued").refresh_token, Some(vec![6]));
        assert!(!yes(pool, 4).await.expect("answers"));
        assert_eq!(served(pool).await, ["before"]);
        let (status, reason) = status(pool, "1").await;
        assert_eq!(
            (status, reason.as_deref()),
            (Status::Denied, Some("account_kept"))
        );
    }
}

#[tokio::test]
async fn who_ends_the_grant_ends_the_question() {
    for with_provider in [false, true] {
        for database in databases().await {
            let pool = &database.pool;
            asked(pool).await;
            let mut tx = pool.begin().await.expect("a transaction");
            let ended = if with_provider {
                grant::end_of_provider(&mut tx, "p", at(3)).await
            } else {
                grant::end_of_workload(&mut tx, "w", at(3)).await
            };
            tx.commit().await.expect("committed");
            assert_eq!(ended.expect("answers"), 2, "{}", database.name);
            let (status, reason) = status(pool, "1").await;
            assert_eq!((status, reason.as_deref()), (Status::Failed, Some("grant_ended")));
            assert!(!yes(pool, 4).await.expect("answers"));
            assert!(served(pool).await.is_empty());
        }
    }
}

#[tokio::test]
async fn who_deletes_a_workload_or_provider_ends_every_session_of_it() {
    for with_provider in [false, true] {
        for database in databases().await {
            let pool = &database.pool;
            let of_slot = |slot: u8, id: &str| SessionRow {
                slot: [slot; 32],
                ..session(id)
            };
            opened(pool, &of_slot(1, "created"), at(0)).await;
            let held = of_slot(2, "held");
            opened(pool, &held, at(0)).await;
            sessions::start(pool, "held", &BROWSER, at(0))
                .await
                .expect("answers");
            assert!(hold(pool, &held, &BROWSER, at(1)).await);
            exchanging(pool, &of_slot(3, "exchanging")).await;
            let other = SessionRow {
                workload_id: "w2".to_owned(),
                provider_id: "p2".to_owned(),
                ..of_slot(4, "other")
            };
            exchanging(pool, &other).await;

            let mut tx = pool.begin().await.expect("a transaction");
            if with_provider {
                grant::end_of_provider(&mut tx, "p", at(3)).await.expect("ended");
            } else {
                grant::end_of_workload(&mut tx, "w", at(3)).await.expect("ended");
            }
            tx.commit().await.expect("committed");
            for id in ["created", "held", "exchanging"] {
                let found = sessions::find(pool, id).await.expect("answers").expect("there");
                assert_eq!(
                    (found.status, found.reason.as_deref(), found.code, found.ended_at),
                    (Status::Failed, Some("grant_ended"), None, Some(at(3))),
                    "{} {id}",
                    database.name
                );
            }
            let mut tx = pool.begin().await.expect("a transaction");
            let stored = sessions::complete(&mut tx, "exchanging", "g", at(4)).await;
            assert!(!stored.expect("answers"), "an exchange under way stores nothing");
            drop(tx);
            assert_eq!(status(pool, "other").await.0, Status::Exchanging);
        }
    }
}

/// A transaction that another got in the way of is made again, as the callers do.
async fn until_answered(answer: impl AsyncFn() -> Result<bool, DbError>) -> bool {
    loop {
        match answer().await {
            Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            answered => return answered.expect("answers"),
        }
    }
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        let yeses = join_all((0..8).map(|_| until_answered(async || yes(pool, 3).await)));
        let noes = join_all((0..8).map(|_| until_answered(async || no(pool, 3).await)));
        let (yeses, noes) = tokio::join!(yeses, noes);
        let said = |answers: &[bool]| answers.iter().filter(|said| **said).count();
        assert_eq!(said(&yeses) + said(&noes), 1, "{}", database.name);
        let expected = if said(&yeses) == 1 { "new" } else { "before" };
        assert_eq!(served(pool).await, [expected]);
    }
}

#[tokio::test]
async fn ten_minutes_are_the_end_of_the_question() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        let overdue = async |before, future| {
            let found = confirmation::list_overdue(pool, at(before), at(future), 10)
                .await
                .expect("answers");
            found.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
        };
        assert!(overdue(1, 600).await.is_empty(), "{}", database.name);
        assert_eq!(overdue(2, 600).await, ["new"]);
        assert_eq!(overdue(0, 1).await, ["new"], "from the future");
        assert_eq!(sessions::expire_due(pool, at(601)).await.expect("answers"), 0);
        assert!(!yes(pool, 602).await.expect("answers"), "too late");
        assert_eq!(served(pool).await, ["before"]);
        assert_eq!(sessions::expire_due(pool, at(602)).await.expect("answers"), 1);
        let (status, reason) = status(pool, "1").await;
        assert_eq!(
            (status, reason.as_deref()),
            (Status::Expired, Some("not_confirmed"))
        );
        assert_eq!(
            overdue(2, 600).await,
            ["new"],
            "whatever has become of its session"
        );
        assert!(
            confirmation::hold(&mut pool.begin().await.expect("a transaction"), "new")
                .await
                .expect("answers")
        );
    }
}

#[tokio::test]
async fn a_connection_that_changes_makes_its_other_questions_void() {
    for database in databases().await {
        let pool = &database.pool;
        asked(pool).await;
        // One of another person, and one through another agent: they stay.
        for (number, other) in [
            (
                2,
                SessionRow {
                    user_key: UserKey::id("bob"),
                    ..session("bob")
                },
            ),
            (
                3,
                SessionRow {
                    workload_id: "w2".to_owned(),
                    ..session("w2")
                },
            ),
            (4, session("own")),
        ] {
            let other = SessionRow {
                slot: [number; 32],
                ..other
            };
            exchanging(pool, &other).await;
            let mut tx = pool.begin().await.expect("a transaction");
            assert!(
                confirmation::begin(&mut tx, &other.id, "g", at(602))
                    .await
                    .expect("answers")
            );
            tx.commit().await.expect("committed");
        }
        let mut tx = pool.begin().await.expect("a transaction");
        let superseded = confirmation::supersede(&mut tx, &session("own"), at(3))
            .await
            .expect("answers");
        tx.commit().await.expect("committed");
        assert_eq!(superseded, ["new"], "{}", database.name);
        assert_eq!(status(pool, "1").await.0, Status::Superseded);
        for id in ["bob", "w2", "own"] {
            assert_eq!(status(pool, id).await.0, Status::Confirming, "{id}");
        }
        assert!(!yes(pool, 4).await.expect("answers"));
    }
}
