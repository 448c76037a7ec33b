//! The start of a gateway: its parts in their order, and the tasks that go on beside requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use countersign_audit::delivery::{Deliveries, DeliveryParts};
use countersign_audit::{Entry, Outcome, Recorder, RecorderConfig};
use countersign_crypto::KeyProvider;
use countersign_db::{Change, ChangeFeed, Pool};
use countersign_web::tls::{IssuedCertificates, ListenerTransport, Tls};
use countersign_web::{Edge, ErrorFormat, HostAllowList};
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Current, Gateway, Parts, ROLE, Shared, StartError, jwks, max_request_body, open, served};
use crate::access_log::AccessLog;
use crate::acme::{Acme, HttpChallenges};
use crate::authenticate::site::Applications;
use crate::claims_header::ClaimsHeaders;
use crate::config::{Config, ConfigError};
use crate::forward::Forwarder;
use crate::ids::IdRandom;
use crate::keys::{ChainKeys, Keys, LiveKeys};
use crate::listener::{ListenerName, TargetGroups};
use crate::session::{Sessions, Store};
use crate::slot::Slot;
use crate::stop_list::{StopList, own_tokens};
use crate::target_group::TargetGroup;

/// How often what has run out is deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// The key listener takes no bodies.
const MAX_KEY_REQUEST_BODY: usize = 1_024;

impl Gateway {
    /// Opens and migrates the database, loads or creates the keys, begins an audit chain. The identity
    /// provider is not contacted before the first login.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        config.check()?;
        let access_log = AccessLog::open(&config.access_log, &config.claims_header.signer)
            .map_err(StartError::AccessLog)?;
        let issued = IssuedCertificates::new();
        let transports = transports(&config, &issued)?;
        let groups = target_groups(&config)?;
        let applications = Applications::new(&config, &parts.clock)?;
        let stops = StopList::new(config.stop_list.as_ref(), &config.outbound_allow, &parts.clock)?;
        let Opened {
            pool,
            heard,
            keys,
            recorder,
            deliveries,
        } = opened(&config, &parts).await?;
        let key_router = key_router(&config, keys.clone(), &parts);
        let shared = Arc::new(shared(&config, parts, (&pool, keys), stops, recorder)?);
        let names = config.listeners.with_rules();
        let names = names.map(|(name, _)| ListenerName::of(name));
        let challenges = HttpChallenges::new();
        let acme = acme(&config, &issued, &challenges, &shared)?;
        let served = served(&config, &shared, &groups, &applications, names)?;
        let slots = served
            .into_iter()
            .map(|(name, served)| (name, Slot::new(served, challenges.clone(), access_log.clone())))
            .collect();
        let tasks = tasks(&shared, heard, acme);
        Ok(Self {
            slots,
            keys: key_router,
            transports,
            region: config.region.clone(),
            access_log,
            deliveries,
            _tasks: tasks,
            shared: ArcSwap::new(shared),
            current: Mutex::new(Current { config, groups }),
            pool,
        })
    }
}

/// What an audit chain of this gateway is written with.
pub(crate) fn recorder_config(
    config: &Config,
    parts: &Parts,
    (pool, changes): (&Pool, ChangeFeed),
    keys: ChainKeys,
) -> RecorderConfig {
    RecorderConfig {
        pool: pool.clone(),
        changes,
        clock: parts.clock.clone(),
        random: parts.random.clone(),
        signing_key: keys.audit,
        persons: Arc::new(keys.person),
        checkpoint_file: config.checkpoint_file.clone(),
        role: ROLE,
        account: config.account.clone(),
        region: config.region.clone(),
    }
}

/// A gateway's store, with what is read from it and written to it at once.
struct Opened {
    pool: Pool,
    /// What other replicas have changed since before the keys were read.
    heard: broadcast::Receiver<Change>,
    keys: Arc<LiveKeys>,
    recorder: Recorder,
    deliveries: Deliveries,
}

