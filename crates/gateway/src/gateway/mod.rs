//! Putting the parts together, and taking them apart in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use countersign_audit::delivery::Deliveries;
use countersign_audit::{AuditError, Entry, Recorder};
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom};
use countersign_db::{DatabaseConfig, DbError, Pool};
use countersign_oauth::JwksCache;
use countersign_outbound::{Client, Policy};
use countersign_web::Transport;
use countersign_web::tls::{ListenerTransport, Tls, TlsError};
use tokio::sync::Mutex;
use tokio_util::sync::DropGuard;

use crate::access_log::AccessLog;
use crate::authenticate::site::{Applications, Sites, SitesByHost};
use crate::claims_header::ClaimsHeaders;
use crate::config::{Config, ConfigError};
use crate::forward::Forwarder;
use crate::keys::{KeysError, LiveKeys};
use crate::listener::{Listener, ListenerName, TargetGroups};
use crate::operator::Operator;
use crate::origin::Origin;
use crate::reason::Reason;
use crate::session::{MIGRATIONS, Sessions};
use crate::slot::{Responder, Served, Slot};
use crate::stop_list::StopList;

mod start;

pub(crate) use start::recorder_config;

/// This role's name: of its schema, its migrations and its audit chain.
pub(crate) const ROLE: &str = "gateway";

/// What the gateway is given from outside its configuration.
pub struct Parts {
    /// The clock.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// Wraps the gateway's keys; its own, never the identity service's.
    pub key_provider: Arc<dyn KeyProvider>,
    /// What wrapped them before: keys that it still wraps are wrapped anew by `key_provider` at the start.
    pub previous_key_provider: Option<Arc<dyn KeyProvider>>,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("gateway configuration: {0}")]
    Config(#[from] ConfigError),
    /// Certificates or keys of a listener cannot be used.
    #[error("gateway: listeners.{listener}.tls: {error}")]
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong.
        error: TlsError,
    },
    /// The database.
    #[error("gateway database: {0}")]
    Database(#[from] DbError),
    /// The access log's file.
    #[error("gateway: access_log.path: {0}")]
    AccessLog(std::io::Error),
    /// The gateway's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The audit chain.
    #[error("gateway audit: {0}")]
    Audit(#[from] AuditError),
}

/// What requests on all listeners share.
pub(crate) struct Shared {
    pub(crate) account: String,
    pub(crate) app_origin: Origin,
    pub(crate) account_origin: Origin,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) keys: Arc<LiveKeys>,
    pub(crate) stops: Arc<StopList>,
    pub(crate) claims_headers: Arc<ClaimsHeaders>,
    pub(crate) forwarder: Forwarder,
    /// Keys of issuers whose tokens rules validate.
    pub(crate) jwks: Arc<JwksCache>,
    pub(crate) recorder: Recorder,
    pub(crate) csrf_secret: [u8; 32],
    pub(crate) max_request_body_bytes: usize,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    /// For ids that are no secrets.
    pub(crate) ids: SharedRandom,
}

impl Shared {
    /// Writes what happened; without the record on disk nothing is handed out (design D15).
    pub(crate) async fn record(&self, entry: Entry) -> Result<(), Reason> {
        self.recorder.record(entry).await.map(drop).map_err(|error| {
            tracing::error!(%error, "an audit record could not be written");
            Reason::AuditUnavailable
        })
    }
}

/// A running gateway. Its responders are served by the caller, who also drains them before [`Self::close`].
pub struct Gateway {
    slots: Vec<(ListenerName, Arc<Slot>)>,
    keys: Router,
    /// What comes before HTTP on each listener.
    transports: BTreeMap<String, Arc<ListenerTransport>>,
    shared: ArcSwap<Shared>,
    pub(crate) current: Mutex<Current>,
    pool: Pool,
    region: String,
    access_log: Option<Arc<AccessLog>>,
    deliveries: Deliveries,
    _tasks: DropGuard,
}

/// What a gateway runs with; the next reload is compared with it.
pub(crate) struct Current {
    pub(crate) config: Config,
    pub(crate) groups: TargetGroups,
}

impl Gateway {
    /// What answers on the listener of this name in the configuration. `None` for a name that is not configured.
    pub fn responder(&self, name: &str) -> Option<Responder> {
        if name == "keys" {
            return Some(Responder::of_keys(self.keys.clone()));
        }
        let slot = self.slots.iter().find(|(other, _)| other.as_str() == name);
        slot.map(|(_, slot)| Responder::of_slot(Arc::clone(slot)))
    }

    /// What comes before HTTP on the listener of this name: PROXY protocol and TLS. `None` for a name that
    /// is not configured.
    pub fn transport(&self, name: &str) -> Option<Arc<dyn Transport>> {
        let transport = self.transports.get(name)?;
        Some(transport.clone())
    }

