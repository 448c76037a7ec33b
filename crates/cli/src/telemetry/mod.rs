//! Logs, metrics and traces of a server process. The only module that names an exporter.

mod traces;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, prelude::*, registry::LookupSpan};

use crate::{
    args::LogFormat,
    log_buffer::{self, LogBuffer},
};

/// What the libraries below us may say unless `RUST_LOG` asks for more: hyper and sqlx log addresses and SQL at
/// debug, which docs/logging.md forbids in normal operation. genai warns of every piece of an answer without text, and may
/// quote what a vendor said; the agent itself logs what went wrong with a model.
const DEFAULT_FILTER: &str = "warn,genai=off,countersign=info,access=info";

/// How often histograms are folded.
const UPKEEP: Duration = Duration::from_secs(5);

pub(crate) use traces::{Telemetry, end};

/// Upper ends of the buckets of every duration, so that replicas can be added up: from what an answer from memory takes
/// to what a caller waits for a vendor.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Installs the subscriber and the metrics recorder. `role` names the process in traces.
///
/// # Errors
/// If either was installed before, or the configuration cannot be used.
pub(crate) fn install(format: LogFormat, config: &Telemetry, role: &str) -> anyhow::Result<PrometheusHandle> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    log_buffer::start().context("cannot start the log's thread")?;
    let installed = match traces::begin(config, role)? {
        // One filter for everything: what it leaves out costs nothing.
        None => {
            let registry = tracing_subscriber::registry().with(filter);
            registry.with(log(format)).try_init()
        }
        Some(tracer) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_target(false)
                .with_filter(filter_fn(is_of_a_trace));
            let registry = tracing_subscriber::registry().with(spans);
            registry.with(log(format).with_filter(filter)).try_init()
        }
    };
    installed.context("cannot install logging")?;
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("cannot make histograms")?
        .install_recorder()
        .context("cannot install metrics")?;
    tokio::spawn(keep_up(metrics.clone()));
    Ok(metrics)
}

/// Folds what histograms have recorded, for ever. It happens at each scrape too; without one it would pile up, sixteen
/// bytes a request.
async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Spans of ours. Events are the log's.
fn is_of_a_trace(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with("countersign")
}

fn log<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(LogBuffer);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}
