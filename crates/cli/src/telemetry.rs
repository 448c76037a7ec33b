//! Logs and metrics of a server process. The only module that names an exporter.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, prelude::*};

use crate::{
    args::LogFormat,
    log_buffer::{self, LogBuffer},
};

/// What the libraries below us may say unless `RUST_LOG` asks for more: hyper and sqlx log addresses and SQL at
/// debug, which docs/logging.md forbids in normal operation.
const DEFAULT_FILTER: &str = "warn,countersign=info,access=info";

/// Installs the subscriber and the metrics recorder.
///
/// # Errors
/// If either was installed before.
pub(crate) fn install(format: LogFormat) -> anyhow::Result<PrometheusHandle> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(LogBuffer);
    log_buffer::start().context("cannot start the log's thread")?;
    match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    }
    .context("cannot install logging")?;
    PrometheusBuilder::new()
        .install_recorder()
        .context("cannot install metrics")
}
