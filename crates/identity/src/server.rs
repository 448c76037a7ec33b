//! The two routers, and what stands around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use countersign_api::{ApiError, ErrorCode};
use countersign_audit::{Entry, Outcome};
use countersign_web::{Edge, ErrorFormat, HostAllowList, Peer, RequestId};
use http::StatusCode;

use crate::operation::{Handle, Meters, respond, serve};
use crate::state::State;
use crate::{admin, control, data, front_channel, sts};

/// Largest request body of a form, bytes.
const MAX_FORM: usize = 16 << 10;

/// The signed API. From the outside in: `Edge` (request id, Host allow-list, panics, access log), then the
/// operation's own path. No layer but `Edge` stands before the signature check, since every byte that a layer
/// changed would break the signature.
pub(crate) fn api_router(state: &State) -> Router {
    let router = sts::routes(data::routes(control::routes(admin::routes(Router::new()))))
        .fallback(unknown_operation)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state.clone());
    let edge = Edge {
        listener: "identity.api",
        traced: true,
        errors: ErrorFormat::Json,
        hosts: HostAllowList::new(state.config.api_hosts.clone()),
        // The operation's own limit answers with AWS's error and is audited.
        max_body_bytes: usize::MAX,
        clock: Arc::clone(&state.clock),
        random: Arc::clone(&state.random),
    };
    edge.wrap(router)
}

/// What browsers see. `Edge` is the outermost layer here too; Origin, CSRF and identity checks belong to each
/// page.
pub(crate) fn front_channel_router(state: &State) -> Router {
    let own = state.config.front_channel_url.authority().to_owned();
    let hosts = std::iter::once(own).chain(state.config.front_channel_hosts.iter().cloned());
    let edge = Edge {
        listener: "identity.front_channel",
        traced: true,
        errors: ErrorFormat::Page,
        hosts: HostAllowList::new(hosts),
        max_body_bytes: MAX_FORM,
        clock: Arc::clone(&state.clock),
        random: Arc::clone(&state.random),
    };
    edge.wrap(front_channel::router(state))
}

/// Adds the route of `O`. A label takes the rest of the path, slashes too: whatever was encoded how often, it is the
/// operation that reads it, after the signature, and says what is wrong with it.
pub(crate) fn route<O: Handle>(router: Router<State>) -> Router<State> {
    let path = O::PATH.replace('{', "{*");
    // Every method of ours has a filter.
    let method = MethodFilter::try_from(O::METHOD).unwrap_or(MethodFilter::POST);
    let meters = Arc::new(Meters::of::<O>());
    router.route(
        &path,
        on(method, move |Extract(state): Extract<State>, request: Request| {
            serve::<O>(state, meters, request)
        }),
    )
}

async fn unknown_operation(Extract(state): Extract<State>, request: Request) -> Response {
    refuse(&state, &request, "unknown_operation");
    respond(unknown().to_http())
}

async fn wrong_method(Extract(state): Extract<State>, request: Request) -> Response {
    refuse(&state, &request, "wrong_method");
    let mut response = respond(unknown().to_http());
    // The router adds `Allow`: it knows the path's methods.
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

fn unknown() -> ApiError {
    ApiError::new(
        ErrorCode::UnknownOperation,
        "No operation has this method and path.",
    )
}

fn refuse(state: &State, request: &Request, reason: &'static str) {
    let source = request
        .extensions()
        .get::<Peer>()
        .map(|peer| peer.0.ip().to_string());
    let mut entry = Entry::new("UnknownOperation", Outcome::Refused).with_reason(reason);
    entry.request_id = request.extensions().get::<RequestId>().map(ToString::to_string);
    entry.source.clone_from(&source);
    state
        .recorder
        .record_unauthenticated_refusal(source.as_deref().unwrap_or("unknown"), entry);
}
