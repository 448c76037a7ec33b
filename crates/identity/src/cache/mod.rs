//! What each request needs and seldom changes: callers, workload identities, providers, grants (design D26).
//!
//! An entry is kept until a change to it: one of this replica's own drops it before its commit returns, one of
//! another replica's when the change feed names it. When the feed has not been read for a second, every look-up goes
//! to the database. Absence is never kept: what was just made can be used at once. Every kind is bounded, so that
//! memory does not grow with the vault.

mod followed;
mod grants;
#[cfg(test)]
mod grants_tests;
mod key;
mod signing_key;

use std::future::Future;
use std::sync::Arc;

use countersign_crypto::SecretString;
use countersign_db::{Change, ChangeFeed, DbError, Pool};

use followed::Followed;
pub(crate) use grants::Grants;
use key::{Key, OwnedKey};
pub(crate) use signing_key::SigningKeys;

use crate::store::access_key;
use crate::store::grant;
use crate::store::grant::GrantRow;
use crate::store::oauth2_provider::{self, ProviderRow};
use crate::store::principal::{self, PrincipalRow};
use crate::store::workload_identity::{self, WorkloadIdentityRow};

/// Entries of one kind in each generation.
const MAX_ENTRIES: usize = 10_000;

/// An access key, opened, and whose it is.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) secret: SecretString,
    /// What was derived from the secret.
    pub(crate) signing_keys: SigningKeys,
    pub(crate) principal: Arc<PrincipalRow>,
}

/// The caches.
#[derive(Debug)]
pub(crate) struct Cache {
    pool: Pool,
    feed: ChangeFeed,
    credentials: Followed<String, Credential>,
    workloads: Followed<OwnedKey, WorkloadIdentityRow>,
    workloads_by_id: Followed<OwnedKey, WorkloadIdentityRow>,
    providers: Followed<OwnedKey, ProviderRow>,
    providers_by_id: Followed<OwnedKey, ProviderRow>,
    grants: Grants,
}

impl Cache {
    /// `grants` is how many bytes of grants are kept in each of two generations.
    pub(crate) fn new(pool: Pool, feed: ChangeFeed, grants: usize) -> Self {
        Self {
            pool,
            feed,
            credentials: Followed::entries(MAX_ENTRIES),
            workloads: Followed::entries(MAX_ENTRIES),
            workloads_by_id: Followed::entries(MAX_ENTRIES),
            providers: Followed::entries(MAX_ENTRIES),
            providers_by_id: Followed::entries(MAX_ENTRIES),
            grants: Grants::of(grants),
        }
    }

    /// An access key; `load` reads and opens it.
    pub(crate) async fn credential<E, L>(
        &self,
        access_key_id: &str,
        load: impl FnOnce() -> L,
    ) -> Result<Option<Arc<Credential>>, E>
    where
        L: Future<Output = Result<Option<Credential>, E>>,
    {
        self.credentials.get(access_key_id, self.feed.fresh(), load).await
    }

    /// Whether an access key is in memory, and so was used lately.
    pub(crate) fn knows_credential(&self, access_key_id: &str) -> bool {
        self.credentials.has(access_key_id)
    }

    /// A workload identity by name.
    pub(crate) async fn workload_identity(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Option<Arc<WorkloadIdentityRow>>, DbError> {
        let load = || workload_identity::find(&self.pool, account, name);
        self.workloads
            .get(&(account, name) as &dyn Key, self.feed.fresh(), load)
            .await
    }

    /// A workload identity by internal id.
    pub(crate) async fn workload_identity_by_id(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<Arc<WorkloadIdentityRow>>, DbError> {
        let load = || workload_identity::find_by_id(&self.pool, account, id);
        self.workloads_by_id
            .get(&(account, id) as &dyn Key, self.feed.fresh(), load)
            .await
    }

    /// A provider by name.
    pub(crate) async fn provider(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Option<Arc<ProviderRow>>, DbError> {
        let load = || oauth2_provider::find(&self.pool, account, name);
        self.providers
            .get(&(account, name) as &dyn Key, self.feed.fresh(), load)
            .await
    }

    /// A provider by internal id.
    pub(crate) async fn provider_by_id(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<Arc<ProviderRow>>, DbError> {
        let load = || oauth2_provider::find_by_id(&self.pool, account, id);
        self.providers_by_id
            .get(&(account, id) as &dyn Key, self.feed.fresh(), load)
            .await
    }

    /// The live grants of a vault key; empty when there is none.
    pub(crate) async fn grants(&self, vault_key: &[u8; 32]) -> Result<Arc<Vec<GrantRow>>, DbError> {
        self.grants.get(&self.pool, vault_key, self.feed.fresh()).await
    }

    /// Drops what `change` names.
    pub(crate) fn apply(&self, change: &Change) {
        if change.is_everything() {
            self.clear();
        } else {
            self.forget(&change.kind, &change.key);
        }
    }

    /// Drops what changed.
    pub(crate) fn forget(&self, kind: &str, key: &str) {
        match kind {
            grant::CHANGE => self.grants.forget(key),
            access_key::CHANGE => self.credentials.forget(key),
            principal::CHANGE => self
                .credentials
                .forget_where(|credential| credential.principal.id == key),
            workload_identity::CHANGE => {
                self.workloads.forget_where(|workload| workload.id == key);
                self.workloads_by_id.forget_where(|workload| workload.id == key);
            }
            oauth2_provider::CHANGE => {
                self.providers.forget_where(|provider| provider.id == key);
                self.providers_by_id.forget_where(|provider| provider.id == key);
            }
            _ => {}
        }
    }

    /// Drops everything: changes were missed.
    pub(crate) fn clear(&self) {
        self.credentials.clear();
        self.workloads.clear();
        self.workloads_by_id.clear();
        self.providers.clear();
        self.providers_by_id.clear();
        self.grants.clear();
    }
}
