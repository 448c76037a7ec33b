//! `countersign health`: what a container's health check runs.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::{args::HealthArgs, output, roles};

/// Asks the readiness URL; anything but 200 is a failure.
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let client = roles::operator_client(std::slice::from_ref(&args.url))?;
    let request = countersign_outbound::Request::get(args.url.clone()).timeout(Duration::from_secs(5));
    let response = client
        .send(request)
        .await
        .with_context(|| format!("{} does not answer", args.url))?;
    if response.status != 200 {
        bail!("{} answered {}", args.url, response.status);
    }
    output::line("ready");
    Ok(())
}
