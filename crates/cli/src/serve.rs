//! `countersign serve ROLE --config FILE`: what a deployment runs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use countersign_db::{Database, DatabaseConfig, Pool, database_identity, is_handed_over, is_restoring};
use countersign_gateway::Gateway;
use countersign_identity::Identity;
use tokio::sync::watch;

use crate::{
    args::{Global, Role, ServeArgs},
    config::{self, Config},
    listener::Listener,
    operations, output,
    process::{GatewaySockets, IdentitySockets, Process},
    roles::{self, Signals},
    telemetry,
};

/// How long the identity service may take to say who is stopped before the gateway goes on without.
const STOPS_LIMIT: Duration = Duration::from_secs(10);

/// Runs until it is interrupted.
pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    let mut config = config::load(&args.file.config)?;
    let metrics = telemetry::install(global.log_format, &config.telemetry, args.role.as_str())?;
    let wants = |role: Role| args.role == role || args.role == Role::All;
    let (readiness, ready) = watch::channel(false);
    let mut process = Process::new();
    process.aws = config::aws_environment()?;
    let gateway_routes = operations::GatewayRoutes::default();
    let sockets = roles::bind(&config.operations.listen, "operations").await?;
    let transport = Listener::operations(&config.operations).transport()?;
    process.serving.add_behind(
        "operations",
        sockets,
        operations::router(ready, metrics, gateway_routes.clone()),
        transport,
    );

    let identity = if wants(Role::Identity) {
        Some(identity(&mut config, &mut process).await?)
    } else {
        None
    };
    let gateway = if wants(Role::Gateway) {
        Some(gateway(&mut config, &mut process).await?)
    } else {
        None
    };
    if wants(Role::Binding) {
        let role = config.binding.take().context("the file has no [binding]")?;
        let sockets = roles::bind(&role.listen, "the session binding service").await?;
        process.binding(role, sockets)?;
    }
    if wants(Role::Agent) {
        let role = config.agent.take().context("the file has no [agent]")?;
        let keys = config.keys.agent()?;
        let sockets = roles::bind(&role.listen, "the agent").await?;
        process.agent(role, &keys, sockets).await?;
    }

    if let Some(gateway) = &gateway
        && let Some(router) = gateway.operator_router().await
    {
        // Nobody else sets it.
        let _ = gateway_routes.set(router);
    }
    if let Some(gateway) = &gateway
        && tokio::time::timeout(STOPS_LIMIT, gateway.stops_are_known())
            .await
            .is_err()
    {
        tracing::warn!("the stop list cannot be read yet; sessions are refused until it can");
    }
    readiness.send_replace(true);
    output::line("ready");
    let reload = async || reload(&args, gateway.as_ref()).await;
    let interrupted = process.serving.until_interrupted_reloading(signals, reload).await;
    readiness.send_replace(false);
    process.end(identity, gateway).await?;
    interrupted
}

/// At SIGHUP: the whole file is read anew. What cannot be taken changes nothing, and the log says why.
async fn reload(args: &ServeArgs, gateway: Option<&Gateway>) {
    let Some(gateway) = gateway else {
        tracing::warn!("SIGHUP: only the gateway reloads its configuration; restart the other roles");
        return;
    };
    gateway.reopen_access_log();
    let reloaded = async {
        let config = config::load(&args.file.config)?;
        let role = config.gateway.context("the file has no [gateway]")?;
        Box::pin(gateway.reload(role)).await?;
        anyhow::Ok(())
    };
    if let Err(error) = reloaded.await {
        let error = format!("{error:#}");
        tracing::error!(
            error,
            "the configuration was not reloaded; the old one stays in force"
        );
    }
}

async fn identity(config: &mut Config, process: &mut Process) -> anyhow::Result<Identity> {
    let role = config.identity.take().context("the file has no [identity]")?;
    let keys = config.keys.identity()?;
    refuse_unfit_database(&role.database, "identity").await?;
    let sockets = IdentitySockets::bind(role.workers, &role.listen_api, &role.listen_front_channel).await?;
    process.identity(role, &keys, sockets).await
}

async fn gateway(config: &mut Config, process: &mut Process) -> anyhow::Result<Gateway> {
    let role = config.gateway.take().context("the file has no [gateway]")?;
    let keys = config.keys.gateway()?;
    refuse_unfit_database(&role.database, "gateway").await?;
    let sockets = GatewaySockets::bind(role.workers, role.listeners.addresses()).await?;
    process.gateway(role, &keys, sockets).await
}

/// What `dev` made has published passwords and loose ends; it must not reach production (design D25). What was handed over
/// goes on elsewhere, and what is half restored is no state of anything.
async fn refuse_unfit_database(config: &DatabaseConfig, owner: &str) -> anyhow::Result<()> {
    let database = config.database(owner)?;
    if matches!(&database, Database::Sqlite { path, .. } if !path.exists()) {
        return Ok(());
    }
    let pool = Pool::connect(&database.read_only())
        .await
        .with_context(|| format!("{owner}.database"))?;
    let mark = database_identity(&pool).await;
    let handed_over = is_handed_over(&pool).await;
    let restoring = is_restoring(&pool).await;
    pool.close().await;
    if handed_over.with_context(|| format!("{owner}.database"))? {
        bail!(
            "{owner}.database was handed over by `countersign backup --hand-over` and goes on elsewhere: to come back, \
             restore that file, or a later hand-over, into a new database"
        );
    }
    if restoring.with_context(|| format!("{owner}.database"))? {
        bail!("the restore into {owner}.database did not end: restore into an empty one");
    }
    // A database that was never migrated has no identity yet, and no mark.
    if mark.is_ok_and(|identity| identity.dev) {
        bail!("{owner}.database was made by `countersign dev` and is not for `serve`: use a new one");
    }
    Ok(())
}
