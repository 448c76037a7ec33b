//! A gateway's public keys: fetched when needed, kept for a while, refetched for an unknown key at most
//! once in a few seconds however many requests name one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_crypto::{JwkSet, SharedClock, Timestamp, parse_strict_json};
use countersign_outbound::{Client, Request};
use tokio::sync::Mutex;
use url::Url;

/// Age at which the next request fetches the keys again.
const REFRESH_AFTER: Duration = Duration::from_mins(5);
/// Age until which keys serve while fetching fails. Then nobody is recognised.
const KEEP_FOR: Duration = Duration::from_hours(1);
/// Between two fetches; forged key ids cannot make us send more.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// Between two fetches while the last one failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Outbound(#[from] countersign_outbound::OutboundError),
    #[error("status {0}")]
    Status(http::StatusCode),
    #[error("{0}")]
    Json(#[from] countersign_crypto::StrictJsonError),
    #[error("the discovery document is of another issuer")]
    Issuer,
    #[error("issuer or jwks_uri is not a URL")]
    Url(#[from] url::ParseError),
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<JwkSet>,
    at: Timestamp,
}

#[derive(Default)]
struct Attempt {
    at: Option<Timestamp>,
    failed: bool,
}

pub(super) struct GatewayKeys {
    issuer: String,
    jwks_uri: Option<Url>,
    client: Client,
    clock: SharedClock,
    fetched: RwLock<Option<Fetched>>,
    /// Held while fetching, so that there is one fetch at a time.
    attempt: Mutex<Attempt>,
}

impl GatewayKeys {
    pub(super) fn new(issuer: String, jwks_uri: Option<Url>, client: Client, clock: SharedClock) -> Self {
        let (fetched, attempt) = (RwLock::default(), Mutex::default());
        Self {
            issuer,
            jwks_uri,
            client,
            clock,
            fetched,
            attempt,
        }
    }

    /// The keys; `None` when there are none young enough.
    pub(super) async fn current(&self) -> Option<Arc<JwkSet>> {
        if let Some(fetched) = self.fetched()
            && self.clock.now().since(fetched.at) < REFRESH_AFTER
        {
            return Some(fetched.keys);
        }
        self.refresh(|fetched, now| now.since(fetched.at) < REFRESH_AFTER)
            .await;
        self.fetched()
            .filter(|fetched| self.clock.now().since(fetched.at) < KEEP_FOR)
            .map(|fetched| fetched.keys)
    }

    /// Keys fetched after `seen` was; `None` when there are none.
    pub(super) async fn newer_than(&self, seen: &Arc<JwkSet>) -> Option<Arc<JwkSet>> {
        self.refresh(|fetched, _| !Arc::ptr_eq(&fetched.keys, seen)).await;
        self.fetched()
            .map(|fetched| fetched.keys)
            .filter(|keys| !Arc::ptr_eq(keys, seen))
    }

    fn fetched(&self) -> Option<Fetched> {
        self.fetched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Fetches unless somebody else just did what `enough` asks for, or tried in vain a moment ago.
    async fn refresh(&self, enough: impl Fn(&Fetched, Timestamp) -> bool) {
        let mut attempt = self.attempt.lock().await;
        let now = self.clock.now();
        if self.fetched().is_some_and(|fetched| enough(&fetched, now)) {
            return;
        }
        let pause = if attempt.failed {
            RETRY_INTERVAL
        } else {
            MIN_INTERVAL
        };
        if attempt.at.is_some_and(|at| now.since(at) < pause) {
            return;
        }
        attempt.at = Some(now);
        let outcome = self.fetch().await;
        attempt.failed = outcome.is_err();
        match outcome {
            Ok(keys) => {
                let fetched = Fetched {
                    keys: Arc::new(keys),
                    at: now,
                };
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
            }
            Err(error) => tracing::warn!(issuer = self.issuer, %error, "cannot fetch the gateway's keys"),
        }
    }

    async fn fetch(&self) -> Result<JwkSet, FetchError> {
        let jwks_uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.discover().await?,
        };
        Ok(JwkSet::from_json(&self.get(jwks_uri).await?)?)
    }

    /// OpenID Connect Discovery 1.0, section 4.
    async fn discover(&self) -> Result<Url, FetchError> {
        let url = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let document = parse_strict_json(&self.get(Url::parse(&url)?).await?)?;
        if document["issuer"].as_str() != Some(&self.issuer) {
            return Err(FetchError::Issuer);
        }
        Ok(Url::parse(document["jwks_uri"].as_str().unwrap_or_default())?)
    }

    async fn get(&self, url: Url) -> Result<bytes::Bytes, FetchError> {
        let request = Request::get(url)
            .accept_json()
            .timeout(TIMEOUT)
            .max_bytes(MAX_BYTES);
        let response = self.client.send(request).await?;
        if response.status != http::StatusCode::OK {
            return Err(FetchError::Status(response.status));
        }
        Ok(response.body)
    }
}
