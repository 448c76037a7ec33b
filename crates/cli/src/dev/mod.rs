//! `countersign dev`: every role on this machine, with a login provider and a third-party service to play with.
//!
//! Each piece is the one that `serve` runs, in the same place and behind the same trust lines: roles speak to each
//! other through their sockets, each with its own access key. Only what a deployment would bring is made here: the
//! account's first principals, one agent, one provider. Everything listens on loopback; the databases carry a mark
//! that `serve` refuses.

mod config;
mod data_directory;
mod env_file;
mod model;
mod playground;
mod ports;
mod secrets;
mod sockets;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use countersign_crypto::{
    FileKeyProvider, KeyProvider, SharedClock, SharedRandom, SystemClock, SystemRandom,
};
use countersign_outbound::Request;
use tokio::sync::watch;
use url::Url;

pub(crate) use data_directory::DataDirectory;
use ports::{Ports, ours};
use secrets::Secrets;
use sockets::Sockets;

use crate::{
    args::{DevArgs, Global},
    operations, output,
    roles::{self, Serving},
    telemetry,
};

/// How long the first request through the gateway may take.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// The clock and the randomness of this process.
#[derive(Clone)]
struct Parts {
    clock: SharedClock,
    random: SharedRandom,
}

/// Starts everything, says `ready`, and runs until it is interrupted.
pub(crate) async fn run(args: DevArgs, global: &Global) -> anyhow::Result<()> {
    let metrics = telemetry::install(global.log_format, None)?;
    let ports = Ports(args.port_base);
    // Ports first: a taken one must not leave a half-made data directory behind.
    let sockets = Sockets::bind(ports).await?;
    let data = DataDirectory::open(&args.data, args.port_base)?;
    let parts = Parts {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let (readiness, ready) = watch::channel(false);
    let mut serving = Serving::new();
    serving.add(
        "operations",
        sockets.operations,
        operations::router(ready, metrics),
    );

    let secrets = Secrets::open_or_create(&data.secrets(), &*parts.random)?;
    let playground = playground::Playground::start(&args, ports, &data, &secrets, &parts)?;
    serving.add(
        "the playground's OpenID provider",
        sockets.openid_provider,
        playground.openid_provider.router(),
    );
    serving.add("Ledgerline", sockets.ledgerline, playground.ledgerline.router());

    let login = config::LoginProvider::of(&args, ports, secrets.login_client_secret.clone())?;
    let gateway = countersign_gateway::Gateway::start(
        config::gateway(ports, &data, &login)?,
        countersign_gateway::Parts {
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            key_provider: key_provider(&data.gateway_key(), &parts)?,
        },
    )
    .await
    .context("the gateway does not start")?;
    serving.add("the app origin", sockets.app, gateway.app_router());
    serving.add("the account origin", sockets.account, gateway.account_router());
    serving.add("the gateway's keys", sockets.gateway_keys, gateway.keys_router());

    gateway.mark_dev().await?;
    let identity = countersign_identity::Identity::start(
        config::identity(&args, ports, &data)?,
        countersign_identity::Parts {
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            key_provider: key_provider(&data.identity_key(), &parts)?,
        },
    )
    .await
    .context("the identity service does not start")?;
    identity.mark_dev().await?;
    let made = identity
        .bootstrap(config::bootstrap(ports, &secrets)?)
        .await
        .context("the first principals and the provider cannot be made")?;
    playground.register_callback(&made.callback_url, &secrets)?;
    serving.add("the identity API", sockets.identity_api, identity.api_router());
    serving.add(
        "the front channel",
        sockets.front_channel,
        identity.front_channel_router(),
    );

    let role_parts = (parts.clock.clone(), parts.random.clone());
    let binding = countersign_binding::start(
        config::binding(ports, &made.binding)?,
        countersign_binding::Parts {
            clock: role_parts.0.clone(),
            random: role_parts.1.clone(),
        },
    )
    .context("the session binding service does not start")?;
    serving.add("the session binding service", sockets.binding, binding.router);
    let agent = countersign_agent::start(
        config::agent(ports, &data, &model::Model::of(&args.model), &made.agent)?,
        countersign_agent::Parts {
            clock: role_parts.0,
            random: role_parts.1,
            drain: serving.drained(),
        },
    )
    .context("the agent does not start")?;
    serving.add("the agent", sockets.agent, agent.router);

    if let Some(path) = &args.env_file {
        env_file::write(path, &env_file::variables(ports, &made))?;
    }
    ask_through_the_gateway(ports).await?;
    readiness.send_replace(true);
    say_ready(ports, &args);

    let interrupted = serving.until_interrupted().await;
    output::note("stopping");
    readiness.send_replace(false);
    serving.drain_and_wait().await?;
    // The chains end with a checkpoint each, after the last answer.
    identity
        .close()
        .await
        .context("the identity service does not close")?;
    gateway.close().await.context("the gateway does not close")?;
    interrupted
}

/// A role's own key file.
fn key_provider(path: &std::path::Path, parts: &Parts) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(FileKeyProvider::open_or_create(
        path,
        parts.random.clone(),
    )?))
}

/// `ready` is a promise: a browser's first request must work.
async fn ask_through_the_gateway(ports: Ports) -> anyhow::Result<()> {
    let url = Url::parse(&ours(ports.app()))?;
    let client = roles::operator_client(std::slice::from_ref(&url))?;
    let response = client
        .send(Request::get(url.clone()).timeout(READY_LIMIT))
        .await
        .with_context(|| format!("{url} fails"))?;
    if !response.status.is_redirection() {
        bail!("{url} answered {} instead of a login", response.status);
    }
    Ok(())
}

/// The line that begins with `ready`, and the URLs.
fn say_ready(ports: Ports, args: &DevArgs) {
    output::line(format!(
        "ready   app {app}   account {account}   API {api}",
        app = ours(ports.app()),
        account = ours(ports.account()),
        api = ours(ports.identity_api()),
    ));
    if args.idp.is_none() {
        output::line(format!(
            "        log in as alice or bob, password {}",
            playground::PASSWORD
        ));
    }
    output::line("        ask: list my open issues");
    if let Some(path) = &args.env_file {
        output::line(format!("        AWS SDKs: set -a; . {}; set +a", path.display()));
    }
    output::line("        Ctrl-C stops; the data stays");
}
