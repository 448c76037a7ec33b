//! `countersign migrate`: brings the databases to this version before servers of it start.

use anyhow::Context as _;
use countersign_crypto::{Clock as _, SystemClock};
use countersign_db::Pool;

use crate::{args::ConfigFile, config, output};

/// Migrates the databases of every role in the file. Several at once are safe: they take turns under a lease.
pub(crate) async fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let config = config::load(&file.config)?;
    let now = SystemClock.now().as_micros();
    if let Some(identity) = &config.identity {
        let pool = Pool::connect(&identity.database.database("identity")?).await.context("identity.database")?;
        countersign_identity::migrate(&pool, now).await.context("identity.database")?;
        output::line("identity: up to date");
        pool.close().await;
    }
    if let Some(gateway) = &config.gateway {
        let pool = Pool::connect(&gateway.database.database("gateway")?).await.context("gateway.database")?;
        countersign_gateway::migrate(&pool, now).await.context("gateway.database")?;
        output::line("gateway: up to date");
        pool.close().await;
    }
    anyhow::ensure!(
        config.identity.is_some() || config.gateway.is_some(),
        "{} has neither [identity] nor [gateway]",
        file.config.display()
    );
    Ok(())
}
