//! Public keys of load balancers, by key id: fetched from one place that configuration names, one at a time, kept for
//! a while; ids that no key has are remembered too, and cannot make us ask more often than a few times a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError as Poisoned, RwLock};
use std::time::Duration;

use countersign_crypto::{SharedClock, Timestamp, alb};
use countersign_outbound::{Client, Request};
use http::StatusCode;
use tokio::sync::Mutex;
use url::Url;

/// Age at which a key is fetched again.
const REFRESH_AFTER: Duration = Duration::from_hours(1);
/// Age until which a key serves while it cannot be fetched.
const KEEP_FOR: Duration = Duration::from_hours(24);
/// How long an id without a key is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_mins(1);
/// How long nothing is asked after the place failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Ids remembered. A load balancer signs with one key at a time.
const MAX_KEYS: usize = 64;
/// Fetches in [`WINDOW`], whatever ids the tokens name.
const MAX_FETCHES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A PEM of a P-256 key takes 178 bytes.
const MAX_BYTES: usize = 4 * 1024;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// No key has this id.
    Unknown,
    /// The place does not answer, or not with a key.
    Unavailable,
}

#[derive(Clone)]
struct Known {
    /// `None`: no key has the id.
    pem: Option<Arc<str>>,
    at: Timestamp,
}

#[derive(Default)]
struct Fetches {
    since: Option<Timestamp>,
    count: u32,
    failed_at: Option<Timestamp>,
}

pub(super) struct AlbKeys {
    /// Ends in a slash; the key id follows.
    base: Url,
    client: Client,
    clock: SharedClock,
    known: RwLock<HashMap<String, Known>>,
    /// Held while fetching, so that there is one fetch at a time.
    fetches: Mutex<Fetches>,
}

impl AlbKeys {
    pub(super) fn new(base: Url, client: Client, clock: SharedClock) -> Self {
        Self {
            base,
            client,
            clock,
            known: RwLock::default(),
            fetches: Mutex::default(),
        }
    }

    /// The PEM of a key id, which the caller has checked to be a UUID.
    pub(super) async fn get(&self, kid: &str) -> Result<Arc<str>, NoKey> {
        if let Some(known) = self.fresh(kid) {
            return known;
        }
        let mut fetches = self.fetches.lock().await;
        if let Some(known) = self.fresh(kid) {
            return known;
        }
        let now = self.clock.now();
        if !fetches.allow(now) {
            return self.kept(kid, now);
        }
        match self.fetch(kid).await {
            Ok(pem) => {
                fetches.failed_at = None;
                self.remember(kid, pem.clone(), now);
                pem.ok_or(NoKey::Unknown)
            }
            Err(error) => {
                fetches.failed_at = Some(now);
                tracing::warn!(
                    key.id = kid,
                    error,
                    "a load balancer's public key cannot be fetched"
                );
                self.kept(kid, now)
            }
        }
    }

    fn known(&self, kid: &str) -> Option<Known> {
        let known = self.known.read().unwrap_or_else(Poisoned::into_inner);
        known.get(kid).cloned()
    }

    fn fresh(&self, kid: &str) -> Option<Result<Arc<str>, NoKey>> {
        let known = self.known(kid)?;
        let age = self.clock.now().since(known.at);
        match known.pem {
            Some(pem) if age < REFRESH_AFTER => Some(Ok(pem)),
            None if age < UNKNOWN_FOR => Some(Err(NoKey::Unknown)),
            _ => None,
        }
    }

    /// What there is, where nothing newer can be had.
    fn kept(&self, kid: &str, now: Timestamp) -> Result<Arc<str>, NoKey> {
        let known = self.known(kid).filter(|known| now.since(known.at) < KEEP_FOR);
        known.and_then(|known| known.pem).ok_or(NoKey::Unavailable)
    }

    fn remember(&self, kid: &str, pem: Option<Arc<str>>, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(Poisoned::into_inner);
        if known.len() >= MAX_KEYS && !known.contains_key(kid) {
            // Ids without a key go first, then the oldest: strangers cannot push out a key in use.
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| (known.pem.is_some(), known.at))
                .map(|(kid, _)| kid.clone());
            if let Some(oldest) = oldest {
                known.remove(&oldest);
            }
        }
        known.insert(kid.to_owned(), Known { pem, at: now });
    }

    /// `Ok(None)`: the place says that there is no such key.
    async fn fetch(&self, kid: &str) -> Result<Option<Arc<str>>, String> {
        let url = self.base.join(kid).map_err(|error| error.to_string())?;
        let request = Request::get(url).timeout(TIMEOUT).max_bytes(MAX_BYTES);
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        match response.status {
            StatusCode::OK => {}
            // S3, where the keys of GovCloud are, says 403 of what is not there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(format!("status {status}")),
        }
        let pem = std::str::from_utf8(&response.body).map_err(|error| error.to_string())?;
        alb::check_key(pem).map_err(|error| error.to_string())?;
        Ok(Some(pem.into()))
    }
}

impl Fetches {
    /// Whether one more may be made now.
    fn allow(&mut self, now: Timestamp) -> bool {
        if self.failed_at.is_some_and(|at| now.since(at) < PAUSE) {
            return false;
        }
        if self.since.is_none_or(|since| now.since(since) >= WINDOW) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count <= MAX_FETCHES
    }
}
