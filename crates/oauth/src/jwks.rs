//! Public keys of authorization servers, with rotation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{
    JwkSet, JwtError, JwtPolicy, SharedClock, Timestamp, Verified, verify_jwt, verify_jwt_of_any_audience,
};
use countersign_outbound::Client;
use url::Url;

use crate::document::{DocumentError, Documents, Freshness};

/// Why a token could not be verified against a server's keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The keys could not be had.
    #[error("keys: {0}")]
    Keys(#[from] DocumentError),
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] JwtError),
}

/// Key sets by URL. Fetched by one caller for all, kept 10 minutes, served up to an hour while the server
/// fails; a token of an unknown key causes one more fetch, at most one in 5 seconds.
pub struct JwksCache(Documents<JwkSet>);

impl fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksCache").finish_non_exhaustive()
    }
}

impl JwksCache {
    /// An empty cache that fetches through `client`.
    #[must_use]
    pub fn new(client: Client, clock: SharedClock) -> Self {
        let freshness = Freshness {
            refresh_after: Duration::from_mins(10),
            keep_for: Duration::from_hours(1),
            min_interval: Duration::from_secs(5),
        };
        let read =
            |_: &Client, _: &Url, body: &[u8]| JwkSet::from_json(body).map_err(|_| DocumentError::Malformed);
        Self(Documents::new(client, clock, freshness, read))
    }

    /// The key set at `jwks_uri`.
    pub async fn get(&self, jwks_uri: &Url) -> Result<Arc<JwkSet>, DocumentError> {
        self.0.current(jwks_uri).await
    }

    /// Verifies a JWT; when no key fits, fetches the keys again and tries once more.
    pub async fn verify(
        &self,
        jwks_uri: &Url,
        token: &str,
        policy: &JwtPolicy<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        self.verify_by(jwks_uri, |keys| verify_jwt(token, keys, policy, now))
            .await
    }

    /// As [`verify`](Self::verify), but whom the token is for is left to the caller.
    pub async fn verify_of_any_audience(
        &self,
        jwks_uri: &Url,
        token: &str,
        policy: &JwtPolicy<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        self.verify_by(jwks_uri, |keys| {
            verify_jwt_of_any_audience(token, keys, policy, now)
        })
        .await
    }

    async fn verify_by(
        &self,
        jwks_uri: &Url,
        verify: impl Fn(&JwkSet) -> Result<Verified, JwtError>,
    ) -> Result<Verified, VerifyError> {
        let keys = self.get(jwks_uri).await?;
        match verify(&keys) {
            Err(JwtError::UnknownKey) => {
                let keys = self
                    .0
                    .newer_than(jwks_uri, &keys)
                    .await
                    .ok_or(JwtError::UnknownKey)?;
                Ok(verify(&keys)?)
            }
            other => Ok(other?),
        }
    }
}
