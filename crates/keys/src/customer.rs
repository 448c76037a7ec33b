//! Keys of KMS that accounts manage for themselves (`SetTokenVaultCMK`), beside the root key of the installation.
//!
//! Only what the operator has written down for an account is ever asked for (design D22): the calls are made with the
//! installation's own credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_crypto::{BoxFuture, EncryptionContext, KeyProvider, KeyProviderError, SecretBytes};

use crate::KmsKeyProvider;

/// A root key, and the KMS keys that accounts may put in its place for their vaults.
pub struct WithCustomerKeys {
    root: Arc<dyn KeyProvider>,
    /// Key ARNs by account.
    allowed: BTreeMap<String, BTreeSet<String>>,
    /// Clients of those that were found usable once.
    opened: Mutex<HashMap<String, Arc<KmsKeyProvider>>>,
}

impl WithCustomerKeys {
    /// `allowed` has key ARNs by account. The installation's own root keys must not be among them.
    #[must_use]
    pub fn new(root: Arc<dyn KeyProvider>, allowed: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self {
            root,
            allowed,
            opened: Mutex::default(),
        }
    }

    /// Looks at the key each time, which is rare: what became of it only `DescribeKey` tells, since KMS answers other calls
    /// for a key that is gone as it does those that are not allowed.
    async fn open(&self, key_arn: &str) -> Result<Arc<dyn KeyProvider>, KeyProviderError> {
        let known = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key_arn)
            .cloned();
        if let Some(known) = known {
            known.check().await?;
            return Ok(known);
        }
        let opened = Arc::new(KmsKeyProvider::open(key_arn).await?);
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key_arn.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

impl KeyProvider for WithCustomerKeys {
    fn key_id(&self) -> String {
        self.root.key_id()
    }

    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        self.root.wrap(key, context)
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        self.root.unwrap(wrapped, context)
    }

    fn customer_key<'a>(
        &'a self,
        account: &'a str,
        key_id: &'a str,
    ) -> Option<BoxFuture<'a, Result<Arc<dyn KeyProvider>, KeyProviderError>>> {
        let allowed = self.allowed.get(account)?.contains(key_id);
        allowed.then(|| -> BoxFuture<'a, _> { Box::pin(self.open(key_id)) })
    }
}
