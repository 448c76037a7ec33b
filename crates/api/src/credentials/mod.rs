//! Where a client's signing credentials come from: an access key of configuration, or temporary credentials that the
//! platform hands out and that are fetched anew before they end.
//!
//! The order is that of AWS's own libraries, as far as it concerns a server: variables with a key, web identity, the
//! container's endpoint, and where the operator asked for it the instance's metadata service. <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

mod container;
mod document;
mod environment;
mod instance;
mod web_identity;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError as Poisoned, RwLock};

use countersign_outbound as outbound;
use tokio::sync::Mutex;

use crate::client::NowSecs;
use crate::sigv4::Credentials;
use container::Container;
pub use environment::Environment;
use instance::Instance;
use web_identity::WebIdentity;

/// Credentials are fetched again this long before their end, seconds: AWS has the next ones ready 5 minutes before.
const REFRESH_BEFORE: i64 = 300;
/// After a failed fetch nothing is asked for this long, as long as there are credentials that still hold; seconds.
const PAUSE: i64 = 15;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Neither configuration nor environment has any.
    #[error(
        "no credentials: set `access_key_id` and `secret_access_key`, or run where AWS gives a process its role \
         (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_WEB_IDENTITY_TOKEN_FILE; on Amazon EC2 `instance_metadata = true`)"
    )]
    None,
    /// One half of a pair.
    #[error("`{0}` is set without `{1}`")]
    Incomplete(&'static str, &'static str),
    /// A value of the environment that cannot be.
    #[error("{name}: {rule}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The file with a token.
    #[error("{name}: {source}")]
    File {
        /// The variable that names it.
        name: &'static str,
        /// What reading it met.
        source: std::io::Error,
    },
    /// The place that hands out credentials was not reached.
    #[error("credentials: {0}")]
    Transport(#[from] outbound::OutboundError),
    /// It refused.
    #[error("credentials: {place} answered with status {status}{code}")]
    Refused {
        /// Which place.
        place: &'static str,
        /// The status.
        status: http::StatusCode,
        /// Its error code, in brackets; empty when it gave none.
        code: String,
    },
    /// Its answer is no credentials.
    #[error("credentials: the answer of {0} cannot be read")]
    Malformed(&'static str),
    /// What a fetch met, for all who waited for it.
    #[error(transparent)]
    Fetch(Arc<CredentialsError>),
}

/// Signing credentials, now and later.
#[derive(Clone)]
pub struct CredentialSource(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Credentials),
    Temporary(Arc<Temporary>),
}

/// Where temporary credentials are had.
enum Origin {
    Container(Container),
    WebIdentity(WebIdentity),
    Instance(Instance),
}

struct Temporary {
    origin: Origin,
    http: outbound::Client,
    now_secs: NowSecs,
    held: RwLock<Option<Held>>,
    /// Held while fetching: one fetch at a time. What the last one met that failed.
    fetching: Mutex<Option<Arc<CredentialsError>>>,
    /// How many have failed.
    failures: AtomicU64,
}

/// Temporary credentials.
#[derive(Clone)]
struct Held {
    credentials: Credentials,
    /// Epoch seconds.
    expires_at: i64,
    /// When fetching their successors last failed, epoch seconds.
    failed_at: Option<i64>,
}

impl From<Credentials> for CredentialSource {
    fn from(credentials: Credentials) -> Self {
        Self(Kind::Fixed(credentials))
    }
}

impl std::fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Fixed(credentials) => credentials.fmt(f),
            Kind::Temporary(temporary) => f.write_str(temporary.origin.place()),
        }
    }
}

impl CredentialSource {
    /// What the platform gives this process, by its `environment`, and with `instance_metadata` the role of the EC2
    /// instance where the environment has nothing. Asks nobody yet.
    pub fn from_environment(
        environment: &Environment,
        instance_metadata: bool,
        now_secs: NowSecs,
    ) -> Result<Self, CredentialsError> {
        if let Some(credentials) = environment.access_key()? {
            return Ok(credentials.into());
        }
        let origin = match WebIdentity::of(environment)? {
            Some(web_identity) => Origin::WebIdentity(web_identity),
            None => match Container::of(environment)? {
                Some(container) => Origin::Container(container),
                None if instance_metadata => Origin::Instance(Instance::of(environment)?),
                None => return Err(CredentialsError::None),
            },
        };
        let http = outbound::Client::new(origin.policy()).map_err(|_| CredentialsError::None)?;
        Ok(Self(Kind::Temporary(Arc::new(Temporary {
            origin,
            http,
            now_secs,
            held: RwLock::default(),
            fetching: Mutex::default(),
            failures: AtomicU64::new(0),
        }))))
    }

