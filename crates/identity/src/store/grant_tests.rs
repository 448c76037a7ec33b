//! The conformance suite of the store of grants: the same on both engines.

use std::time::Duration;

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::testing::TestDatabase;
use countersign_db::{Pool, migrate};

use super::confirmation;
use super::grant::{self, GrantFilter, GrantRow, GrantState};
use super::refresh_ledger::RefreshLedger;
use super::revocation;
use super::{MIGRATIONS, OWNER};

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(secs))
}

pub(crate) async fn databases() -> Vec<TestDatabase> {
    let databases = countersign_db::testing::databases().await;
    for database in &databases {
        migrate(&database.pool, OWNER, MIGRATIONS, at(0).as_micros())
            .await
            .expect(database.name);
    }
    databases
}

pub(crate) fn grant(id: &str, scope_set: u8) -> GrantRow {
    GrantRow {
        id: id.to_owned(),
        account: "000000000000".to_owned(),
        workload_id: "w".to_owned(),
        workload_name: "agent".to_owned(),
        provider_id: "p".to_owned(),
        provider_name: "vendor".to_owned(),
        user_key: UserKey::id("alice"),
        person: Some("idp:alice".to_owned()),
        sid: None,
        session_id: "s".to_owned(),
        vault_key: [7; 32],
        scopes: vec!["read".to_owned()],
        declined: vec!["write".to_owned()],
        scope_set: [scope_set; 32],
        issuer: "https://as.example".to_owned(),
        token_origin: "https://as.example".to_owned(),
        client_id: "client".to_owned(),
        resources: vec!["https://api.example".to_owned()],
        account_identity: Some(vec![4]),
        access_token: Some(vec![5]),
        refresh_token: Some(vec![6]),
        access_expires_at: Some(at(120)),
        state: GrantState::Active,
        fence: 0,
        lease_until: None,
        reason: None,
        refresh: RefreshLedger {
            access_issued_at: Some(at(0)),
            ..RefreshLedger::default()
        },
        created_at: at(0),
        updated_at: at(0),
        ended_at: None,
    }
}

pub(crate) async fn insert(pool: &Pool, new: &GrantRow) {
    let mut tx = pool.begin().await.expect("a transaction");
    grant::insert(&mut tx, new).await.expect("inserted");
    tx.commit().await.expect("committed");
}

pub(super) async fn found(pool: &Pool, id: &str) -> GrantRow {
    grant::find(pool, "000000000000", id)
        .await
        .expect("the store answers")
        .expect("the grant")
}

#[tokio::test]
async fn a_grant_is_read_as_it_was_written_and_a_newer_one_takes_its_place() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        assert_eq!(
            format!("{:?}", found(pool, "1").await),
            format!("{:?}", grant("1", 1)),
            "{}",
            database.name
        );
        insert(pool, &grant("2", 1)).await;
        insert(pool, &grant("3", 2)).await;
        let replaced = found(pool, "1").await;
        assert_eq!(replaced.state, GrantState::Replaced);
        assert_eq!(
            (replaced.access_token, replaced.refresh_token),
            (None, None),
            "its tokens are destroyed"
        );
        let live = grant::list_by_vault_key(pool, &[7; 32]).await.expect("answers");
        assert_eq!(
            live.iter().map(|grant| grant.id.as_str()).collect::<Vec<_>>(),
            ["2", "3"]
        );
        let alices = confirmation::list_of_user(pool, "p", &UserKey::id("alice"))
            .await
            .expect("answers");
        assert_eq!(alices.0.len(), 2);
        let other = confirmation::list_of_user(pool, "p", &UserKey::id("bob"))
            .await
            .expect("answers");
        assert!(
            other.0.is_empty()
                && grant::find(pool, "111111111111", "2")
                    .await
                    .expect("answers")
                    .is_none()
        );
        let all = |filter: GrantFilter| async move {
            grant::list(pool, "000000000000", &filter, "", 10)
                .await
                .expect("answers")
                .len()
        };
        assert_eq!(all(GrantFilter::default()).await, 3, "ended ones too");
        let published = GrantFilter {
            user_key: Some(UserKey::id("nobody")),
            person: Some("idp:alice".to_owned()),
            ..GrantFilter::default()
        };
        assert_eq!(all(published).await, 3);
        assert_eq!(
            all(GrantFilter {
                provider_name: Some("x".to_owned()),
                ..GrantFilter::default()
            })
            .await,
            0
        );
    }
}

#[tokio::test]
async fn b11_a_revocation_of_a_clock_that_was_wrong_is_due_all_the_same() {
    for database in databases().await {
        let pool = &database.pool;
        insert(pool, &grant("1", 1)).await;
        // Ended by a clock that was a day ahead, and was then put right.
        let mut tx = pool.begin().await.expect("a transaction");
        let ended = grant::end(&mut tx, "1", GrantState::Revoked, "test", at(86_400)).await;
        assert!(ended.expect("answers"));
        tx.commit().await.expect("committed");
        let due = async |now| revocation::list_due(pool, at(now), 10).await.expect("answers");
        assert_eq!(due(1).await, ["1"], "{}", database.name);
        let claim = async |now| {
            let claimed = revocation::claim(pool, "1", at(now + 120), at(now)).await;
            claimed.expect("answers").is_some()
        };
        assert!(claim(1).await, "{}: nobody waits a day", database.name);
        assert!(due(2).await.is_empty() && !claim(2).await, "leased");
    }
}
