//! Documents that a server publishes under a URL (metadata, keys): fetched once for all who wait, kept for
//! a while, and after a failure not asked for again at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use countersign_crypto::{SharedClock, Timestamp};
use countersign_outbound::{Client, Request};
use http::StatusCode;
use tokio::sync::Mutex;
use url::Url;

/// Most documents kept. Past it all are forgotten: a bound on memory, not a working size.
const MAX_DOCUMENTS: usize = 1_024;
/// Largest document, bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Why a document could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The guard refused the URL or the server cannot be reached. The text names host and port at most.
    #[error("{0}")]
    Unreachable(String),
    /// Another status than 200; redirects are not followed.
    #[error("status {0}")]
    Status(u16),
    /// Not the JSON it should be, or a member is repeated.
    #[error("malformed document")]
    Malformed,
    /// A required member is missing, or an endpoint is not a URL that may be used.
    #[error("unusable value of `{0}`")]
    Member(&'static str),
    /// `issuer` is not the one the URL belongs to (RFC 8414 section 3.3).
    #[error("the document is of issuer `{found}`")]
    Issuer {
        /// What the document says.
        found: String,
    },
    /// The URL is no discovery URL.
    #[error("not a discovery URL")]
    Url,
}

/// How long documents serve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freshness {
    /// Age at which the next caller fetches again.
    pub(crate) refresh_after: Duration,
    /// Age until which a document serves while fetching fails.
    pub(crate) keep_for: Duration,
    /// Shortest time between two fetches of one URL; bounds what strangers can make us send.
    pub(crate) min_interval: Duration,
}

struct Fetched<T> {
    document: Arc<T>,
    at: Timestamp,
}

impl<T> Clone for Fetched<T> {
    fn clone(&self) -> Self {
        Self {
            document: Arc::clone(&self.document),
            at: self.at,
        }
    }
}

/// The last try, and how it failed.
#[derive(Default)]
struct Attempt {
    at: Option<Timestamp>,
    error: Option<DocumentError>,
}

struct Entry<T> {
    fetched: RwLock<Option<Fetched<T>>>,
    /// Held while fetching, so that there is one fetch at a time.
    attempt: Mutex<Attempt>,
}

impl<T> Entry<T> {
    fn fetched(&self) -> Option<Fetched<T>> {
        self.fetched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Documents of one kind by URL.
pub(crate) struct Documents<T> {
    client: Client,
    clock: SharedClock,
    freshness: Freshness,
    read: fn(&Client, &Url, &[u8]) -> Result<T, DocumentError>,
    entries: StdMutex<HashMap<Url, Arc<Entry<T>>>>,
}

impl<T> Documents<T> {
    pub(crate) fn new(
        client: Client,
        clock: SharedClock,
        freshness: Freshness,
        read: fn(&Client, &Url, &[u8]) -> Result<T, DocumentError>,
    ) -> Self {
        Self {
            client,
            clock,
            freshness,
            read,
            entries: StdMutex::default(),
        }
    }

    /// The document at `url`, from memory while it is young.
    pub(crate) async fn current(&self, url: &Url) -> Result<Arc<T>, DocumentError> {
        let entry = self.entry(url);
        let now = self.clock.now();
        let young = |fetched: &Fetched<T>| now.since(fetched.at) < self.freshness.refresh_after;
        if let Some(fetched) = entry.fetched().filter(young) {
            return Ok(fetched.document);
        }
        let refreshed = self.refresh(url, &entry, young).await;
        match entry
            .fetched()
            .filter(|fetched| now.since(fetched.at) < self.freshness.keep_for)
        {
            Some(fetched) => Ok(fetched.document),
            None => Err(refreshed.err().unwrap_or(DocumentError::Malformed)),
        }
    }

    /// A document fetched after `seen` was; `None` when the server has been asked a moment ago or fails.
    pub(crate) async fn newer_than(&self, url: &Url, seen: &Arc<T>) -> Option<Arc<T>> {
        let entry = self.entry(url);
        let newer = |fetched: &Fetched<T>| !Arc::ptr_eq(&fetched.document, seen);
        // A failure is in the log; what is left is that nothing newer is there.
        self.refresh(url, &entry, newer).await.ok();
        entry.fetched().filter(newer).map(|fetched| fetched.document)
    }

    fn entry(&self, url: &Url) -> Arc<Entry<T>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_DOCUMENTS && !entries.contains_key(url) {
            entries.clear();
        }
        let new = || {
            Arc::new(Entry {
                fetched: RwLock::default(),
                attempt: Mutex::default(),
            })
        };
        Arc::clone(entries.entry(url.clone()).or_insert_with(new))
    }

    /// Fetches, unless while waiting somebody else did what `enough` asks for, or tried a moment ago.
    async fn refresh(
        &self,
        url: &Url,
        entry: &Entry<T>,
        enough: impl Fn(&Fetched<T>) -> bool,
    ) -> Result<(), DocumentError> {
        let mut attempt = entry.attempt.lock().await;
        if entry.fetched().is_some_and(|fetched| enough(&fetched)) {
            return Ok(());
        }
        let now = self.clock.now();
        if attempt
            .at
            .is_some_and(|at| now.since(at) < self.freshness.min_interval)
        {
            return attempt.error.clone().map_or(Ok(()), Err);
        }
        attempt.at = Some(now);
        let outcome = self.fetch(url).await;
        attempt.error = outcome.as_ref().err().cloned();
        let document = outcome.inspect_err(|error| {
            tracing::warn!(host = url.host_str(), path = url.path(), %error, "cannot fetch");
        })?;
        let fetched = Fetched {
            document: Arc::new(document),
            at: now,
        };
        *entry.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
        Ok(())
    }

    async fn fetch(&self, url: &Url) -> Result<T, DocumentError> {
        let body = get(&self.client, url).await?;
        (self.read)(&self.client, url, &body)
    }
}

async fn get(client: &Client, url: &Url) -> Result<Bytes, DocumentError> {
    let request = Request::get(url.clone()).accept_json().max_bytes(MAX_BYTES);
    let response = client
        .send(request)
        .await
        .map_err(|error| DocumentError::Unreachable(error.to_string()))?;
    match response.status {
        StatusCode::OK => Ok(response.body),
        status => Err(DocumentError::Status(status.as_u16())),
    }
}
