//! Grants in memory are those of the store: at once on the replica that changed them, soon on the others, and not at
//! all when nobody can tell.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::random_bytes;
use countersign_crypto::testing::SeededRandom;
use countersign_db::testing::TestDatabase;
use countersign_db::{ChangeFeed, DbError, Pool};

use super::Cache;
use crate::store::grant::{self, GrantRow, GrantState};
use crate::store::grant_tests::{at, databases, grant, insert};
use crate::store::refresh_ledger::{self, Failure, Refreshed};

/// Longer than a busy machine needs; what is promised is a second.
const PATIENCE: Duration = Duration::from_secs(20);
const VAULT_KEYS: [[u8; 32]; 3] = [[1; 32], [2; 32], [3; 32]];

struct Replica {
    pool: Pool,
    feed: ChangeFeed,
    cache: Arc<Cache>,
}

impl Replica {
    async fn start(pool: Pool) -> Self {
        let feed = ChangeFeed::start(pool.clone()).await.expect("a feed");
        let mut changes = feed.subscribe();
        let cache = Arc::new(Cache::new(pool.clone(), feed.clone(), 16 << 20));
        let following = Arc::clone(&cache);
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                following.apply(&change);
            }
        });
        Self { pool, feed, cache }
    }

    /// The one that makes the changes, and another. `SQLite` has one process, which stands for both.
    async fn pair(database: &TestDatabase) -> (Self, Self) {
        let own = Self::start(database.pool.clone()).await;
        let cache = Arc::downgrade(&own.cache);
        own.pool.on_commit(move |kind, key| {
            if let Some(cache) = cache.upgrade() {
                cache.forget(kind, key);
            }
        });
        let pool = match database.name {
            "sqlite" => database.pool.clone(),
            _ => Pool::connect(&database.database).await.expect("a second pool"),
        };
        (own, Self::start(pool).await)
    }

    async fn known(&self, vault_key: &[u8; 32]) -> Vec<Told> {
        self.cache
            .grants(vault_key)
            .await
            .expect("answers")
            .iter()
            .map(told)
            .collect()
    }

    async fn stored(&self, vault_key: &[u8; 32]) -> Vec<Told> {
        let grants = grant::list_by_vault_key(&self.pool, vault_key)
            .await
            .expect("answers");
        grants.iter().map(told).collect()
    }

    async fn agrees_soon(&self, vault_key: &[u8; 32]) {
        let agrees = async {
            while self.known(vault_key).await != self.stored(vault_key).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, agrees)
            .await
            .expect("the feed brings it");
    }
}

/// What decides which token leaves.
type Told = (
    String,
    Vec<String>,
    Option<Vec<u8>>,
    Option<countersign_crypto::Timestamp>,
);

fn told(grant: &GrantRow) -> Told {
    (
        grant.id.clone(),
        grant.scopes.clone(),
        grant.access_token.clone(),
        grant.access_expires_at,
    )
}

fn of(vault_key: [u8; 32], id: &str, scope_set: u8) -> GrantRow {
    GrantRow {
        vault_key,
        ..grant(id, scope_set)
    }
}

async fn end(pool: &Pool, id: &str) -> bool {
    let mut tx = pool.begin().await.expect("begins");
    let ended = grant::end(&mut tx, id, GrantState::Revoked, "test", at(1))
        .await
        .expect("ends");
    tx.commit().await.expect("commits");
    ended
}

#[tokio::test]
async fn a_revoked_grant_is_gone_at_once_here_and_soon_elsewhere() {
    for database in databases().await {
        let (own, other) = Replica::pair(&database).await;
        let vault_key = VAULT_KEYS[0];
        insert(&own.pool, &of(vault_key, "1", 1)).await;
        other.agrees_soon(&vault_key).await;
        assert_eq!(own.known(&vault_key).await.len(), 1, "{}", database.name);
        assert!(end(&own.pool, "1").await);
        assert!(
            own.known(&vault_key).await.is_empty(),
            "{}: at once",
            database.name
        );
        other.agrees_soon(&vault_key).await;
        assert!(other.known(&vault_key).await.is_empty(), "{}", database.name);
    }
}

#[tokio::test]
async fn after_any_sequence_of_changes_memory_says_what_the_store_says() {
    for database in databases().await {
        let (own, other) = Replica::pair(&database).await;
        let random = SeededRandom::new(17);
        for step in 0..150_u32 {
            let [action, which, scope_set] = random_bytes(&random);
            let vault_key = VAULT_KEYS[usize::from(which) % VAULT_KEYS.len()];
            let live = grant::list_by_vault_key(&own.pool, &vault_key)
                .await
                .expect("answers");
            let chosen = live.get(usize::from(scope_set) % live.len().max(1));
            change(&own.pool, action, &vault_key, chosen, step, scope_set % 3).await;
            for vault_key in &VAULT_KEYS {
                let (known, stored) = (own.known(vault_key).await, own.stored(vault_key).await);
                assert_eq!(known, stored, "{} step {step} action {action}", database.name);
                // Fills the other's memory with what will be out of date.
                other.known(vault_key).await;
            }
        }
        for vault_key in &VAULT_KEYS {
            other.agrees_soon(vault_key).await;
        }
    }
}

async fn change(
    pool: &Pool,
    action: u8,
    vault_key: &[u8; 32],
    chosen: Option<&GrantRow>,
    step: u32,
    scope_set: u8,
) {
    let Some(chosen) = chosen.filter(|_| !action.is_multiple_of(5)) else {
        return insert(pool, &of(*vault_key, &format!("grant-{step}"), scope_set)).await;
    };
    if action % 5 == 1 {
        assert!(end(pool, &chosen.id).await);
        return;
    }
    let fence = refresh_ledger::claim(pool, &chosen.id, chosen.fence, at(1), at(0)).await;
    let Some(fence) = fence.expect("answers") else {
        return;
    };
    match action % 5 {
        2 => {
            let refreshed = Refreshed {
                access_token: step.to_be_bytes().to_vec(),
                refresh_token: None,
                access_expires_at: Some(at(200)),
                rotates: false,
            };
            let stored =
                refresh_ledger::finish(pool, &chosen.id, chosen.refresh.generation, &refreshed, at(0)).await;
            assert!(stored.expect("answers"));
        }
        3 => {
            let refused = refresh_ledger::refuse(pool, &chosen.id, fence, "invalid_grant", at(0)).await;
            assert!(refused.expect("answers"));
        }
        _ => {
            let failure = Failure {
                outcome_unknown: false,
                reason: "unreachable",
                retry_at: at(0),
            };
            let back = refresh_ledger::abandon(pool, &chosen.id, fence, failure, at(0)).await;
            assert!(back.expect("answers"));
        }
    }
}

#[tokio::test]
async fn when_the_feed_is_stale_the_store_is_asked_and_its_absence_is_an_error() {
    for database in databases().await {
        let replica = Replica::start(database.pool.clone()).await;
        let vault_key = VAULT_KEYS[0];
        insert(&replica.pool, &of(vault_key, "1", 1)).await;
        assert_eq!(replica.known(&vault_key).await.len(), 1);
        replica.pool.close().await;
        let stale = async {
            while replica.feed.fresh() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, stale)
            .await
            .expect("it cannot be read");
        let answer = replica.cache.grants(&vault_key).await;
        assert!(
            matches!(answer, Err(DbError::Unavailable(_))),
            "{}: {:?}",
            database.name,
            answer.map(|grants| grants.len())
        );
    }
}
