//! The conformance suite of the stores of accounts, callers and registrations: the same on both engines.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_crypto::testing::SeededRandom;
use countersign_crypto::{
    FileKeyProvider, KeyPurpose, KeyRow, Keyring, NewKey, Random, SystemClock, Timestamp,
};
use countersign_db::testing::TestDatabase;
use countersign_db::{Pool, Transaction, migrate};

use super::client_token::{self, ClientTokenRow};
use super::oauth2_provider::{self, ProviderRow};
use super::oauth2_provider_tests::provider;
use super::stop::{self, StopRow};
use super::workload_identity::{self, ReturnHandle, WorkloadIdentityRow};
use super::{MIGRATIONS, OWNER, account, inbound_jwt, key};

pub(super) const ACCOUNT: &str = "000000000000";
pub(super) const OTHER: &str = "111111111111";

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

pub(super) async fn databases() -> Vec<TestDatabase> {
    let databases = countersign_db::testing::databases().await;
    for database in &databases {
        migrate(&database.pool, OWNER, MIGRATIONS, at(0).as_micros())
            .await
            .expect(database.name);
        for id in [ACCOUNT, OTHER, ACCOUNT] {
            account::ensure(&database.pool, id, at(0))
                .await
                .expect("made once, found again");
        }
    }
    databases
}

pub(super) async fn tx(pool: &Pool) -> Transaction {
    pool.begin().await.expect("a transaction")
}

fn workload(id: &str, account: &str, name: &str) -> WorkloadIdentityRow {
    WorkloadIdentityRow {
        id: id.to_owned(),
        account: account.to_owned(),
        name: name.to_owned(),
        allowed_return_urls: vec![
            "https://app.example/a".to_owned(),
            "https://app.example/b".to_owned(),
        ],
        return_handle: ReturnHandle::Fresh,
        tags: BTreeMap::from([("team".to_owned(), "é".to_owned())]),
        created_at: at(1),
        updated_at: at(1),
    }
}

#[tokio::test]
async fn workload_identities() {
    for database in databases().await {
        let pool = &database.pool;
        let mut tx_ = tx(pool).await;
        assert!(
            workload_identity::insert(&mut tx_, &workload("w1", ACCOUNT, "agent"))
                .await
                .expect("stored")
        );
        assert!(
            workload_identity::insert(&mut tx_, &workload("w2", OTHER, "agent"))
                .await
                .expect("another account")
        );
        assert!(
            !workload_identity::insert(&mut tx_, &workload("w3", ACCOUNT, "agent"))
                .await
                .expect("taken")
        );
        tx_.commit().await.expect("committed");

        let found = workload_identity::find(pool, ACCOUNT, "agent")
            .await
            .expect("read")
            .expect("there");
        assert_eq!(
            (found.id.as_str(), found.created_at),
            ("w1", at(1)),
            "{}",
            database.name
        );
        assert_eq!(
            found.allowed_return_urls,
            ["https://app.example/a", "https://app.example/b"]
        );
        assert_eq!(found.tags["team"], "é");
        assert!(
            workload_identity::find_by_id(pool, OTHER, "w1")
                .await
                .expect("read")
                .is_none(),
            "ids stay in accounts"
        );
        assert!(
            workload_identity::find(pool, ACCOUNT, "Agent")
                .await
                .expect("read")
                .is_none(),
            "case counts"
        );

        let mut tx_ = tx(pool).await;
        let urls = ["https://app.example/c".to_owned()];
        let updated = workload_identity::update_return_urls(&mut tx_, ACCOUNT, "agent", &urls, at(2)).await;
        let updated = updated.expect("written").expect("there");
        assert_eq!(
            (updated.allowed_return_urls.as_slice(), updated.updated_at),
            (&urls[..], at(2))
        );
        let handle = ReturnHandle::SessionUri;
        let updated =
            workload_identity::update_return_handle(&mut tx_, ACCOUNT, "agent", handle, at(3)).await;
        assert_eq!(updated.expect("written").expect("there").return_handle, handle);
        assert!(
            workload_identity::update_return_urls(&mut tx_, ACCOUNT, "none", &urls, at(2))
                .await
                .expect("read")
                .is_none()
        );
        tx_.commit().await.expect("committed");

        let mut tx_ = tx(pool).await;
        let deleted = workload_identity::delete(&mut tx_, ACCOUNT, "agent")
            .await
            .expect("deleted");
        assert_eq!(deleted.expect("there").id, "w1");
        assert!(
            workload_identity::delete(&mut tx_, ACCOUNT, "agent")
                .await
                .expect("read")
                .is_none()
        );
        tx_.commit().await.expect("committed");
        assert!(
            workload_identity::find(pool, OTHER, "agent")
                .await
                .expect("read")
                .is_some()
        );
    }
}

