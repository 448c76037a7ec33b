//! What each request needs and seldom changes: callers, workload identities, providers (design D26).
//!
//! An entry is kept until the change feed names it. When the feed has not been read for a second, every look-up
//! goes to the database. Absence is never kept: what was just made can be used at once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use countersign_crypto::SecretString;
use countersign_db::{Change, ChangeFeed, DbError, Pool};

use crate::store::access_key;
use crate::store::oauth2_provider::{self, ProviderRow};
use crate::store::principal::{self, PrincipalRow};
use crate::store::workload_identity::{self, WorkloadIdentityRow};

/// Entries of one kind; more than this and all are dropped, which costs one look-up each.
const MAX_ENTRIES: usize = 20_000;

/// An access key, opened, and whose it is.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretString,
    pub(crate) principal: Arc<PrincipalRow>,
}

/// The caches.
#[derive(Debug)]
pub(crate) struct Cache {
    pool: Pool,
    feed: ChangeFeed,
    credentials: Followed<String, Credential>,
    workloads: Followed<(String, String), WorkloadIdentityRow>,
    workloads_by_id: Followed<(String, String), WorkloadIdentityRow>,
    providers: Followed<(String, String), ProviderRow>,
    providers_by_id: Followed<(String, String), ProviderRow>,
}

impl Cache {
    pub(crate) fn new(pool: Pool, feed: ChangeFeed) -> Self {
        Self {
            pool,
            feed,
            credentials: Followed::default(),
            workloads: Followed::default(),
            workloads_by_id: Followed::default(),
            providers: Followed::default(),
            providers_by_id: Followed::default(),
        }
    }

    /// An access key; `load` reads and opens it.
    pub(crate) async fn credential<E>(
        &self,
        access_key_id: &str,
        load: impl Future<Output = Result<Option<Credential>, E>>,
    ) -> Result<Option<Arc<Credential>>, E> {
        self.credentials
            .get(access_key_id.to_owned(), self.feed.fresh(), load)
            .await
    }

    /// A workload identity by name.
    pub(crate) async fn workload_identity(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Option<Arc<WorkloadIdentityRow>>, DbError> {
        let load = workload_identity::find(&self.pool, account, name);
        self.workloads
            .get((account.to_owned(), name.to_owned()), self.feed.fresh(), load)
            .await
    }

    /// A workload identity by internal id.
    pub(crate) async fn workload_identity_by_id(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<Arc<WorkloadIdentityRow>>, DbError> {
        let load = workload_identity::find_by_id(&self.pool, account, id);
        self.workloads_by_id
            .get((account.to_owned(), id.to_owned()), self.feed.fresh(), load)
            .await
    }

    /// A provider by name.
    pub(crate) async fn provider(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Option<Arc<ProviderRow>>, DbError> {
        let load = oauth2_provider::find(&self.pool, account, name);
        self.providers
            .get((account.to_owned(), name.to_owned()), self.feed.fresh(), load)
            .await
    }

    /// A provider by internal id.
    pub(crate) async fn provider_by_id(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<Arc<ProviderRow>>, DbError> {
        let load = oauth2_provider::find_by_id(&self.pool, account, id);
        self.providers_by_id
            .get((account.to_owned(), id.to_owned()), self.feed.fresh(), load)
            .await
    }

    /// Drops what `change` names.
    pub(crate) fn apply(&self, change: &Change) {
        if change.is_everything() {
            self.clear();
        } else {
            self.forget(&change.kind, &change.key);
        }
    }

    /// Drops what changed: at once on the replica that changed it, by the feed on the others.
    pub(crate) fn forget(&self, kind: &str, key: &str) {
        match kind {
            access_key::CHANGE => self
                .credentials
                .forget(|credential| credential.access_key_id == key),
            principal::CHANGE => self
                .credentials
                .forget(|credential| credential.principal.id == key),
            workload_identity::CHANGE => {
                self.workloads.forget(|workload| workload.id == key);
                self.workloads_by_id.forget(|workload| workload.id == key);
            }
            oauth2_provider::CHANGE => {
                self.providers.forget(|provider| provider.id == key);
                self.providers_by_id.forget(|provider| provider.id == key);
            }
            _ => {}
        }
    }

    /// Drops everything: changes were missed.
    pub(crate) fn clear(&self) {
        self.credentials.forget(|_| true);
        self.workloads.forget(|_| true);
        self.workloads_by_id.forget(|_| true);
        self.providers.forget(|_| true);
        self.providers_by_id.forget(|_| true);
    }
}

/// A map that never holds what was read before a change to it.
#[derive(Debug)]
struct Followed<K, V>(RwLock<Entries<K, V>>);

#[derive(Debug)]
struct Entries<K, V> {
    /// Counts changes: a value read under an older count is given out once and not kept.
    generation: u64,
    values: HashMap<K, Arc<V>>,
}

impl<K, V> Default for Followed<K, V> {
    fn default() -> Self {
        Self(RwLock::new(Entries {
            generation: 0,
            values: HashMap::new(),
        }))
    }
}

impl<K: Eq + Hash, V> Followed<K, V> {
    async fn get<E>(
        &self,
        key: K,
        fresh: bool,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<Arc<V>>, E> {
        let generation = {
            let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let (true, Some(value)) = (fresh, entries.values.get(&key)) {
                return Ok(Some(Arc::clone(value)));
            }
            entries.generation
        };
        let Some(value) = load.await?.map(Arc::new) else {
            return Ok(None);
        };
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.generation == generation {
            if entries.values.len() >= MAX_ENTRIES {
                entries.values.clear();
            }
            entries.values.insert(key, Arc::clone(&value));
        }
        Ok(Some(value))
    }

    fn forget(&self, matches: impl Fn(&V) -> bool) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        entries.generation += 1;
        entries.values.retain(|_, value| !matches(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_read_before_a_change_is_not_kept() {
        let followed = Followed::<u8, &str>::default();
        let read_then_changed = async {
            followed.forget(|_| true);
            Ok::<_, ()>(Some("old"))
        };
        assert_eq!(
            followed.get(1, true, read_then_changed).await,
            Ok(Some(Arc::new("old")))
        );
        let again = followed.get(1, true, async { Ok::<_, ()>(Some("new")) }).await;
        assert_eq!(again, Ok(Some(Arc::new("new"))));
        let kept = followed.get(1, true, async { Ok::<_, ()>(Some("newer")) }).await;
        assert_eq!(kept, Ok(Some(Arc::new("new"))));
    }

    #[tokio::test]
    async fn a_stale_feed_reads_through_and_absence_is_not_kept() {
        let followed = Followed::<u8, u8>::default();
        assert_eq!(followed.get(1, true, async { Ok::<_, ()>(None) }).await, Ok(None));
        assert_eq!(
            followed.get(1, true, async { Ok::<_, ()>(Some(1)) }).await,
            Ok(Some(Arc::new(1)))
        );
        assert_eq!(
            followed.get(1, false, async { Ok::<_, ()>(Some(2)) }).await,
            Ok(Some(Arc::new(2)))
        );
    }
}
