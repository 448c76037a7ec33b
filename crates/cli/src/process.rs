//! Roles started in this process: `serve` and `dev` start them in the same way.

use std::{num::NonZeroUsize, sync::Arc};

use anyhow::Context as _;
use countersign_agent as agent;
use countersign_api::Environment;
use countersign_binding as binding;
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom, SystemClock, SystemRandom};
use countersign_gateway::{self as gateway, Gateway};
use countersign_identity::{self as identity, Identity};
use countersign_web::{ServeOptions, Workers};
use tokio::net::TcpListener;

use crate::{
    descriptors,
    key_provider::RoleKeys,
    listener::Listener,
    roles::{self, Serving, WorkerSockets},
};

/// What the roles of one process share, and what it serves.
pub(crate) struct Process {
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    /// What the platform says of AWS; `dev` does not ask it.
    pub(crate) aws: Environment,
    pub(crate) serving: Serving,
    /// Kept until the end: connections to databases may have been made on them.
    workers: Vec<Workers>,
}

/// The gateway's workers and their sockets.
pub(crate) struct GatewaySockets {
    workers: Workers,
    listeners: Vec<(String, WorkerSockets)>,
}

impl GatewaySockets {
    /// Binds the listeners, given by name and address; `workers` as in the gateway's configuration.
    pub(crate) async fn bind(
        workers: Option<NonZeroUsize>,
        addresses: impl IntoIterator<Item = (&str, &str)>,
    ) -> anyhow::Result<Self> {
        let workers = Workers::start("gateway", workers).context("cannot start worker threads")?;
        let mut listeners = vec![];
        for (name, address) in addresses {
            let purpose = format!("the gateway's listener `{name}`");
            let sockets = roles::bind_on(&workers, address, &purpose).await?;
            listeners.push((name.to_owned(), sockets));
        }
        Ok(Self { workers, listeners })
    }
}

/// The identity service's sockets: the API by workers of its own, the front channel, which browsers use, without.
pub(crate) struct IdentitySockets {
    workers: Workers,
    api: WorkerSockets,
    front_channel: Vec<TcpListener>,
}

impl IdentitySockets {
    /// Binds both; `workers` as in the identity service's configuration.
    pub(crate) async fn bind(
        workers: Option<NonZeroUsize>,
        api: &str,
        front_channel: &str,
    ) -> anyhow::Result<Self> {
        let workers = Workers::start("identity", workers).context("cannot start worker threads")?;
        Ok(Self {
            api: roles::bind_on(&workers, api, "the identity API").await?,
            front_channel: roles::bind(front_channel, "the front channel").await?,
            workers,
        })
    }
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            aws: Environment::default(),
            serving: Serving::new(),
            workers: vec![],
        }
    }

    /// Starts the gateway; `keys` are its own; a key file is made at the first start.
    pub(crate) async fn gateway(
        &mut self,
        config: gateway::Config,
        keys: &RoleKeys,
        sockets: GatewaySockets,
    ) -> anyhow::Result<Gateway> {
        let parts = gateway::Parts {
            clock: self.clock.clone(),
            random: self.random.clone(),
            key_provider: keys.root.open_or_create(self.random.clone()).await?,
            previous_key_provider: self.previous(keys).await?,
        };
        let workers = sockets.workers;
        let options = config.client.serve_options(workers.count());
        descriptors::warn_if_too_few(config.client.max_connections.into());
        // Its future is large.
        let gateway = Box::pin(Gateway::start(config, parts))
            .await
            .context("the gateway does not start")?;
        for (name, sockets) in sockets.listeners {
            let responder = gateway.responder(&name).context("a listener without rules")?;
            let options = ServeOptions {
                transport: gateway.transport(&name),
                ..options.clone()
            };
            self.serving
                .add_on(&workers, &name, sockets, &responder, &options);
        }
        self.workers.push(workers);
        Ok(gateway)
    }

    /// Starts the identity service; `keys` are its own; a key file is made at the first start.
    pub(crate) async fn identity(
        &mut self,
        config: identity::Config,
        keys: &RoleKeys,
        sockets: IdentitySockets,
    ) -> anyhow::Result<Identity> {
        let parts = identity::Parts {
            clock: self.clock.clone(),
            random: self.random.clone(),
            key_provider: keys.root.open_or_create(self.random.clone()).await?,
            previous_key_provider: self.previous(keys).await?,
        };
        let api = Listener::identity_api(&config).transport()?;
        let front_channel = Listener::front_channel(&config).transport()?;
        let identity = Identity::start(config, parts)
            .await
            .context("the identity service does not start")?;
        let defaults = ServeOptions::default();
        let options = ServeOptions {
            drain_timeout: roles::DRAIN_TIMEOUT,
            transport: api,
            max_connections: defaults.max_connections.div_ceil(sockets.workers.count()),
            ..defaults
        };
        self.serving.add_on(
            &sockets.workers,
            "the identity API",
            sockets.api,
            &identity.api_router(),
            &options,
        );
        self.workers.push(sockets.workers);
        self.serving.add_behind(
            "the front channel",
            sockets.front_channel,
            identity.front_channel_router(),
            front_channel,
        );
        Ok(identity)
    }

    /// Starts the session binding service.
    pub(crate) fn binding(
        &mut self,
        config: binding::Config,
        sockets: Vec<TcpListener>,
    ) -> anyhow::Result<()> {
        let parts = binding::Parts {
            clock: self.clock.clone(),
            random: self.random.clone(),
            aws: self.aws.clone(),
        };
        let transport = Listener::binding(&config).transport()?;
        let binding = binding::start(config, parts).context("the session binding service does not start")?;
        self.serving
            .add_behind("the session binding service", sockets, binding.router, transport);
        Ok(())
    }

    /// Starts the agent; `keys` are its own; a key file is made at the first start.
    pub(crate) async fn agent(
        &mut self,
        config: agent::Config,
        keys: &RoleKeys,
        sockets: Vec<TcpListener>,
    ) -> anyhow::Result<()> {
        let parts = agent::Parts {
            clock: self.clock.clone(),
            random: self.random.clone(),
            drain: self.serving.drained(),
            key_provider: keys.root.open_or_create(self.random.clone()).await?,
            previous_key_provider: self.previous(keys).await?,
            aws: self.aws.clone(),
        };
        let transport = Listener::agent(&config).transport()?;
        let agent = agent::start(config, parts)
            .await
            .context("the agent does not start")?;
        self.serving
            .add_behind("the agent", sockets, agent.router, transport);
        Ok(())
    }

    /// Stops accepting, lets answers under way finish, and ends the audit chains with a checkpoint each, after the
    /// last answer.
    pub(crate) async fn end(
        self,
        identity: Option<Identity>,
        gateway: Option<Gateway>,
    ) -> anyhow::Result<()> {
        self.serving.drain_and_wait().await?;
        if let Some(identity) = identity {
            identity
                .close()
                .await
                .context("the identity service does not close")?;
        }
        if let Some(gateway) = gateway {
            gateway.close().await.context("the gateway does not close")?;
        }
        Ok(())
    }

    async fn previous(&self, keys: &RoleKeys) -> anyhow::Result<Option<Arc<dyn KeyProvider>>> {
        let Some(previous) = &keys.previous else {
            return Ok(None);
        };
        let opened = previous.open(self.random.clone()).await;
        opened.map(Some).context("keys.previous")
    }
}
