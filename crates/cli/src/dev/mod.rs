//! `countersign dev`: every role on this machine, with a login provider and a third-party service to play with.
//!
//! Each piece is the one that `serve` runs, in the same place and behind the same trust lines: roles speak to each
//! other through their sockets, each with its own access key. Only what a deployment would bring is made here: the
//! account's first principals, one agent, one provider. Everything listens on loopback; the databases carry a mark
//! that `serve` refuses.

mod args;
mod config;
mod env_file;
mod model;
mod playground;
mod ports;
mod secrets;
mod sockets;

use std::time::Duration;

use anyhow::{Context as _, bail};
use countersign_outbound::Request;
use tokio::sync::watch;
use url::Url;

pub(crate) use args::DevArgs;
use config::LoginProvider;
use model::Model;
use playground::Playground;
use ports::{Ports, ours};
use secrets::Secrets;
use sockets::Sockets;

use crate::{
    args::Global, data_directory::DataDirectory, key_provider::RoleKeys, operations, output,
    process::Process, roles, telemetry,
};

/// How long the first request through the gateway may take.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Starts everything, says `ready`, and runs until it is interrupted.
pub(crate) async fn run(args: DevArgs, global: &Global) -> anyhow::Result<()> {
    let traces = telemetry::Telemetry::to(args.otlp_endpoint.clone());
    let metrics = telemetry::install(global.log_format, &traces, "dev")?;
    let ports = Ports(args.port_base);
    // Ports first: a taken one must not leave a half-made data directory behind.
    let sockets = Sockets::bind(ports).await?;
    let data = DataDirectory::open(&args.data, args.port_base)?;
    let (readiness, ready) = watch::channel(false);
    let mut process = Process::new();
    let gateway_routes = operations::GatewayRoutes::default();
    process.serving.add(
        "operations",
        sockets.operations,
        operations::router(ready, metrics, gateway_routes.clone()),
    );

    let secrets = Secrets::open_or_create(&data.secrets(), &*process.random)?;
    let playground = Playground::start(&args, ports, &data, &secrets, &process)?;
    process.serving.add(
        "the OpenID provider",
        sockets.openid_provider,
        playground.openid_provider.router(),
    );
    process
        .serving
        .add("Ledgerline", sockets.ledgerline, playground.ledgerline.router());

    let login = LoginProvider::of(&args, ports, secrets.login_client_secret.clone())?;
    let gateway = process
        .gateway(
            config::gateway(&args, ports, &data, &login, &secrets)?,
            &RoleKeys::of_file(data.gateway_key()),
            sockets.gateway,
        )
        .await?;
    gateway.mark_dev().await?;
    if let Some(router) = gateway.operator_router().await {
        // Nobody else sets it.
        let _ = gateway_routes.set(router);
    }
    let identity = process
        .identity(
            config::identity(&args, ports, &data)?,
            &RoleKeys::of_file(data.identity_key()),
            sockets.identity,
        )
        .await?;
    identity.mark_dev().await?;
    let made = identity
        .bootstrap(config::bootstrap(ports, &secrets)?)
        .await
        .context("the first principals and the provider cannot be made")?;
    playground.register_callback(&made.callback_url, &secrets)?;
    process.binding(config::binding(ports, &made.binding)?, sockets.binding)?;
    let model = Model::of(&args.model);
    process
        .agent(
            config::agent(ports, &data, &model, &made.agent)?,
            &RoleKeys::of_file(data.agent_key()),
            sockets.agent,
        )
        .await?;

    if let Some(path) = &args.env_file {
        env_file::write(path, &env_file::variables(ports, &made, &secrets))?;
    }
    ask_through_the_gateway(ports).await?;
    tokio::time::timeout(READY_LIMIT, gateway.stops_are_known())
        .await
        .context("the gateway cannot read who is stopped")?;
    readiness.send_replace(true);
    let signals = roles::ending()?;
    say_ready(ports, &args);
    let interrupted = process.serving.until_interrupted(signals).await;
    output::note("stopping");
    readiness.send_replace(false);
    process.end(Some(identity), Some(gateway)).await?;
    interrupted
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
    match &args.agent {
        Some(url) => output::line(format!("        the agent is yours, at {url}")),
        None => output::line("        ask: list my open issues"),
    }
    if let Some(path) = &args.env_file {
        // A shell looks a bare name up in PATH.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        output::line(format!("        AWS SDKs: set -a; . {}; set +a", path.display()));
    }
    output::line("        Ctrl-C stops; the data stays");
}
