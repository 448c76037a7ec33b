//! Traces to an OpenTelemetry collector: OTLP over HTTP, protobuf. The `tracing` spans that the roles make anyway become
//! spans of traces; nothing is made of events, which are the log's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail};
use countersign_outbound::{
    Client, Request,
    trace::{TraceContext, Tracing},
};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use url::Url;

use crate::roles::operator_client;

/// Where a collector takes traces below its endpoint (OTLP specification, "OTLP/HTTP request").
const PATH: &str = "v1/traces";
/// Largest answer of a collector, bytes: it says how much it rejected.
const MAX_ANSWER: usize = 64 * 1024;

/// The `[telemetry]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// The base URL of a collector's OTLP/HTTP receiver; absent, no traces are made.
    pub(crate) otlp_endpoint: Option<Url>,
    /// Headers of every export, such as `authorization`.
    pub(crate) otlp_headers: BTreeMap<String, SecretString>,
    /// For one export.
    pub(crate) otlp_timeout_seconds: u64,
    /// How many of the traces that begin here are kept, 0 to 1. Those that came from elsewhere keep what was decided
    /// there.
    pub(crate) sample_ratio: f64,
    /// `service.name` of the spans; absent, `countersign-` and the role.
    pub(crate) service_name: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            otlp_timeout_seconds: 10,
            sample_ratio: 1.0,
            service_name: None,
        }
    }
}

impl Telemetry {
    /// Traces to this collector, all else as it is by default.
    #[cfg(feature = "playground")]
    pub(crate) fn to(otlp_endpoint: Option<Url>) -> Self {
        Self {
            otlp_endpoint,
            ..Self::default()
        }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and its rule.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(endpoint) = &self.otlp_endpoint {
            let fit = matches!(endpoint.scheme(), "https" | "http")
                && endpoint.host_str().is_some()
                && endpoint.query().is_none()
                && endpoint.fragment().is_none()
                && endpoint.username().is_empty()
                && endpoint.password().is_none();
            if !fit {
                bail!(
                    "telemetry.otlp_endpoint: an http or https URL without query and user; what authorizes goes into otlp_headers"
                );
            }
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            bail!("telemetry.sample_ratio: 0 to 1");
        }
        if !(1..=60).contains(&self.otlp_timeout_seconds) {
            bail!("telemetry.otlp_timeout_seconds: 1 to 60");
        }
        for (name, value) in &self.otlp_headers {
            let fit = http::HeaderName::try_from(name.as_str()).is_ok()
                && http::HeaderValue::try_from(value.expose_secret()).is_ok();
            if !fit {
                bail!("telemetry.otlp_headers.{name}: must be a header's name and value");
            }
        }
        Ok(())
    }
}

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Begins to make traces; `None` where there is nowhere to send them.
///
/// # Errors
/// If the configuration cannot be used.
pub(super) fn begin(config: &Telemetry, role: &str) -> anyhow::Result<Option<SdkTracer>> {
    config.check()?;
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(None);
    };
    let client = Sender {
        // What a collector is sent is ours, and where it is the operator says.
        client: operator_client(std::slice::from_ref(endpoint))?,
        runtime: tokio::runtime::Handle::current(),
        timeout: Duration::from_secs(config.otlp_timeout_seconds),
    };
    let headers = config.otlp_headers.iter();
    let headers: HashMap<String, String> = headers
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_headers(headers)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(Duration::from_secs(config.otlp_timeout_seconds))
        .with_endpoint(below(endpoint))
        .build()
        .context("telemetry")?;
    let name = config
        .service_name
        .clone()
        .unwrap_or_else(|| format!("countersign-{role}"));
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", name),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("countersign");
    let _ = PROVIDER.set(provider);
    countersign_outbound::trace::install(Spans);
    Ok(Some(tracer))
}

/// `endpoint/v1/traces`, whether or not the endpoint ends with a slash.
fn below(endpoint: &Url) -> String {
    format!("{}/{PATH}", endpoint.as_str().trim_end_matches('/'))
}

/// Sends what is still in memory.
pub(crate) async fn end() {
    let Some(provider) = PROVIDER.get() else { return };
    // It waits for the exporter, whose requests run here.
    let ended = tokio::task::spawn_blocking(|| provider.shutdown()).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(%error, "the last traces could not be sent");
    }
}

/// The exporter has a thread of its own; its requests run where all others do.
struct Sender {
    client: Client,
    runtime: tokio::runtime::Handle,
    timeout: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut sent = Request::new(head.method, Url::parse(&head.uri.to_string())?)
            .timeout(self.timeout)
            .max_bytes(MAX_ANSWER);
        sent.headers = head.headers;
        sent.body = body;
        let client = self.client.clone();
        // Outside of every span, so that sending traces makes none.
        let answer = self
            .runtime
            .spawn(async move { client.send(sent).await })
            .await??;
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// `tracing` spans by way of [`tracing_opentelemetry`].
struct Spans;

impl Tracing for Spans {
    fn adopt(&self, span: &Span, parent: &TraceContext) {
        let flags = if parent.sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::NOT_SAMPLED
        };
        let remote = SpanContext::new(
            TraceId::from_bytes(parent.trace_id),
            SpanId::from_bytes(parent.span_id),
            flags,
            true,
            TraceState::NONE,
        );
        // A span that the filter left out belongs to no trace.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }

    fn context(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let span = context.span();
        let place = span.span_context();
        place.is_valid().then(|| TraceContext {
            trace_id: place.trace_id().to_bytes(),
            span_id: place.span_id().to_bytes(),
            sampled: place.is_sampled(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> anyhow::Result<Telemetry> {
        let config: Telemetry = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        config("").expect("off");
        let good = config("otlp_endpoint = 'http://localhost:4318/'").expect("a collector");
        let endpoint = good.otlp_endpoint.expect("a URL");
        assert_eq!(below(&endpoint), "http://localhost:4318/v1/traces");
        for (bad, key) in [
            ("otlp_endpoint = 'ftp://localhost'", "otlp_endpoint"),
            (
                "otlp_endpoint = 'https://user:secret@collector.example'",
                "otlp_endpoint",
            ),
            ("sample_ratio = 1.5", "sample_ratio"),
            ("otlp_timeout_seconds = 0", "otlp_timeout_seconds"),
            ("otlp_headers = { 'a b' = 'x' }", "otlp_headers"),
            ("otlp = 'x'", "otlp"),
        ] {
            let error = config(bad).expect_err(bad);
            assert!(format!("{error:#}").contains(key), "{error:#}");
        }
    }
}
