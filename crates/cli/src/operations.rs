//! The operations listener: `/healthz` (the process lives), `/readyz` (it can do its work), `/metrics`.
//!
//! Loopback or a private network only; it says nothing about people.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

/// Whether every role of this process is serving.
pub(crate) type Ready = watch::Receiver<bool>;

#[derive(Clone)]
struct Operations {
    ready: Ready,
    metrics: PrometheusHandle,
}

/// The routes.
pub(crate) fn router(ready: Ready, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(async |State(operations): State<Operations>| operations.metrics.render()),
        )
        .with_state(Operations { ready, metrics })
}

async fn readyz(State(operations): State<Operations>) -> (StatusCode, &'static str) {
    if *operations.ready.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n")
    }
}
