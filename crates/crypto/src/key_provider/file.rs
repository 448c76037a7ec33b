//! A root key in a file of its own, for one machine.

use std::path::Path;

use crate::key_provider::{BoxFuture, EncryptionContext, KeyProvider, KeyProviderError};
use crate::{SecretBytes, SharedRandom};

/// A root key read from a file that only its owner may read (mode 0600).
pub struct FileKeyProvider {}

impl FileKeyProvider {
    /// Reads the key file at `path`, or creates it when there is none.
    pub fn open_or_create(path: &Path, random: SharedRandom) -> Result<Self, KeyProviderError> {
        todo!()
    }
}

impl KeyProvider for FileKeyProvider {
    fn key_id(&self) -> String {
        todo!()
    }
    fn wrap<'a>(&'a self, key: &'a [u8], context: &'a EncryptionContext) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        todo!()
    }
    fn unwrap<'a>(&'a self, wrapped: &'a [u8], context: &'a EncryptionContext) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        todo!()
    }
}
