//! Putting the parts together, and taking them apart in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use countersign_audit::{AuditError, Recorder, RecorderConfig};
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom};
use countersign_db::{ChangeFeed, DatabaseConfig, DbError, Pool};
use countersign_web::{Edge, ErrorFormat, HostAllowList};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::authenticate::provider::Provider;
use crate::claims_header::ClaimsHeaders;
use crate::config::{self, Config, ConfigError};
use crate::forward::Forwarder;
use crate::keys::{Keys, KeysError, PublicKeys};
use crate::listener::{Listener, ListenerName};
use crate::origin::Origin;
use crate::rule::Rules;
use crate::session::{MIGRATIONS, Sessions, Store};
use crate::target_group::TargetGroup;

/// This role's name: of its schema, its migrations and its audit chain.
const ROLE: &str = "gateway";
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
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("gateway configuration: {0}")]
    Config(#[from] ConfigError),
    /// The database.
    #[error("gateway database: {0}")]
    Database(#[from] DbError),
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
    pub(crate) sessions: Sessions,
    pub(crate) provider: Provider,
    pub(crate) claims_headers: ClaimsHeaders,
    pub(crate) forwarder: Forwarder,
    pub(crate) recorder: Recorder,
    pub(crate) csrf_secret: [u8; 32],
    pub(crate) max_request_body_bytes: usize,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
}

/// A running gateway. Its routers are served by the caller, who also drains them before [`Self::close`].
pub struct Gateway {
    app: Arc<Listener>,
    account: Arc<Listener>,
    keys: Router,
    shared: Arc<Shared>,
    pool: Pool,
    _sweeping: DropGuard,
}

impl Gateway {
    /// Opens and migrates the database, loads or creates the keys, begins an audit chain. The identity
    /// provider is not contacted before the first login.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        config.check()?;
        let groups = target_groups(&config)?;
        let provider = Provider::new(&config, &parts.clock)?;
        let pool = open(&config.database, parts.clock.now().as_micros()).await?;
        let store = Store::new(pool.clone());
        let keys = Keys::load(&store, &*parts.key_provider, &config, &parts.clock, &parts.random).await?;
        let recorder = Recorder::start(RecorderConfig {
            pool: pool.clone(),
            changes: ChangeFeed::start(pool.clone()).await?,
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            signing_key: keys.audit,
            persons: Arc::new(keys.person),
            checkpoint_file: config.checkpoint_file.clone(),
            role: ROLE,
            account: config.account.clone(),
            region: config.region.clone(),
        })
        .await?;
        let key_router = key_router(&config, &keys.public, &parts);
        let (clock, random) = (parts.clock, parts.random);
        let shared = Arc::new(Shared {
            account: config.account.clone(),
            app_origin: config.listeners.app.origin.clone(),
            account_origin: config.listeners.account.origin.clone(),
            csrf_secret: keys.session.derive("logout form"),
            sessions: Sessions::new(
                store,
                keys.session,
                &config.account,
                config.session,
                clock.clone(),
                random.clone(),
            ),
            provider,
            claims_headers: ClaimsHeaders::new(
                &config,
                keys.alb_header,
                keys.user_token,
                clock.clone(),
                random.clone(),
            ),
            forwarder: Forwarder::new(&config.forward),
            recorder,
            max_request_body_bytes: max_request_body(&config),
            clock,
            random,
        });
        let listener = |name, listener: &config::Listener| {
            let rules = Rules::compile(&listener.rules, &groups);
            Arc::new(Listener::new(
                name,
                listener,
                &config.cookie_suffix,
                rules,
                shared.clone(),
            ))
        };
        Ok(Self {
            app: listener(ListenerName::App, &config.listeners.app),
            account: listener(ListenerName::Account, &config.listeners.account),
            keys: key_router,
            _sweeping: sweep(shared.clone()),
            shared,
            pool,
        })
    }

    /// The app origin.
    pub fn app_router(&self) -> Router {
        self.app.clone().router()
    }

    /// The account origin.
    pub fn account_router(&self) -> Router {
        self.account.clone().router()
    }

    /// The key listener.
    pub fn keys_router(&self) -> Router {
        self.keys.clone()
    }

    /// Marks the database as a development one, which `serve` and `restore` refuse (design D25).
    pub async fn mark_dev(&self) -> Result<(), DbError> {
        countersign_db::set_dev_mark(&self.pool).await
    }

    /// Ends the audit chain with a checkpoint and closes the database. Call it after the routers' requests
    /// have drained: later ones get 503.
    pub async fn close(self) -> Result<(), AuditError> {
        let closed = self.shared.recorder.clone().close().await;
        self.pool.close().await;
        closed
    }
}

/// Brings the gateway's database to the newest schema.
pub async fn migrate(database: &DatabaseConfig, now_micros: i64) -> Result<(), DbError> {
    open(database, now_micros).await?.close().await;
    Ok(())
}

async fn open(database: &DatabaseConfig, now_micros: i64) -> Result<Pool, DbError> {
    let pool = Pool::connect(&database.database(ROLE)?).await?;
    countersign_db::migrate(&pool, "audit", countersign_audit::MIGRATIONS, now_micros).await?;
    countersign_db::migrate(&pool, ROLE, MIGRATIONS, now_micros).await?;
    Ok(pool)
}

fn target_groups(config: &Config) -> Result<BTreeMap<String, Arc<TargetGroup>>, ConfigError> {
    config
        .target_groups
        .iter()
        .map(|(name, group)| {
            let group = TargetGroup::new(name, group).ok_or_else(|| {
                ConfigError::new(format!("target_groups.{name}.url"), "no host to connect to")
            })?;
            Ok((name.clone(), Arc::new(group)))
        })
        .collect()
}

fn max_request_body(config: &Config) -> usize {
    let most = config
        .target_groups
        .values()
        .map(|group| group.max_request_body_bytes)
        .max();
    usize::try_from(most.unwrap_or(0)).unwrap_or(usize::MAX)
}

fn key_router(config: &Config, keys: &PublicKeys, parts: &Parts) -> Router {
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

/// Deletes expired sessions from time to time; ends with the guard.
fn sweep(shared: Arc<Shared>) -> DropGuard {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
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
