//! Bringing the role up and down.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use countersign_audit::delivery::{Deliveries, DeliveryParts};
use countersign_audit::{AuditError, Entry, Outcome, Recorder, RecorderConfig};
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom, SigningKey, Timestamp};
use countersign_db::{Change, ChangeFeed, DatabaseConfig, DbError, Pool};
use countersign_oauth::{Discovery, JwksCache, KeyDiscovery};
use countersign_outbound::{self as outbound, HostPort};
use countersign_web::{Inbound, PersonVerifier};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::access_key_use::{self, AccessKeyUses};
use crate::cache::Cache;
use crate::client_keys::ClientKeys;
use crate::config::{Config, ConfigError};
use crate::console::Verification;
use crate::external_secret::ExternalSecrets;
use crate::health;
use crate::key_rotation;
use crate::keys::{InstallationKeys, KeyLoader, KeysError};
use crate::principal_addresses::{self, PrincipalAddresses};
use crate::rate_limit::RateLimiter;
use crate::server;
use crate::state::{Shared, State};
use crate::stops::Stops;
use crate::store::{self, account};
use crate::strangers::Strangers;
use crate::vault::client_token::Turns;
use crate::vault::refresh::Refreshes;

/// What the role is given by the process it runs in.
#[derive(Clone)]
pub struct Parts {
    /// Tells the time.
    pub clock: SharedClock,
    /// Draws randomness.
    pub random: SharedRandom,
    /// Wraps the keys that are in the database.
    pub key_provider: Arc<dyn KeyProvider>,
    /// What wrapped them before: keys that it still wraps are wrapped anew by `key_provider` at the start.
    pub previous_key_provider: Option<Arc<dyn KeyProvider>>,
}

/// The operator's exceptions, and the simulators that stand for vendors.
fn reachable(config: &Config) -> Vec<HostPort> {
    let simulators = config.vendor_endpoints.values().filter_map(HostPort::of);
    config.outbound_allow.iter().cloned().chain(simulators).collect()
}

