//! The conformance suite of the refresh ledger: the same on both engines, by cases and against a model.

use std::time::Duration;

use countersign_crypto::testing::SeededRandom;
use countersign_crypto::{Timestamp, random_bytes};
use countersign_db::Pool;
use futures_util::future::join_all;

use super::grant::{self, GrantRow, GrantState};
use super::grant_tests::{at, databases, found, grant, insert};
use super::refresh_ledger::{self as ledger, Failure, LONGEST, RefreshLedger, Refreshed};

fn refreshed() -> Refreshed {
    Refreshed {
        access_token: vec![8],
        refresh_token: None,
        access_expires_at: Some(at(300)),
        rotates: false,
    }
}

async fn claim(pool: &Pool, fence: i64, until: u64, now: u64) -> Option<i64> {
    ledger::claim(pool, "1", fence, at(until), at(now))
        .await
        .expect("answers")
}

fn failure(outcome_unknown: bool, retry_at: u64) -> Failure {
    Failure {
        outcome_unknown,
        reason: "timeout",
        retry_at: at(retry_at),
    }
}

#[tokio::test]
async fn e05_one_caller_gets_the_lease() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        let claims = join_all((0..20).map(|_| claim(pool, 0, 45, 1))).await;
        let fences: Vec<i64> = claims.into_iter().flatten().collect();
        assert_eq!(fences, [1], "{}", database.name);
        let claimed = found(pool, "1").await;
        assert_eq!(claimed.state, GrantState::Refreshing);
        assert_eq!(
            claimed.refresh.presented_at,
            Some(at(1)),
            "the intent is there before the call"
        );
        assert_eq!(claim(pool, 1, 90, 44).await, None, "leased");
        assert!(
            !ledger::interrupt(pool, "1", 1, at(55), at(44))
                .await
                .expect("answers")
        );
        assert!(ledger::renew(pool, "1", 1, at(60)).await.expect("answers"));
        assert!(
            !ledger::interrupt(pool, "1", 1, at(55), at(59))
                .await
                .expect("answers"),
            "renewed"
        );
        assert_eq!(
            claim(pool, 1, 90, 61).await,
            None,
            "what lapsed is not for the taking"
        );
    }
}

#[tokio::test]
async fn a_holder_that_died_leaves_an_unknown_outcome() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        claim(pool, 0, 45, 1).await.expect("the lease");
        assert!(
            ledger::interrupt(pool, "1", 1, at(55), at(45))
                .await
                .expect("answers"),
            "{}",
            database.name
        );
        let row = found(pool, "1").await;
        assert_eq!(
            (row.state, row.reason.as_deref()),
            (GrantState::OutcomeUnknown, Some("interrupted"))
        );
        assert_eq!(row.refresh.presented_at, Some(at(1)), "as it was first presented");
        assert_eq!(claim(pool, 2, 90, 54).await, None, "not before its time");
        assert_eq!(claim(pool, 2, 90, 55).await, Some(3));
        // The one that was thought dead decides nothing by its fence …
        assert!(
            !ledger::refuse(pool, "1", 1, "invalid_grant", at(56))
                .await
                .expect("answers")
        );
        assert!(
            !ledger::abandon(pool, "1", 1, failure(false, 60), at(56))
                .await
                .expect("answers")
        );
        assert!(!ledger::renew(pool, "1", 1, at(99)).await.expect("answers"));
        // … but the pair that it got is the one that lives.
        assert!(
            ledger::finish(pool, "1", 0, &refreshed(), at(57))
                .await
                .expect("answers")
        );
        let second = Refreshed {
            access_token: vec![9],
            ..refreshed()
        };
        assert!(
            !ledger::finish(pool, "1", 0, &second, at(58))
                .await
                .expect("answers"),
            "the second pair of one refresh token"
        );
        // Nor does the same pair again change anything, by who was not told that its commit had gone through.
        assert!(
            ledger::finish(pool, "1", 0, &refreshed(), at(58))
                .await
                .expect("answers"),
            "{}",
            database.name
        );
        assert!(
            !ledger::refuse(pool, "1", 3, "invalid_grant", at(58))
                .await
                .expect("answers"),
            "refused for a refresh token that has been replaced"
        );
        let row = found(pool, "1").await;
        assert_eq!(
            (row.state, row.access_token, row.refresh_token),
            (GrantState::Active, Some(vec![8]), Some(vec![6])),
            "a missing refresh token never erases the old one"
        );
        assert_eq!(
            row.refresh,
            RefreshLedger {
                generation: 1,
                rotates: Some(false),
                access_issued_at: Some(at(57)),
                ..RefreshLedger::default()
            }
        );
    }
}

