//! The key that every signature of one day, region and service is made with.

use std::fmt;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Scope, SignedRequest};

/// A signing key and its scope. It is derived in four steps from the secret access key and good for a day, so a
/// server keeps it. AWS-LC wipes it when it is dropped.
pub struct SigningKey {
    date: String,
    region: String,
    service: String,
    pub(super) key: hmac::Key,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("date", &self.date)
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key for the scope that `signed` names, under the secret of the access key that it names.
    #[must_use]
    pub fn derive(signed: &SignedRequest, secret: &SecretString) -> Self {
        let scope = signed.scope();
        Self {
            key: derive(secret, &scope),
            date: scope.date.to_owned(),
            region: scope.region.to_owned(),
            service: scope.service.to_owned(),
        }
    }

    /// Whether this is the key for the scope that `signed` names. Whose secret it was derived from is for the caller
    /// to know.
    #[must_use]
    pub fn is_for(&self, signed: &SignedRequest) -> bool {
        let own = Scope {
            date: &self.date,
            region: &self.region,
            service: &self.service,
        };
        own == signed.scope()
    }
}

pub(super) fn derive(secret: &SecretString, scope: &Scope<'_>) -> hmac::Key {
    let secret = secret.expose_secret();
    let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.as_bytes());
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, &first);
    for part in [scope.date, scope.region, scope.service, "aws4_request"] {
        let step = Zeroizing::new(super::hmac_sha256(&key, part.as_bytes()));
        key = hmac::Key::new(hmac::HMAC_SHA256, step.as_ref());
    }
    key
}