/// Opens and migrates the database, loads or creates the keys, begins an audit chain.
async fn opened(config: &Config, parts: &Parts) -> Result<Opened, StartError> {
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
    let (keys, chain) = Keys::load(&store, &*parts.key_provider, place, &parts.clock, &parts.random).await?;
    let recorder = Recorder::start(recorder_config(config, parts, (&pool, changes), chain)).await?;
    if rewrapped > 0 {
        recorder
            .record(keys_rewrapped(rewrapped, &*parts.key_provider))
            .await?;
    }
    let delivery = DeliveryParts {
        pool: pool.clone(),
        clock: parts.clock.clone(),
        random: parts.random.clone(),
        role: ROLE,
        recorder: Some(recorder.clone()),
    };
    let deliveries = Deliveries::start(&config.evidence, delivery).await?;
    let keys = LiveKeys::new(keys, store, parts.key_provider.clone(), &config.account);
    Ok(Opened {
        pool,
        heard,
        keys: Arc::new(keys),
        recorder,
        deliveries,
    })
}

fn shared(
    config: &Config,
    parts: Parts,
    (pool, keys): (&Pool, Arc<LiveKeys>),
    stops: StopList,
    recorder: Recorder,
) -> Result<Shared, ConfigError> {
    let Parts { clock, random, .. } = parts;
    let account = &config.account;
    let store = Store::new(pool.clone());
    let sessions = Sessions::new(store, keys.clone(), account, clock.clone(), random.clone());
    let claims_headers = ClaimsHeaders::new(config, keys.clone(), clock.clone(), random.clone());
    Ok(Shared {
        account: account.clone(),
        app_origin: config.listeners.app.origin.clone(),
        account_origin: config.listeners.account.origin.clone(),
        csrf_secret: keys.current().session.derive("logout form"),
        sessions: Arc::new(sessions),
        stops: Arc::new(stops),
        claims_headers: Arc::new(claims_headers),
        keys,
        forwarder: Forwarder::new(&config.forward, random.clone()),
        jwks: jwks(config, &clock)?,
        recorder,
        max_request_body_bytes: max_request_body(config),
        clock,
        ids: Arc::new(IdRandom::new(random.clone())),
        random,
    })
}

fn target_groups(config: &Config) -> Result<TargetGroups, ConfigError> {
    config
        .target_groups
        .iter()
        .map(|(name, group)| Ok((name.clone(), TargetGroup::start(name, group, &config.forward)?)))
        .collect()
}

fn transports(
    config: &Config,
    issued: &Arc<IssuedCertificates>,
) -> Result<BTreeMap<String, Arc<ListenerTransport>>, StartError> {
    let keys = &config.listeners.keys;
    let rest = config.listeners.with_rules().map(|(name, listener)| {
        let (proxy, from) = (listener.proxy_protocol.clone(), listener.plaintext_from.clone());
        (name, listener.tls.as_ref(), listener.names(), proxy, from)
    });
    let all = rest.chain([(
        "keys",
        keys.tls.as_ref(),
        keys.names(),
        None,
        keys.plaintext_from.clone(),
    )]);
    let mut transports = BTreeMap::new();
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
        let transport = Arc::new(ListenerTransport::new(tls, proxy, plaintext_from));
        transports.insert(name.to_owned(), transport);
    }
    Ok(transports)
}

/// What keeps the certificates fresh of listeners that want them by ACME: one certificate each.
fn acme(
    config: &Config,
    issued: &Arc<IssuedCertificates>,
    challenges: &Arc<HttpChallenges>,
    shared: &Shared,
) -> Result<Option<Acme>, ConfigError> {
    let Some(acme) = &config.acme else { return Ok(None) };
    let orders = config.listeners.acme_orders();
    let found = (issued.clone(), challenges.clone());
    let parts = (shared.clock.clone(), shared.random.clone());
    Acme::new(acme, orders, &config.outbound_allow, found, parts).map(Some)
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
        traced: false,
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
    crate::metrics::begin();
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
