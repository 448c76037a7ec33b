//! The operations listener: `/healthz` (the process lives), `/readyz` (it can do its work), `/metrics`.
//!
//! Loopback or a private network only; without the gateway's operator token it says nothing about people. With it there
//! are the gateway's `/gateway/*`, for `countersign session` and `countersign key --gateway`.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Whether every role of this process is serving.
pub(crate) type Ready = watch::Receiver<bool>;

/// The operator's routes of the gateway, once it runs in this process.
pub(crate) type GatewayRoutes = Arc<OnceLock<Router>>;

#[derive(Clone)]
struct Operations {
    ready: Ready,
    metrics: PrometheusHandle,
    gateway: GatewayRoutes,
}

/// The routes.
pub(crate) fn router(ready: Ready, metrics: PrometheusHandle, gateway: GatewayRoutes) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(async |State(operations): State<Operations>| operations.metrics.render()),
        )
        // No route: its parameter would be one of the gateway's own routes too.
        .fallback(operate)
        .with_state(Operations {
            ready,
            metrics,
            gateway,
        })
}

async fn operate(State(operations): State<Operations>, request: Request) -> Response {
    let Some(router) = operations.gateway.get() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(response) = router.clone().oneshot(request).await;
    response
}

async fn readyz(State(operations): State<Operations>) -> (StatusCode, &'static str) {
    if *operations.ready.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n")
    }
}
