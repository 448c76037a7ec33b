//! Putting the parts together, and taking them apart in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use countersign_audit::{AuditError, Entry, Outcome, Recorder, RecorderConfig};
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom};
use countersign_db::{Change, ChangeFeed, DatabaseConfig, DbError, Pool};
use countersign_oauth::JwksCache;
use countersign_outbound::{Client, Policy};
use countersign_web::tls::{IssuedCertificates, ListenerTransport, Tls, TlsError};
use countersign_web::{Edge, ErrorFormat, HostAllowList, Transport};
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::access_log::AccessLog;
use crate::acme::{Acme, HttpChallenges};
use crate::authenticate::site::{Applications, Sites};
use crate::claims_header::ClaimsHeaders;
use crate::config::{self, Config, ConfigError};
use crate::forward::Forwarder;
use crate::keys::{Keys, KeysError, LiveKeys};
use crate::listener::{Listener, ListenerName, TargetGroups};
use crate::operator::Operator;
use crate::origin::Origin;
use crate::reason::Reason;
use crate::session::{MIGRATIONS, Sessions, Store};
use crate::slot::{Served, Slot};
use crate::stop_list::{StopList, own_tokens};
use crate::target_group::TargetGroup;

/// This role's name: of its schema, its migrations and its audit chain.
pub(crate) const ROLE: &str = "gateway";
/// How often what has run out is deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// The key listener takes no bodies.
const MAX_KEY_REQUEST_BODY: usize = 1_024;

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

/// A running gateway. Its routers are served by the caller, who also drains them before [`Self::close`].
pub struct Gateway {
    slots: Vec<(ListenerName, Arc<Slot>)>,
    keys: Router,
    doors: BTreeMap<String, Door>,
    shared: ArcSwap<Shared>,
    pub(crate) current: Mutex<Current>,
    pool: Pool,
    region: String,
    access_log: Option<Arc<AccessLog>>,
    _tasks: DropGuard,
}

/// What a gateway runs with; the next reload is compared with it.
pub(crate) struct Current {
    pub(crate) config: Config,
    pub(crate) groups: TargetGroups,
}

/// What comes before HTTP on a listener.
struct Door {
    transport: Arc<ListenerTransport>,
    tls: Option<Arc<Tls>>,
}