    /// Waits until it is known for the first time who is stopped. Until then every session is answered 503.
    pub async fn stops_are_known(&self) {
        let stops = self.shared().stops.clone();
        stops.first_reading().await;
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.load_full()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = ListenerName> {
        self.slots.iter().map(|(name, _)| *name)
    }

    pub(crate) fn tls(&self, listener: &str) -> Option<&Arc<Tls>> {
        self.transports.get(listener)?.tls()
    }

    /// Puts what a reload has prepared in force.
    pub(crate) fn replace(&self, shared: Arc<Shared>, served: Vec<(ListenerName, Served)>, config: &Config) {
        self.shared.store(shared);
        for (name, served) in served {
            if let Some((_, slot)) = self.slots.iter().find(|(other, _)| *other == name) {
                slot.replace(served);
            }
        }
        let keys = &config.listeners.keys;
        let listeners = config.listeners.with_rules();
        let trusted = listeners.map(|(name, of)| (name, of.proxy_protocol.clone(), &of.plaintext_from));
        for (name, proxy, plaintext_from) in trusted.chain([("keys", None, &keys.plaintext_from)]) {
            if let Some(transport) = self.transports.get(name) {
                transport.trust(proxy, plaintext_from.clone());
            }
        }
    }

    /// Marks the database as a development one, which `serve` and `restore` refuse (design D25).
    pub async fn mark_dev(&self) -> Result<(), DbError> {
        countersign_db::set_dev_mark(&self.pool).await
    }

    /// An operator on this gateway's store.
    pub fn operator(&self) -> Operator {
        let shared = self.shared.load();
        Operator::of(&shared, &self.region, &self.pool, shared.keys.provider())
    }

    /// Ends the audit chain with a checkpoint and closes the database. Call it after the listeners' requests
    /// have drained: later ones get 503.
    pub async fn close(self) -> Result<(), AuditError> {
        let closed = self.shared().recorder.clone().close().await;
        // After the last checkpoint, and while the database is open.
        self.deliveries.close().await;
        self.pool.close().await;
        closed
    }
}

/// Brings the gateway's database to the newest schema.
pub async fn migrate(database: &DatabaseConfig, now_micros: i64) -> Result<(), DbError> {
    open(database, now_micros).await?.close().await;
    Ok(())
}

/// Brings an empty database to the schema that a backup has. [`DbError::Newer`] when this program does not know it.
pub async fn migrate_to(
    database: &DatabaseConfig,
    versions: &BTreeMap<String, i64>,
    now_micros: i64,
) -> Result<(), DbError> {
    let pool = Pool::connect(&database.database(ROLE)?).await?;
    let outcome = async {
        for (owner, migrations) in [("audit", countersign_audit::MIGRATIONS), (ROLE, MIGRATIONS)] {
            let migrations = countersign_db::up_to(owner, migrations, versions)?;
            countersign_db::migrate(&pool, owner, migrations, now_micros).await?;
        }
        Ok(())
    }
    .await;
    pool.close().await;
    outcome
}

/// Ends every browser session of a database that was filled from a backup; gives how many.
pub async fn end_sessions(pool: &Pool) -> Result<u64, DbError> {
    crate::session::Store::new(pool.clone()).end_all().await
}

pub(crate) async fn open(database: &DatabaseConfig, now_micros: i64) -> Result<Pool, DbError> {
    let pool = Pool::connect(&database.database(ROLE)?).await?;
    countersign_db::migrate(&pool, "audit", countersign_audit::MIGRATIONS, now_micros).await?;
    countersign_db::migrate(&pool, ROLE, MIGRATIONS, now_micros).await?;
    Ok(pool)
}

/// What every listener with rules serves under a configuration.
pub(crate) fn served(
    config: &Config,
    shared: &Arc<Shared>,
    groups: &TargetGroups,
    applications: &Applications,
    names: impl Iterator<Item = ListenerName>,
) -> Result<Vec<(ListenerName, Served)>, ConfigError> {
    let suffix = &config.cookie_suffix;
    let listeners = names.filter_map(|name| {
        let mut all = config.listeners.with_rules();
        let (_, listener) = all.find(|(other, _)| *other == name.as_str())?;
        Some((name, listener, Sites::new(&name, listener, suffix, applications)))
    });
    let listeners: Vec<_> = listeners.collect();
    let ticketed = SitesByHost::of(listeners.iter().map(|(_, listener, sites)| (*listener, sites)));
    let mut all = Vec::new();
    for (name, listener, sites) in listeners {
        let sites = sites.beside(ticketed.clone());
        let serving = Listener::new(name, listener, sites, groups.clone(), shared.clone())?;
        all.push((name, Served::new(Arc::new(serving), &listener.attributes)));
    }
    Ok(all)
}

/// Keys of issuers whose tokens rules validate, fetched within an ALB's 5 seconds.
pub(crate) fn jwks(config: &Config, clock: &SharedClock) -> Result<Arc<JwksCache>, ConfigError> {
    let policy = Policy {
        allow: config.outbound_allow.clone(),
        timeout: Duration::from_secs(5),
        ..Policy::default()
    };
    let client =
        Client::new(policy).map_err(|error| ConfigError::new("outbound_allow", error.to_string()))?;
    Ok(Arc::new(JwksCache::new(client, clock.clone())))
}

pub(crate) fn max_request_body(config: &Config) -> usize {
    let most = config
        .target_groups
        .values()
        .map(|group| group.max_request_body_bytes)
        .max();
    usize::try_from(most.unwrap_or(0)).unwrap_or(usize::MAX)
}
