//! `countersign migrate`: brings the databases to this version before servers of it start.

use anyhow::Context as _;
use countersign_crypto::{Clock as _, SystemClock};

use crate::{args::ConfigFile, config, output};

/// Migrates the databases of every role in the file. Several at once are safe: they take turns under a lease.
pub(crate) async fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let config = config::load(&file.config)?;
    let now = SystemClock.now().as_micros();
    if let Some(identity) = &config.identity {
        countersign_identity::migrate(&identity.database, now)
            .await
            .context("identity.database")?;
        output::line("identity: up to date");
    }
    if let Some(gateway) = &config.gateway {
        countersign_gateway::migrate(&gateway.database, now)
            .await
            .context("gateway.database")?;
        output::line("gateway: up to date");
    }
    anyhow::ensure!(
        config.identity.is_some() || config.gateway.is_some(),
        "{} has neither [identity] nor [gateway]",
        file.config.display()
    );
    Ok(())
}
