//! Certificates by ACME (RFC 8555): an account, an order for each listener's names, renewal before the end.
//!
//! It refuses to run without agreement to the terms of service, and to let a failed renewal take away a
//! certificate that still holds.

mod challenge;
mod http;
mod order;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{SharedClock, SharedRandom};
use countersign_outbound::HostPort;
use countersign_web::tls::IssuedCertificates;
use tokio_util::sync::CancellationToken;

use crate::config::{AcmeConfig, ConfigError};

pub(crate) use challenge::HttpChallenges;
use storage::Storage;

/// How often it is looked whether a certificate needs renewal.
const LOOK_EVERY: Duration = Duration::from_hours(12);
/// And how soon again at the earliest.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// Wait after a failure, doubled up to [`LOOK_EVERY`]: an authority counts failed validations.
const RETRY_AFTER: Duration = Duration::from_mins(5);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// The ACME server refused, or cannot be reached.
    #[error(transparent)]
    Server(#[from] instant_acme::Error),
    /// The server offers no challenge of the configured kind for this name.
    #[error("the server offers no such challenge for {0}")]
    NoChallenge(String),
    /// The order ended without a certificate.
    #[error("the order is {0:?}")]
    Order(instant_acme::OrderStatus),
    /// A certificate for the challenge cannot be made.
    #[error("challenge certificate: {0}")]
    Challenge(#[from] rcgen::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] countersign_web::tls::TlsError),
    /// The storage directory.
    #[error("storage: {0}")]
    Storage(#[from] std::io::Error),
    /// A stored file cannot be read as what it should be.
    #[error("storage: {0} is damaged")]
    Damaged(&'static str),
}

/// Everything that issues certificates.
pub(crate) struct Acme {
    config: AcmeConfig,
    /// The names of each certificate.
    orders: Vec<Vec<String>>,
    storage: Storage,
    client: countersign_outbound::Client,
    issued: Arc<IssuedCertificates>,
    challenges: Arc<HttpChallenges>,
    clock: SharedClock,
    random: SharedRandom,
}

impl Acme {
    /// `orders` are the names of each certificate. What is stored from before is shown at once.
    pub(crate) fn new(
        config: &AcmeConfig,
        orders: Vec<Vec<String>>,
        allow: &[HostPort],
        (issued, challenges): (Arc<IssuedCertificates>, Arc<HttpChallenges>),
        (clock, random): (SharedClock, SharedRandom),
    ) -> Result<Self, ConfigError> {
        let client = http::client(config, allow)?;
        let storage = Storage::open(&config.storage)
            .map_err(|error| ConfigError::new("acme.storage", error.to_string()))?;
        for names in &orders {
            if let Some(stored) = storage.certificate(names)
                && let Err(error) = issued.install(names, &stored.chain, &stored.key)
            {
                tracing::warn!(%error, ?names, "a stored certificate cannot be used");
            }
        }
        Ok(Self {
            config: config.clone(),
            orders,
            storage,
            client,
            issued,
            challenges,
            clock,
            random,
        })
    }

    /// Keeps every certificate fresh until `stopped`.
    pub(crate) async fn keep_fresh(self, stopped: CancellationToken) {
        let mut wait = Duration::ZERO;
        let mut failures = 0_u32;
        while stopped
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_some()
        {
            let mut failed = false;
            for names in &self.orders {
                if self.clock.now().as_secs() < self.due(names) {
                    continue;
                }
                match self.issue(names).await {
                    Ok(()) => tracing::info!(?names, "a certificate was issued"),
                    Err(error) => {
                        failed = true;
                        tracing::error!(%error, ?names, "no certificate by ACME");
                    }
                }
            }
            failures = if failed { failures + 1 } else { 0 };
            wait = self.wait(failures);
        }
    }

    /// When a certificate is to be renewed, in epoch seconds; in the past where there is none.
    fn due(&self, names: &[String]) -> i64 {
        let stored = self.storage.certificate(names);
        let Some((not_before, not_after)) = stored.and_then(|stored| stored.validity()) else {
            return i64::MIN;
        };
        let before = i64::from(self.config.renew_before_days) * 86_400;
        // A certificate of a few days is renewed in its last third.
        not_after - before.min((not_after - not_before) / 3)
    }

    /// With jitter, so that many replicas and installations do not come at once; but never so late that a
    /// certificate of hours would end meanwhile.
    fn wait(&self, failures: u32) -> Duration {
        let mut byte = [0];
        self.random.fill(&mut byte);
        let jittered = |base: Duration| base.mul_f64(0.75 + f64::from(byte[0]) / 512.0);
        if let Some(doublings) = failures.checked_sub(1) {
            return jittered(RETRY_AFTER.saturating_mul(1 << doublings.min(8)).min(LOOK_EVERY));
        }
        let first_due = self.orders.iter().map(|names| self.due(names)).min();
        let until_due = first_due.map_or(i64::MAX, |due| due.saturating_sub(self.clock.now().as_secs()));
        let until_due = Duration::from_secs(u64::try_from(until_due).unwrap_or(0));
        jittered(LOOK_EVERY).min(until_due.max(LOOK_AT_MOST_EVERY))
    }
}