#[tokio::test]
async fn b11_a_lease_of_a_clock_that_was_wrong_ends_all_the_same() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        // The holder's clock was a day ahead, and was then put right.
        let day = 86_400;
        claim(pool, 0, day + 12, day).await.expect("the lease");
        assert!(
            ledger::interrupt(pool, "1", 1, at(12), at(2))
                .await
                .expect("answers"),
            "{}: nobody waits a day",
            database.name
        );
        assert_eq!(claim(pool, 2, 24, 12).await, Some(3));
        ledger::abandon(pool, "1", 3, failure(false, day), at(13))
            .await
            .expect("answers");
        assert_eq!(claim(pool, 3, 24, 14).await, Some(4), "nor for a pause that long");
    }
}

#[tokio::test]
async fn a_revocation_wins_over_a_refresh_under_way() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        claim(pool, 0, 45, 1).await.expect("the lease");
        let mut tx = pool.begin().await.expect("a transaction");
        let end = async |tx: &mut _| {
            grant::end(tx, "1", GrantState::Revoked, "revoked_by_operator", at(2))
                .await
                .expect("answers")
        };
        assert!(end(&mut tx).await);
        assert!(!end(&mut tx).await);
        tx.commit().await.expect("committed");
        assert!(
            !ledger::finish(pool, "1", 0, &refreshed(), at(3))
                .await
                .expect("answers"),
            "{}",
            database.name
        );
        let revoked = found(pool, "1").await;
        assert_eq!((revoked.state, revoked.access_token), (GrantState::Revoked, None));
    }
}

/// What the ledger promises, without a database.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    state: GrantState,
    fence: i64,
    lease_until: Option<Timestamp>,
    reason: Option<String>,
    refresh: RefreshLedger,
    access_token: Option<Vec<u8>>,
    refresh_token: Option<Vec<u8>>,
    ended: bool,
}

impl Model {
    fn of(row: GrantRow) -> Self {
        Self {
            state: row.state,
            fence: row.fence,
            lease_until: row.lease_until,
            reason: row.reason,
            refresh: row.refresh,
            access_token: row.access_token,
            refresh_token: row.refresh_token,
            ended: row.ended_at.is_some(),
        }
    }

    fn over(until: Timestamp, now: Timestamp) -> bool {
        until <= now || until > now.plus(LONGEST)
    }

    fn claim(&mut self, fence: i64, until: Timestamp, now: Timestamp) -> Option<i64> {
        let idle = matches!(self.state, GrantState::Active | GrantState::OutcomeUnknown);
        let paused = self
            .refresh
            .retry_at
            .is_some_and(|retry_at| !Self::over(retry_at, now));
        if self.ended || self.fence != fence || !idle || paused {
            return None;
        }
        self.state = GrantState::Refreshing;
        self.fence += 1;
        self.lease_until = Some(until);
        self.refresh.presented_at.get_or_insert(now);
        Some(self.fence)
    }

    fn holds(&self, fence: i64) -> bool {
        self.state == GrantState::Refreshing && self.fence == fence
    }

    fn renew(&mut self, fence: i64, until: Timestamp) -> bool {
        let holds = self.holds(fence);
        if holds {
            self.lease_until = Some(until);
        }
        holds
    }

    fn interrupt(&mut self, fence: i64, retry_at: Timestamp, now: Timestamp) -> bool {
        let lapsed = self.holds(fence) && self.lease_until.is_some_and(|until| Self::over(until, now));
        if lapsed {
            self.state = GrantState::OutcomeUnknown;
            self.reason = Some("interrupted".to_owned());
            self.fence += 1;
            self.lease_until = None;
            self.refresh.failures += 1;
            self.refresh.retry_at = Some(retry_at);
        }
        lapsed
    }

    fn finish(&mut self, generation: i64, new: &Refreshed, now: Timestamp) -> bool {
        if self.ended || self.refresh.generation != generation {
            return false;
        }
        *self = Self {
            state: GrantState::Active,
            fence: self.fence + 1,
            lease_until: None,
            reason: None,
            refresh: RefreshLedger {
                generation: generation + 1,
                rotates: Some(new.rotates),
                access_issued_at: Some(now),
                ..RefreshLedger::default()
            },
            access_token: Some(new.access_token.clone()),
            refresh_token: new.refresh_token.clone().or_else(|| self.refresh_token.take()),
            ended: false,
        };
        true
    }

