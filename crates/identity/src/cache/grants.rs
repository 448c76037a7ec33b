//! The live grants of a vault key, sealed as they are stored.

use std::sync::Arc;

use countersign_db::{DbError, Pool};

use super::followed::Followed;
use crate::store::grant::{self, GrantRow};

/// Grants by vault key. The refresh ledger is not served from here: what memory holds may be behind by one lease,
/// and only the store's fence decides who refreshes.
#[derive(Debug)]
pub(crate) struct Grants(Followed<[u8; 32], Vec<GrantRow>>);

impl Grants {
    /// Up to `capacity` bytes in each of two generations. A grant has about three kilobytes, one with the largest tokens
    /// two hundred.
    pub(super) fn of(capacity: usize) -> Self {
        Self(Followed::weighed(capacity, |grants| {
            grants.iter().map(weight).sum()
        }))
    }

    pub(super) async fn get(
        &self,
        pool: &Pool,
        vault_key: &[u8; 32],
        fresh: bool,
    ) -> Result<Arc<Vec<GrantRow>>, DbError> {
        let load = || async {
            let grants = grant::list_by_vault_key(pool, vault_key).await?;
            Ok::<_, DbError>((!grants.is_empty()).then_some(grants))
        };
        Ok(self.0.get(vault_key, fresh, load).await?.unwrap_or_default())
    }

    /// Drops the grants of a vault key as the change feed writes it.
    pub(super) fn forget(&self, key: &str) {
        match grant::changed_vault_key(key) {
            Some(vault_key) => self.0.forget(&vault_key),
            None => self.0.clear(),
        }
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

/// Bytes in memory, roughly.
fn weight(grant: &GrantRow) -> usize {
    let sealed = [&grant.account_identity, &grant.access_token, &grant.refresh_token];
    let lists = [&grant.scopes, &grant.declined, &grant.resources];
    size_of::<GrantRow>()
        + 512
        + sealed.into_iter().flatten().map(Vec::len).sum::<usize>()
        + lists
            .into_iter()
            .flatten()
            .map(|text| text.len() + 24)
            .sum::<usize>()
}
