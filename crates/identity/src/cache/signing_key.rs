//! The SigV4 signing key of an access key, derived once a day instead of at each request.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_api::sigv4::{SignedRequest, SigningKey};
use countersign_crypto::SecretString;

/// Signing keys kept of one access key: two services, around midnight.
const KEPT: usize = 4;

/// The signing keys derived from one secret; they leave memory, zeroized, with the access key.
#[derive(Debug, Default)]
pub(crate) struct SigningKeys(RwLock<Vec<Arc<SigningKey>>>);

impl SigningKeys {
    /// The key for the scope that `signed` names. Call it only for a scope that was checked: what a stranger makes
    /// up must not drive the real one out.
    pub(crate) fn of(&self, signed: &SignedRequest, secret: &SecretString) -> Arc<SigningKey> {
        let find = |keys: &[Arc<SigningKey>]| keys.iter().find(|key| key.is_for(signed)).cloned();
        if let Some(key) = find(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return key;
        }
        let key = Arc::new(SigningKey::derive(signed, secret));
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEPT {
            keys.remove(0);
        }
        keys.push(Arc::clone(&key));
        key
    }
}