    fn abandon(&mut self, fence: i64, failure: Failure) -> bool {
        if !self.holds(fence) {
            return false;
        }
        self.reason = Some(failure.reason.to_owned());
        self.lease_until = None;
        self.refresh.failures += 1;
        self.refresh.retry_at = Some(failure.retry_at);
        if failure.outcome_unknown {
            self.state = GrantState::OutcomeUnknown;
        } else {
            self.state = GrantState::Active;
            self.refresh.presented_at = None;
        }
        true
    }

    fn end(&mut self, state: GrantState, reason: &str) -> bool {
        if self.ended {
            return false;
        }
        self.state = state;
        self.reason = Some(reason.to_owned());
        self.fence += 1;
        self.lease_until = None;
        (self.access_token, self.refresh_token) = (None, None);
        self.ended = true;
        true
    }

    fn refuse(&mut self, fence: i64) -> bool {
        let refused = self.fence == fence && self.end(GrantState::NeedsConsent, "invalid_grant");
        if refused {
            self.refresh.retry_at = None;
        }
        refused
    }
}

/// One random operation, by the model and by the store; both answers.
async fn step(pool: &Pool, id: &str, model: &mut Model, now: Timestamp, dice: [u8; 4]) -> (bool, bool) {
    // Mostly by who has read the row just now, sometimes by somebody who read it long ago.
    let stale = i64::from(dice[1].is_multiple_of(8));
    let (fence, generation) = (model.fence - stale, model.refresh.generation - stale);
    let soon = now.plus(Duration::from_secs(u64::from(dice[2] % 30)));
    let failure = Failure {
        outcome_unknown: dice[3].is_multiple_of(2),
        reason: "timeout",
        retry_at: soon,
    };
    let pair = Refreshed {
        access_token: dice.to_vec(),
        refresh_token: (!dice[3].is_multiple_of(3)).then(|| dice.to_vec()),
        access_expires_at: Some(soon),
        rotates: !dice[3].is_multiple_of(3),
    };
    match dice[0] % 16 {
        0..=5 => {
            let claimed = ledger::claim(pool, id, fence, soon, now).await.expect("answers");
            let expected = model.claim(fence, soon, now);
            assert_eq!(claimed, expected);
            (claimed.is_some(), expected.is_some())
        }
        6 => (
            ledger::renew(pool, id, fence, soon).await.expect("answers"),
            model.renew(fence, soon),
        ),
        7 | 8 => (
            ledger::interrupt(pool, id, fence, soon, now)
                .await
                .expect("answers"),
            model.interrupt(fence, soon, now),
        ),
        9..=11 => (
            ledger::finish(pool, id, generation, &pair, now)
                .await
                .expect("answers"),
            model.finish(generation, &pair, now),
        ),
        12..=14 => (
            ledger::abandon(pool, id, fence, failure, now)
                .await
                .expect("answers"),
            model.abandon(fence, failure),
        ),
        // Rare, since it is the end.
        _ if dice[1] < 40 => (
            ledger::refuse(pool, id, fence, "invalid_grant", now)
                .await
                .expect("answers"),
            model.refuse(fence),
        ),
        _ if dice[1] < 60 => {
            let mut tx = pool.begin().await.expect("begins");
            let ended = grant::end(&mut tx, id, GrantState::Revoked, "test", now).await;
            tx.commit().await.expect("commits");
            (ended.expect("answers"), model.end(GrantState::Revoked, "test"))
        }
        _ => (false, false),
    }
}

#[tokio::test]
async fn after_any_sequence_of_operations_the_store_says_what_the_model_says() {
    for database in databases().await {
        for seed in 0..6_u64 {
            let random = SeededRandom::new(seed);
            let id = format!("grant-{seed}");
            let mut row = grant(&id, u8::try_from(seed).expect("small"));
            row.id.clone_from(&id);
            insert(&database.pool, &row).await;
            let (mut model, mut now) = (Model::of(row), at(1000));
            for step_number in 0..150 {
                let dice: [u8; 4] = random_bytes(&random);
                let [forward, back] = random_bytes(&random);
                now = now.plus(Duration::from_secs(u64::from(forward % 12)));
                if back == 0 {
                    now = at(1000);
                }
                let (stored, expected) = step(&database.pool, &id, &mut model, now, dice).await;
                assert_eq!(
                    stored, expected,
                    "{} seed {seed} step {step_number}",
                    database.name
                );
                assert_eq!(
                    Model::of(found(&database.pool, &id).await),
                    model,
                    "{} seed {seed} step {step_number}",
                    database.name
                );
            }
        }
    }
}