#[tokio::test]
async fn lists_are_by_name_within_the_account() {
    for database in databases().await {
        let pool = &database.pool;
        let mut tx_ = tx(pool).await;
        for (index, name) in ["b", "a", "_z", "C", "a-1"].iter().enumerate() {
            let new = workload(&format!("w{index}"), ACCOUNT, name);
            assert!(workload_identity::insert(&mut tx_, &new).await.expect("stored"));
        }
        assert!(
            workload_identity::insert(&mut tx_, &workload("x", OTHER, "aa"))
                .await
                .expect("stored")
        );
        tx_.commit().await.expect("committed");
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = workload_identity::list(pool, ACCOUNT, &after, 2)
                .await
                .expect("a page");
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            seen.extend(page.into_iter().map(|row| row.name));
        }
        // Byte order on both engines: a page boundary means the same everywhere.
        assert_eq!(seen, ["C", "_z", "a", "a-1", "b"], "{}", database.name);
    }
}

#[tokio::test]
async fn client_tokens_end_with_their_time_registration_and_owner() {
    for database in databases().await {
        let pool = &database.pool;
        let mut writing = tx(pool).await;
        let registered = provider("p1", ACCOUNT, "p", "cb");
        let inserted = oauth2_provider::insert(&mut writing, &registered)
            .await
            .expect("stored");
        let owned = workload_identity::insert(&mut writing, &workload("w1", ACCOUNT, "w"))
            .await
            .expect("stored");
        assert!(inserted && owned);
        writing.commit().await.expect("committed");
        let token = |id: &str, sealed: &[u8]| ClientTokenRow {
            id: id.to_owned(),
            account: ACCOUNT.to_owned(),
            workload_id: "w1".to_owned(),
            provider_id: "p1".to_owned(),
            provider_version: 1,
            vault_key: [7; 32],
            scope_set: [8; 32],
            scopes: vec!["read".to_owned()],
            access_token: sealed.to_vec(),
            expires_at: at(100),
            created_at: at(1),
        };
        let find = async |version, now| {
            let found = client_token::find(pool, &[7; 32], &[8; 32], version, now)
                .await
                .expect("read");
            found.map(|row| (row.id, row.access_token, row.scopes))
        };
        client_token::replace(pool, &token("t1", b"first"))
            .await
            .expect("stored");
        client_token::replace(pool, &token("t2", b"second"))
            .await
            .expect("stored");
        let second = ("t2".to_owned(), b"second".to_vec(), vec!["read".to_owned()]);
        assert_eq!(find(1, at(99)).await, Some(second), "{}", database.name);
        assert_eq!(find(1, at(100)).await, None, "expired");
        assert_eq!(find(2, at(1)).await, None, "of an earlier registration");
        assert_eq!(client_token::purge(pool, at(99)).await.expect("purged"), 0);
        assert_eq!(client_token::purge(pool, at(100)).await.expect("purged"), 1);
        client_token::replace(pool, &token("t3", b"third"))
            .await
            .expect("stored");
        let mut deleting = tx(pool).await;
        assert!(
            oauth2_provider::delete(&mut deleting, ACCOUNT, "p")
                .await
                .expect("deleted")
                .is_some()
        );
        deleting.commit().await.expect("committed");
        assert_eq!(find(1, at(1)).await, None, "it goes with its provider");
    }
}

#[tokio::test]
async fn inbound_tokens_end_with_their_time() {
    for database in databases().await {
        let pool = &database.pool;
        inbound_jwt::insert(pool, ACCOUNT, "j1", b"sealed", at(100))
            .await
            .expect("stored");
        let find = async |account, now| inbound_jwt::find(pool, account, "j1", now).await.expect("read");
        assert_eq!(
            find(ACCOUNT, at(99)).await.as_deref(),
            Some(&b"sealed"[..]),
            "{}",
            database.name
        );
        assert_eq!(find(OTHER, at(99)).await, None);
        assert_eq!(find(ACCOUNT, at(100)).await, None);
        assert_eq!(inbound_jwt::purge(pool, at(100)).await.expect("purged"), 1);
    }
}

