//! `countersign serve ROLE --config FILE`: what a deployment runs.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use countersign_crypto::{
    FileKeyProvider, KeyProvider, SharedClock, SharedRandom, SystemClock, SystemRandom,
};
use countersign_db::{DatabaseConfig, Pool, database_identity};
use tokio::sync::watch;

use crate::{
    args::{Global, Role, ServeArgs},
    config::{self, Config},
    operations, output,
    roles::{self, Serving},
    telemetry,
};

/// Runs until it is interrupted.
pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    let metrics = telemetry::install(global.log_format, None)?;
    let mut config = config::load(&args.file.config)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let random: SharedRandom = Arc::new(SystemRandom);
    let wants = |role: Role| args.role == role || args.role == Role::All;
    let (readiness, ready) = watch::channel(false);
    let mut serving = Serving::new();
    let sockets = roles::bind(&config.operations.listen, "operations").await?;
    serving.add("operations", sockets, operations::router(ready, metrics));

    let identity = if wants(Role::Identity) {
        Some(
            identity(&mut config, &mut serving, &clock, &random)
                .await
                .context("the identity role")?,
        )
    } else {
        None
    };
    let gateway = if wants(Role::Gateway) {
        Some(
            gateway(&mut config, &mut serving, &clock, &random)
                .await
                .context("the gateway role")?,
        )
    } else {
        None
    };
    if wants(Role::Binding) {
        let config = config.binding.take().context("the file has no [binding]")?;
        let sockets = roles::bind(&config.listen, "the session binding service").await?;
        let parts = countersign_binding::Parts {
            clock: clock.clone(),
            random: random.clone(),
        };
        let binding = countersign_binding::start(config, parts).context("the binding role")?;
        serving.add("the session binding service", sockets, binding.router);
    }
    if wants(Role::Agent) {
        let config = config.agent.take().context("the file has no [agent]")?;
        let sockets = roles::bind(&config.listen, "the agent").await?;
        let parts = countersign_agent::Parts {
            clock: clock.clone(),
            random: random.clone(),
            drain: serving.drained(),
        };
        let agent = countersign_agent::start(config, parts).context("the agent role")?;
        serving.add("the agent", sockets, agent.router);
    }

    readiness.send_replace(true);
    output::line("ready");
    let interrupted = serving.until_interrupted().await;
    readiness.send_replace(false);
    serving.drain_and_wait().await?;
    if let Some(identity) = identity {
        identity
            .close()
            .await
            .context("the identity role does not close")?;
    }
    if let Some(gateway) = gateway {
        gateway.close().await.context("the gateway role does not close")?;
    }
    interrupted
}

async fn identity(
    config: &mut Config,
    serving: &mut Serving,
    clock: &SharedClock,
    random: &SharedRandom,
) -> anyhow::Result<countersign_identity::Identity> {
    let role = config.identity.take().context("the file has no [identity]")?;
    let key = config
        .keys
        .identity
        .as_deref()
        .context("keys.identity names the key file")?;
    refuse_dev_database(&role.database, "identity").await?;
    let api = roles::bind(&role.listen_api, "the identity API").await?;
    let front_channel = roles::bind(&role.listen_front_channel, "the front channel").await?;
    let parts = countersign_identity::Parts {
        clock: clock.clone(),
        random: random.clone(),
        key_provider: key_provider(key, random)?,
    };
    let identity = countersign_identity::Identity::start(role, parts).await?;
    serving.add("the identity API", api, identity.api_router());
    serving.add(
        "the front channel",
        front_channel,
        identity.front_channel_router(),
    );
    Ok(identity)
}

async fn gateway(
    config: &mut Config,
    serving: &mut Serving,
    clock: &SharedClock,
    random: &SharedRandom,
) -> anyhow::Result<countersign_gateway::Gateway> {
    let role = config.gateway.take().context("the file has no [gateway]")?;
    let key = config
        .keys
        .gateway
        .as_deref()
        .context("keys.gateway names the key file")?;
    refuse_dev_database(&role.database, "gateway").await?;
    let app = roles::bind(&role.listeners.app.listen, "the app origin").await?;
    let account = roles::bind(&role.listeners.account.listen, "the account origin").await?;
    let keys = roles::bind(&role.listeners.keys.listen, "the gateway's keys").await?;
    let parts = countersign_gateway::Parts {
        clock: clock.clone(),
        random: random.clone(),
        key_provider: key_provider(key, random)?,
    };
    let gateway = countersign_gateway::Gateway::start(role, parts).await?;
    serving.add("the app origin", app, gateway.app_router());
    serving.add("the account origin", account, gateway.account_router());
    serving.add("the gateway's keys", keys, gateway.keys_router());
    Ok(gateway)
}

/// A role's key file, made at the first start.
fn key_provider(path: &Path, random: &SharedRandom) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(FileKeyProvider::open_or_create(path, random.clone())?))
}

/// What `dev` made has published passwords and loose ends; it must not reach production (design D25).
async fn refuse_dev_database(config: &DatabaseConfig, owner: &str) -> anyhow::Result<()> {
    let database = config.database(owner)?;
    if let countersign_db::Database::Sqlite { path, .. } = &database
        && !path.exists()
    {
        return Ok(());
    }
    let pool = Pool::connect(&database.read_only())
        .await
        .with_context(|| format!("{owner}.database"))?;
    let mark = database_identity(&pool).await;
    pool.close().await;
    // A database that was never migrated has no identity yet, and no mark.
    if mark.is_ok_and(|identity| identity.dev) {
        bail!("{owner}.database was made by `countersign dev` and is not for `serve`: use a new one");
    }
    Ok(())
}