    /// Whether they stay the same for as long as the process runs.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.0, Kind::Fixed(_))
    }

    /// Credentials that hold now.
    pub async fn current(&self) -> Result<Credentials, CredentialsError> {
        match &self.0 {
            Kind::Fixed(credentials) => Ok(credentials.clone()),
            Kind::Temporary(temporary) => temporary.current().await,
        }
    }
}

impl Origin {
    const fn place(&self) -> &'static str {
        match self {
            Self::Container(_) => container::PLACE,
            Self::WebIdentity(_) => web_identity::PLACE,
            Self::Instance(_) => instance::PLACE,
        }
    }

    fn policy(&self) -> outbound::Policy {
        match self {
            Self::Container(container) => container.policy(),
            Self::WebIdentity(web_identity) => web_identity.policy(),
            Self::Instance(instance) => instance.policy(),
        }
    }

    async fn fetch(&self, http: &outbound::Client) -> Result<Held, CredentialsError> {
        match self {
            Self::Container(container) => container.fetch(http).await,
            Self::WebIdentity(web_identity) => web_identity.fetch(http).await,
            Self::Instance(instance) => instance.fetch(http).await,
        }
    }
}

impl Temporary {
    async fn current(&self) -> Result<Credentials, CredentialsError> {
        if let Some(fresh) = self.held(Held::is_fresh) {
            return Ok(fresh);
        }
        // The old ones still hold: one caller fetches, the others do not wait for it.
        if let Some(usable) = self.held(Held::is_usable) {
            let Ok(mut fetching) = self.fetching.try_lock() else {
                return Ok(usable);
            };
            if let Some(fresh) = self.held(Held::is_fresh) {
                return Ok(fresh);
            }
            return Ok(self.fetch(&mut fetching).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "credentials could not be renewed; the old ones still hold");
                self.note_failure();
                usable
            }));
        }
        let failures = self.failures.load(Ordering::SeqCst);
        let mut fetching = self.fetching.lock().await;
        if let Some(usable) = self.held(Held::is_usable) {
            return Ok(usable);
        }
        // The one that this call waited for has failed: another would keep it, and all who wait behind it, as long again.
        if self.failures.load(Ordering::SeqCst) != failures
            && let Some(error) = &*fetching
        {
            return Err(CredentialsError::Fetch(Arc::clone(error)));
        }
        self.fetch(&mut fetching).await
    }

    fn held(&self, wanted: fn(&Held, i64) -> bool) -> Option<Credentials> {
        let held = self.held.read().unwrap_or_else(Poisoned::into_inner);
        let held = held.as_ref().filter(|held| wanted(held, (self.now_secs)()))?;
        Some(held.credentials.clone())
    }

    /// Fetches them, and leaves in `failed` what it met.
    async fn fetch(
        &self,
        failed: &mut Option<Arc<CredentialsError>>,
    ) -> Result<Credentials, CredentialsError> {
        let fetched = match self.origin.fetch(&self.http).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let error = Arc::new(error);
                *failed = Some(Arc::clone(&error));
                self.failures.fetch_add(1, Ordering::SeqCst);
                return Err(CredentialsError::Fetch(error));
            }
        };
        tracing::info!(
            aws.access_key_id = fetched.credentials.access_key_id,
            expires_at = fetched.expires_at,
            "credentials fetched from {}",
            self.origin.place()
        );
        let credentials = fetched.credentials.clone();
        *self.held.write().unwrap_or_else(Poisoned::into_inner) = Some(fetched);
        Ok(credentials)
    }

    fn note_failure(&self) {
        let mut held = self.held.write().unwrap_or_else(Poisoned::into_inner);
        if let Some(held) = held.as_mut() {
            held.failed_at = Some((self.now_secs)());
        }
    }
}

impl Held {
    fn is_fresh(&self, now: i64) -> bool {
        let paused = self.failed_at.is_some_and(|at| now < at.saturating_add(PAUSE));
        now < self.expires_at.saturating_sub(REFRESH_BEFORE) || (paused && self.is_usable(now))
    }

    fn is_usable(&self, now: i64) -> bool {
        now < self.expires_at
    }
}

/// RFC 3339, as all places write an end.
fn epoch_seconds(text: &str) -> Option<i64> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
}