#[tokio::test]
async fn stops() {
    for database in databases().await {
        let pool = &database.pool;
        let row = |kind: &str, subject: &str, reason: Option<&str>| StopRow {
            account: ACCOUNT.to_owned(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            reason: reason.map(str::to_owned),
            stopped_by: "arn:aws:iam::000000000000:user/admin".to_owned(),
            stopped_at: at(1),
        };
        let mut tx_ = tx(pool).await;
        let first = stop::insert(&mut tx_, &row("workload", "agent", Some("first")))
            .await
            .expect("stored");
        let second = stop::insert(&mut tx_, &row("workload", "agent", None))
            .await
            .expect("in force already");
        assert_eq!(
            first, second,
            "{}: the stop in force stays as it is",
            database.name
        );
        stop::insert(&mut tx_, &row("user", "z", None))
            .await
            .expect("stored");
        stop::insert(&mut tx_, &row("workload", "a", None))
            .await
            .expect("stored");
        tx_.commit().await.expect("committed");
        assert_eq!(stop::list_all(pool).await.expect("read").len(), 3);
        let after = stop::list(pool, ACCOUNT, (None, None), ("user", "z"), 1)
            .await
            .expect("a page");
        assert_eq!(
            after.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(),
            ["a"]
        );
        let only = stop::list(pool, ACCOUNT, (Some("workload"), Some("a")), ("", ""), 9).await;
        assert_eq!(only.expect("a page").len(), 1, "the stop of one subject");
        let only = stop::list(pool, ACCOUNT, (Some("provider"), None), ("", ""), 9).await;
        assert_eq!(only.expect("a page").len(), 0, "stops of one kind");
        assert!(
            stop::list(pool, OTHER, (None, None), ("", ""), 10)
                .await
                .expect("a page")
                .is_empty()
        );
        let mut tx_ = tx(pool).await;
        assert!(
            !stop::delete(&mut tx_, OTHER, "workload", "agent")
                .await
                .expect("another account's")
        );
        assert!(
            stop::delete(&mut tx_, ACCOUNT, "workload", "agent")
                .await
                .expect("lifted")
        );
        assert!(
            !stop::delete(&mut tx_, ACCOUNT, "workload", "agent")
                .await
                .expect("gone")
        );
    }
}

#[tokio::test]
async fn keys_are_made_once_and_open_what_they_sealed() {
    let directory = tempfile::tempdir().expect("a directory");
    let random = SeededRandom::new(3);
    let provider =
        FileKeyProvider::open_or_create(&directory.path().join("key"), Arc::new(SeededRandom::new(4)))
            .expect("a key file");
    for database in databases().await {
        let pool = &database.pool;
        let new = NewKey {
            account: ACCOUNT,
            resource: "arn:vault",
            purpose: KeyPurpose::Vault,
            version: 1,
        };
        let row = KeyRow::generate_symmetric(&provider, &random, &SystemClock, new)
            .await
            .expect("a key");
        assert!(key::insert(pool, &row).await.expect("stored"));
        let rival = KeyRow::generate_symmetric(&provider, &random, &SystemClock, new)
            .await
            .expect("a key");
        assert!(
            !key::insert(pool, &rival)
                .await
                .expect("another replica was first"),
            "{}",
            database.name
        );
        let rows = key::list(pool, ACCOUNT, KeyPurpose::Vault).await.expect("read");
        assert_eq!(rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&row.id]);
        assert!(
            key::list(pool, OTHER, KeyPurpose::Vault)
                .await
                .expect("read")
                .is_empty()
        );
        assert_eq!(
            key::list_by_purpose(pool, KeyPurpose::Vault)
                .await
                .expect("read")
                .len(),
            1
        );

        let keyring = Keyring::unwrap(&provider, &rows).await.expect("it opens");
        let stored = |id: &str| {
            let secret = "s3cret".to_owned().into();
            let client_secret =
                ProviderRow::seal_client_secret(&keyring, random_of(&random), ACCOUNT, id, &secret);
            ProviderRow {
                client_secret,
                ..self::provider(id, ACCOUNT, "hub", "c")
            }
        };
        let sealed = stored("p1");
        assert!(
            sealed
                .open_client_secret(|place, value| keyring.open(place, value))
                .is_ok()
        );
        let moved = ProviderRow {
            id: "p2".to_owned(),
            ..sealed
        };
        assert!(
            moved
                .open_client_secret(|place, value| keyring.open(place, value))
                .is_err(),
            "a secret copied to another row does not open"
        );
    }
}

fn random_of(random: &SeededRandom) -> &dyn Random {
    random
}