impl Gateway {
    /// Opens and migrates the database, loads or creates the keys, begins an audit chain. The identity
    /// provider is not contacted before the first login.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        config.check()?;
        let access_log = AccessLog::open(&config.access_log, &config.claims_header.signer, &parts.clock)
            .map_err(StartError::AccessLog)?;
        let issued = IssuedCertificates::new();
        let doors = doors(&config, &issued)?;
        let groups = target_groups(&config)?;
        let applications = Applications::new(&config, &parts.clock)?;
        let stops = StopList::new(config.stop_list.as_ref(), &config.outbound_allow, &parts.clock)?;
        let pool = open(&config.database, parts.clock.now().as_micros()).await?;
        let store = Store::new(pool.clone());
        let changes = ChangeFeed::start(pool.clone()).await?;
        // Subscribed before reading: what changes meanwhile is read again.
        let heard = changes.subscribe();
        let place = (config.account.as_str(), config.region.as_str());
        let rewrapped = match &parts.previous_key_provider {
            None => 0,
            Some(previous) => Keys::rewrap(&store, &**previous, &*parts.key_provider).await?,
        };
        let (keys, chain) =
            Keys::load(&store, &*parts.key_provider, place, &parts.clock, &parts.random).await?;
        let recorder = Recorder::start(RecorderConfig {
            pool: pool.clone(),
            changes,
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            signing_key: chain.audit,
            persons: Arc::new(chain.person),
            checkpoint_file: config.checkpoint_file.clone(),
            role: ROLE,
            account: config.account.clone(),
            region: config.region.clone(),
        })
        .await?;
        if rewrapped > 0 {
            recorder
                .record(keys_rewrapped(rewrapped, &*parts.key_provider))
                .await?;
        }
        let csrf_secret = keys.session.derive("logout form");
        let keys = Arc::new(LiveKeys::new(
            keys,
            store.clone(),
            parts.key_provider.clone(),
            &config.account,
        ));
        let key_router = key_router(&config, keys.clone(), &parts);
        let (clock, random) = (parts.clock, parts.random);
        let shared = Arc::new(Shared {
            account: config.account.clone(),
            app_origin: config.listeners.app.origin.clone(),
            account_origin: config.listeners.account.origin.clone(),
            csrf_secret,
            sessions: Arc::new(Sessions::new(
                store,
                keys.clone(),
                &config.account,
                clock.clone(),
                random.clone(),
            )),
            stops: Arc::new(stops),
            claims_headers: Arc::new(ClaimsHeaders::new(
                &config,
                keys.clone(),
                clock.clone(),
                random.clone(),
            )),
            keys,
            forwarder: Forwarder::new(&config.forward, random.clone()),
            jwks: jwks(&config, &clock)?,
            recorder,
            max_request_body_bytes: max_request_body(&config),
            clock,
            random,
        });
        let names: Vec<ListenerName> = config
            .listeners
            .with_rules()
            .map(|(name, _)| ListenerName::of(name))
            .collect();
        let challenges = HttpChallenges::new();
        let acme = acme(&config, &issued, &challenges, &shared)?;
        let served = served(&config, &shared, &groups, &applications, names.iter().copied())?;
        let slots = served
            .into_iter()
            .map(|(name, served)| (name, Slot::new(served, challenges.clone(), access_log.clone())))
            .collect();
        let tasks = tasks(&shared, heard, acme);
        Ok(Self {
            slots,
            keys: key_router,
            doors,
            region: config.region.clone(),
            access_log,
            _tasks: tasks,
            shared: ArcSwap::new(shared),
            current: Mutex::new(Current { config, groups }),
            pool,
        })
    }

    /// The app origin.
    pub fn app_router(&self) -> Router {
        self.slot_router(ListenerName::App)
    }

    /// The account origin.
    pub fn account_router(&self) -> Router {
        self.slot_router(ListenerName::Account)
    }

    /// The key listener.
    pub fn keys_router(&self) -> Router {
        self.keys.clone()
    }

    /// What the listener of this name in the configuration serves. `None` for a name that is not configured.
    pub fn router(&self, name: &str) -> Option<Router> {
        if name == "keys" {
            return Some(self.keys_router());
        }
        let slot = self.slots.iter().find(|(other, _)| other.as_str() == name);
        slot.map(|(_, slot)| slot.router())
    }

    /// What comes before HTTP on the listener of this name: PROXY protocol and TLS. `None` for a name that
    /// is not configured.
    pub fn transport(&self, name: &str) -> Option<Arc<dyn Transport>> {
        let door = self.doors.get(name)?;
        Some(door.transport.clone())
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

    fn slot_router(&self, name: ListenerName) -> Router {
        let slot = self.slots.iter().find(|(other, _)| *other == name);
        slot.map_or_else(Router::new, |(_, slot)| slot.router())
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.load_full()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = ListenerName> {
        self.slots.iter().map(|(name, _)| *name)
    }

    pub(crate) fn tls(&self, listener: &str) -> Option<&Arc<Tls>> {
        self.doors.get(listener)?.tls.as_ref()
    }

    /// Puts what a reload has prepared in force.
    pub(crate) fn replace(&self, shared: Arc<Shared>, served: Vec<(ListenerName, Served)>, config: &Config) {
        self.shared.store(shared);
        for (name, served) in served {
            if let Some((_, slot)) = self.slots.iter().find(|(other, _)| *other == name) {
                slot.replace(served);
            }
        }
        for (name, listener) in config.listeners.with_rules() {
            if let Some(door) = self.doors.get(name) {
                let from = listener.plaintext_from.clone();
                door.transport.trust(listener.proxy_protocol.clone(), from);
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

    /// Ends the audit chain with a checkpoint and closes the database. Call it after the routers' requests
    /// have drained: later ones get 503.
    pub async fn close(self) -> Result<(), AuditError> {
        let closed = self.shared().recorder.clone().close().await;
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

fn target_groups(config: &Config) -> Result<TargetGroups, ConfigError> {
    config
        .target_groups
        .iter()
        .map(|(name, group)| Ok((name.clone(), TargetGroup::start(name, group, &config.forward)?)))
        .collect()
}

/// What every listener with rules serves under a configuration.
pub(crate) fn served(
    config: &Config,
    shared: &Arc<Shared>,
    groups: &TargetGroups,
    applications: &Applications,
    names: impl Iterator<Item = ListenerName>,
) -> Result<Vec<(ListenerName, Served)>, ConfigError> {
    let mut all = Vec::new();
    for name in names {
        let Some((_, listener)) = config
            .listeners
            .with_rules()
            .find(|(other, _)| *other == name.as_str())
        else {
            continue;
        };
        let sites = Sites::new(&name, listener, &config.cookie_suffix, applications);
        let router = Listener::new(name, listener, sites, groups.clone(), shared.clone())?;
        all.push((
            name,
            Served::new(
                Arc::new(router).router(),
                listener.origin.clone(),
                &listener.attributes,
            ),
        ));
    }
    Ok(all)
}

fn doors(config: &Config, issued: &Arc<IssuedCertificates>) -> Result<BTreeMap<String, Door>, StartError> {
    let keys = &config.listeners.keys;
    let rest = config.listeners.with_rules().map(|(name, listener)| {
        let (proxy, from) = (listener.proxy_protocol.clone(), listener.plaintext_from.clone());
        (name, listener.tls.as_ref(), listener.names(), proxy, from)
    });
    let key_names = keys.hosts.clone();
    let all = rest.chain([(
        "keys",
        keys.tls.as_ref(),
        key_names,
        None,
        keys.plaintext_from.clone(),
    )]);
    let mut doors = BTreeMap::new();
    for (name, tls, names, proxy, plaintext_from) in all {
        let tls = match tls {
            None => None,
            Some(tls) => {
                let tls = Tls::load(tls, &names, Some(issued.clone())).map_err(|error| StartError::Tls {
                    listener: name.to_owned(),
                    error,
                })?;
                tls.watch();
                Some(tls)
            }
        };
        let transport = Arc::new(ListenerTransport::new(tls.clone(), proxy, plaintext_from));
        doors.insert(name.to_owned(), Door { transport, tls });
    }
    Ok(doors)
}

/// What keeps the certificates fresh of listeners that want them by ACME: one certificate each.
fn acme(
    config: &Config,
    issued: &Arc<IssuedCertificates>,
    challenges: &Arc<HttpChallenges>,
    shared: &Shared,
) -> Result<Option<Acme>, ConfigError> {
    let Some(acme) = &config.acme else { return Ok(None) };
    let wanted = config.listeners.with_rules().map(|(_, listener)| listener);
    let orders = wanted
        .filter(|listener| listener.tls.as_ref().is_some_and(|tls| tls.acme))
        .map(config::Listener::names)
        .collect();
    let found = (issued.clone(), challenges.clone());
    let parts = (shared.clock.clone(), shared.random.clone());
    Acme::new(acme, orders, &config.outbound_allow, found, parts).map(Some)
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

fn keys_rewrapped(count: usize, provider: &dyn KeyProvider) -> Entry {
    let mut entry = Entry::new("RewrapKeys", Outcome::Done);
    entry.detail.insert("keys".to_owned(), count.into());
    entry
        .detail
        .insert("rootKey".to_owned(), provider.key_id().into());
    entry
}

fn key_router(config: &Config, keys: Arc<LiveKeys>, parts: &Parts) -> Router {
    let edge = Edge {
        listener: "gateway.keys",
        errors: ErrorFormat::Json,
        hosts: HostAllowList::new(config.listeners.keys.hosts.iter().cloned()),
        max_body_bytes: MAX_KEY_REQUEST_BODY,
        clock: parts.clock.clone(),
        random: parts.random.clone(),
    };
    edge.wrap(crate::key_listener::router(&config.user_token, keys))
}

/// What goes on beside the requests, until the guard is dropped: key rotations and stops are followed, and
/// expired sessions deleted from time to time.
fn tasks(shared: &Arc<Shared>, changed: broadcast::Receiver<Change>, acme: Option<Acme>) -> DropGuard {
    let stop = CancellationToken::new();
    if let Some(acme) = acme {
        tokio::spawn(acme.keep_fresh(stop.clone()));
    }
    let (keys, stopped) = (shared.keys.clone(), stop.clone());
    tokio::spawn(async move { stopped.run_until_cancelled(keys.follow(changed)).await });
    let (stops, stopped) = (shared.stops.clone(), stop.clone());
    let tokens = own_tokens(shared.claims_headers.clone());
    tokio::spawn(async move { stopped.run_until_cancelled(stops.follow(tokens)).await });
    let (shared, stopped) = (shared.clone(), stop.clone());
    tokio::spawn(async move {
        while stopped
            .run_until_cancelled(tokio::time::sleep(SWEEP_EVERY))
            .await
            .is_some()
        {
            if let Err(error) = shared.sessions.sweep().await {
                tracing::warn!(%error, "expired sessions could not be deleted");
            }
        }
    });
    stop.drop_guard()
}