/// Why the role did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened or migrated.
    #[error("identity database: {0}")]
    Database(#[from] DbError),
    /// Keys cannot be loaded or made.
    #[error("identity keys: {0}")]
    Keys(#[from] KeysError),
    /// The audit trail cannot be continued.
    #[error("identity audit trail: {0}")]
    Audit(#[from] AuditError),
    /// The first caller of an account cannot be made.
    #[error("identity initial_admin: {0}")]
    InitialAdmin(#[from] crate::bootstrap::BootstrapError),
    /// The HTTP client cannot be made.
    #[error("outbound client: {0}")]
    Outbound(String),
}

/// The running role. Dropping it stops its background work; [`Self::close`] also finishes the audit trail.
pub struct Identity {
    pub(crate) state: State,
    tasks: JoinSet<()>,
    deliveries: Deliveries,
}

/// Brings the database to this program's schema.
pub async fn migrate(config: &DatabaseConfig, now_micros: i64) -> Result<(), DbError> {
    let pool = Pool::connect(&config.database(store::OWNER)?).await?;
    let outcome = migrate_pool(&pool, now_micros).await;
    pool.close().await;
    outcome
}

async fn migrate_pool(pool: &Pool, now_micros: i64) -> Result<(), DbError> {
    countersign_db::migrate(pool, store::OWNER, store::MIGRATIONS, now_micros).await?;
    countersign_db::migrate(pool, "audit", countersign_audit::MIGRATIONS, now_micros).await
}

impl Identity {
    /// Opens and migrates the database, loads or makes the keys, begins an audit chain and follows changes.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        // Boxed: all that is put together in it would lie in the future of everybody who starts it.
        Box::pin(Self::put_together(config, parts)).await
    }

    async fn put_together(config: Config, parts: Parts) -> Result<Self, StartError> {
        config.check()?;
        let client_keys = ClientKeys::load(&config)?;
        let pool = open(&config, parts.clock.now()).await?;
        let loader = KeyLoader {
            pool: &pool,
            provider: &*parts.key_provider,
            random: &*parts.random,
            clock: &*parts.clock,
            region: &config.region,
        };
        let rewrapped = match &parts.previous_key_provider {
            None => 0,
            Some(previous) => loader.rewrap(&**previous).await?,
        };
        let (installation, signing_key) = loader.installation(&config.account).await?;
        let keys = loader
            .accounts(config.accounts().iter().map(|account| account.id.as_str()))
            .await?;

        let feed = ChangeFeed::start(pool.clone()).await?;
        // Before the first look-up is cached, so that no change between the two is missed.
        let changes = feed.subscribe();
        let key_changes = feed.subscribe();
        let database = (pool.clone(), feed.clone());
        let recorder = recorder(&config, &parts, database, signing_key, &installation).await?;
        record_rewrapped(&recorder, rewrapped, &*parts.key_provider).await?;
        let deliveries = deliveries(&config, &parts, &pool, &recorder).await?;
        let client = client(&config)?;
        let kept = config.grant_cache_mib << 20;
        let cache = Arc::new(Cache::new(pool.clone(), feed.clone(), kept));
        let stops = Arc::new(Stops::load(pool.clone(), feed.clone()).await?);
        hear_own_changes(&pool, &cache, &stops);
        let state = State::from(Shared {
            cache,
            stops,
            rates: RateLimiter::new(config.rate_limits),
            strangers: Strangers::new(config.rate_limits.source_refusals_per_second),
            discovery: Discovery::new(client.clone(), Arc::clone(&parts.clock)),
            key_discovery: KeyDiscovery::new(client.clone(), Arc::clone(&parts.clock)),
            jwks: JwksCache::new(client.clone(), Arc::clone(&parts.clock)),
            external_secrets: ExternalSecrets::new(
                client.clone(),
                Arc::clone(&parts.clock),
                config.secrets_manager.clone(),
            ),
            persons: Arc::new(PersonVerifier::new(inbound(&config), &client, &parts.clock)),
            outbound: client,
            clock: parts.clock,
            random: parts.random,
            config,
            pool,
            feed,
            installation,
            client_keys,
            client_tokens: Turns::default(),
            refreshes: Refreshes::default(),
            access_key_uses: AccessKeyUses::default(),
            principal_addresses: PrincipalAddresses::default(),
            gateways_asked: Mutex::default(),
            verification: Verification::default(),
            key_provider: parts.key_provider,
            accounts: keys,
            keys_outdated: AtomicBool::new(false),
            recorder,
        });
        crate::bootstrap::ensure_initial_admins(&state).await?;
        let mut tasks = key_tasks(&state, key_changes);
        tasks.spawn(follow(state.clone(), changes));
        spawn_periodic_work(&mut tasks, &state);
        Ok(Self {
            state,
            tasks,
            deliveries,
        })
    }

    /// The signed API.
    pub fn api_router(&self) -> Router {
        server::api_router(&self.state)
    }

    /// What browsers see: authorization start, callback, connections.
    pub fn front_channel_router(&self) -> Router {
        server::front_channel_router(&self.state)
    }

    /// Whether the database has answered within the last second.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.state.feed.fresh()
    }

    /// Marks the database as one that production refuses (design D25).
    pub async fn mark_dev(&self) -> Result<(), DbError> {
        countersign_db::set_dev_mark(&self.state.pool).await
    }

    /// Ends background work, writes what is queued and the last checkpoint, closes the database.
    pub async fn close(mut self) -> Result<(), AuditError> {
        // A refresh that was sent brings a pair that lives nowhere else: it is stored before the store is closed.
        self.state.refreshes.landed().await;
        self.tasks.shutdown().await;
        if let Err(error) = access_key_use::write(&self.state).await {
            tracing::warn!(%error, "the last uses of access keys could not be written");
        }
        let closed = self.state.recorder.clone().close().await;
        // After the last checkpoint, and while the database is open.
        self.deliveries.close().await;
        self.state.pool.close().await;
        closed
    }
}

/// What keeps the keys as the store and KMS have them.
fn key_tasks(state: &State, changes: Receiver<Change>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(key_rotation::follow(state.clone(), changes));
    tasks.spawn(key_rotation::work(state.clone()));
    tasks.spawn(crate::customer_key::watch(state.clone()));
    tasks
}

/// What every replica does from time to time; where one is enough, a lease says which.
fn spawn_periodic_work(tasks: &mut JoinSet<()>, state: &State) {
    tasks.spawn(crate::session::housekeeping(state.clone()));
    tasks.spawn(crate::vault::revoke::work(state.clone()));
    tasks.spawn(crate::vault::limits::enforce(state.clone()));
    tasks.spawn(access_key_use::work(state.clone()));
    tasks.spawn(principal_addresses::work(state.clone()));
    tasks.spawn(health::measure(state.clone()));
}

/// The client that asks providers, issuers and AWS.
fn client(config: &Config) -> Result<outbound::Client, StartError> {
    let policy = outbound::Policy {
        allow: reachable(config),
        ..outbound::Policy::default()
    };
    outbound::Client::new(policy).map_err(|error| StartError::Outbound(error.to_string()))
}

/// The database at this program's schema, with every configured account.
async fn open(config: &Config, now: Timestamp) -> Result<Pool, StartError> {
    let pool = Pool::connect(&config.database.database(store::OWNER)?).await?;
    migrate_pool(&pool, now.as_micros()).await?;
    for configured in &config.accounts() {
        account::ensure(&pool, &configured.id, now).await?;
    }
    Ok(pool)
}

/// Begins this replica's chain of audit records.
async fn recorder(
    config: &Config,
    parts: &Parts,
    (pool, changes): (Pool, ChangeFeed),
    signing_key: SigningKey,
    installation: &InstallationKeys,
) -> Result<Recorder, AuditError> {
    Recorder::start(RecorderConfig {
        pool,
        changes,
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
        signing_key,
        persons: Arc::clone(&installation.person),
        checkpoint_file: config.checkpoint_file.clone(),
        role: store::OWNER,
        account: config.account.clone(),
        region: config.region.clone(),
    })
    .await
}

/// What hands the evidence over to places outside.
async fn deliveries(
    config: &Config,
    parts: &Parts,
    pool: &Pool,
    recorder: &Recorder,
) -> Result<Deliveries, AuditError> {
    let delivery = DeliveryParts {
        pool: pool.clone(),
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
        role: store::OWNER,
        recorder: Some(recorder.clone()),
    };
    Deliveries::start(&config.evidence, delivery).await
}

/// That keys were wrapped under another root key, if any were.
async fn record_rewrapped(
    recorder: &Recorder,
    count: usize,
    provider: &dyn KeyProvider,
) -> Result<(), StartError> {
    if count == 0 {
        return Ok(());
    }
    let mut entry = Entry::new("RewrapKeys", Outcome::Done);
    entry.detail.insert("keys".to_owned(), count.into());
    entry
        .detail
        .insert("rootKey".to_owned(), provider.key_id().into());
    recorder.record(entry).await?;
    Ok(())
}

/// What this replica changes is gone from its memory by the time anybody is told that it is changed.
fn hear_own_changes(pool: &Pool, cache: &Arc<Cache>, stops: &Arc<Stops>) {
    // They hold the pool, so it must not hold them.
    let (cache, stops) = (Arc::downgrade(cache), Arc::downgrade(stops));
    pool.on_commit(move |kind, key| {
        if let Some(cache) = cache.upgrade() {
            cache.forget(kind, key);
        }
        if kind == store::stop::CHANGE
            && let Some(stops) = stops.upgrade()
        {
            stops.outdate();
        }
    });
}

/// The start page's and `/connections`' own audience is what the front channel accepts; the API's doors name
/// theirs at each call. What a load balancer signs has no audience and opens the front channel alone.
fn inbound(config: &Config) -> Vec<Inbound> {
    let gateways = config.gateways.iter().map(|gateway| Inbound::UserToken {
        issuer: gateway.issuer.clone(),
        audience: gateway.start_audience.clone(),
        jwks_uri: gateway.jwks_uri.clone(),
    });
    let load_balancers = config.load_balancers.iter().cloned().map(Inbound::Alb);
    gateways.chain(load_balancers).collect()
}

/// Keeps caches and stops as the database has them.
async fn follow(state: State, mut changes: Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(change) => {
                state.cache.apply(&change);
                if change.is_everything() || change.kind == store::stop::CHANGE {
                    state.stops.outdate();
                    reload_stops(&state).await;
                }
            }
            Err(RecvError::Lagged(_)) => {
                state.cache.clear();
                state.stops.outdate();
                reload_stops(&state).await;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Until it succeeds: an overlooked stop would let a stopped subject go on.
async fn reload_stops(state: &State) {
    while let Err(error) = state.stops.reload().await {
        tracing::error!(%error, "stops could not be read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
