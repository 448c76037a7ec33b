//! The root of the key hierarchy (design D27): something outside the database that wraps the keys that are
//! in it. The file provider is here; those that need a module or an SDK are in `countersign-keys`.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use file::FileKeyProvider;
pub use futures_util::future::BoxFuture;

use crate::SecretBytes;
use crate::digest::length_prefix;

/// Wraps keys under a root key that it alone holds.
pub trait KeyProvider: Send + Sync {
    /// Names the root key, for instance a KMS key ARN. Stored beside each wrapped key; no secret.
    fn key_id(&self) -> String;

    /// Wraps `key` so that only this root key opens it, and only with the same `context`.
    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>>;

    /// Opens what [`Self::wrap`] returned.
    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>>;

    /// A key of `account`'s own that the operator lets it wrap its vault under (design D22); `None` for every other
    /// one. `key_id` is as [`Self::key_id`] of the provider that it gives.
    fn customer_key<'a>(
        &'a self,
        account: &'a str,
        key_id: &'a str,
    ) -> Option<BoxFuture<'a, Result<Arc<dyn KeyProvider>, KeyProviderError>>> {
        let _ = (account, key_id);
        None
    }
}

/// What a wrapped key is for: authenticated, not secret, and visible in the logs of a KMS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Adds or replaces one entry.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The entries, ordered by name.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Length-prefixed names and values in order: the additional data of providers that have no encryption
    /// context of their own.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in self.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&length_prefix(part.as_bytes()));
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Why a key was not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyProviderError {
    /// The provider cannot be reached now; trying again may help.
    #[error("the key provider is not available: {0}")]
    Unavailable(String),
    /// The wrapped key is corrupt, belongs to another root key, or the context differs.
    #[error("the key provider refused: {0}")]
    Refused(String),
    /// The root key does not exist: what it wrapped will never open again.
    #[error("the key provider refused, since the root key does not exist: {0}")]
    Gone(String),
    /// The key file can be read by other users of this machine.
    #[error(
        "key file {} has mode {mode:04o}, so other users of this machine could read it; \
         run `chmod 600 {}` (and consider the key exposed); 0440 is good where root owns it and this process does not run as root",
        path.display(), path.display()
    )]
    Permissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is not one of ours.
    #[error("{} is not a countersign key file; move it away to have a new one made", path.display())]
    Format {
        /// The key file.
        path: PathBuf,
    },
    /// The key file cannot be read or created.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
