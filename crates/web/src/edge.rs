//! The outermost layers of a listener: request id, Host allow-list, body limit, panics, access log and
//! security headers, in that one order for every role.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use countersign_crypto::{SharedClock, SharedRandom, uuid_v7};
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};

use crate::{page, security_headers};

/// The header in which every answer carries its request id, as AWS's do.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The id of a request, a request extension. Always made here: an id chosen by the sender could be used to
/// hide one request's traces among another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id, a UUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A response extension: this answer is another server's, passed on, and which security headers it has is
/// that server's choice.
#[derive(Debug, Clone, Copy)]
pub struct PassedOn;

/// A request extension: a log of the listener's own has this request, and the process log need not.
#[derive(Debug, Clone, Copy)]
pub struct LoggedElsewhere;

/// Whom the listener's error answers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// A browser: an HTML page.
    Page,
    /// A program: `{"message": …}` with `x-amzn-errortype`.
    Json,
}

/// The names under which a listener may be addressed (design D25): DNS rebinding and requests meant for
/// another server end here.
#[derive(Debug, Clone, Default)]
pub struct HostAllowList(HashSet<String>);

impl HostAllowList {
    /// From `host` or `host:port` as browsers send them: no port where it is the scheme's own.
    #[must_use]
    pub fn new<S: Into<String>>(hosts: impl IntoIterator<Item = S>) -> Self {
        Self(
            hosts
                .into_iter()
                .map(|host| host.into().to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether exactly one host is named, the same everywhere it is named, and on the list.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), StatusCode> {
        let mut hosts = headers.get_all(HOST).iter();
        let header = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| StatusCode::BAD_REQUEST)?),
            (None, _) => None,
            (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = match (header, authority) {
            (Some(header), Some(authority)) if !header.eq_ignore_ascii_case(authority) => {
                return Err(StatusCode::BAD_REQUEST);
            }
            (Some(host), _) | (None, Some(host)) => host.to_ascii_lowercase(),
            (None, None) => return Err(StatusCode::BAD_REQUEST),
        };
        if self.0.contains(&host) {
            Ok(())
        } else {
            Err(StatusCode::MISDIRECTED_REQUEST)
        }
    }
}

/// Bytes of a body that is too large which are read and dropped before the answer.
const MOST_DISCARDED: usize = 8 << 20;
/// Time for that.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// What the layers of a listener need to know.
#[derive(Clone)]
pub struct Edge {
    /// Which listener this is, for the access log: `gateway.app`, `identity.api`.
    pub listener: &'static str,
    /// How errors of the edge are written.
    pub errors: ErrorFormat,
    /// The names it answers to.
    pub hosts: HostAllowList,
    /// Largest request body, bytes. Over it: 413.
    pub max_body_bytes: usize,
    /// For durations.
    pub clock: SharedClock,
    /// For request ids.
    pub random: SharedRandom,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// Puts the layers around `router`. An answer that sets a security header of its own keeps it.
    pub fn wrap(self, router: Router) -> Router {
        router
            // Ours counts every body, axum's only those that an extractor reads.
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(Arc::new(self), handle))
    }

    fn refuse(&self, status: StatusCode, request_id: &RequestId) -> Response {
        let (name, message) = words(status);
        match self.errors {
            ErrorFormat::Page => page::error_page(status, name, message, request_id),
            ErrorFormat::Json => {
                let kind = HeaderValue::from_static(match status {
                    StatusCode::INTERNAL_SERVER_ERROR => "InternalServerException",
                    _ => "ValidationException",
                });
                let body = serde_json::json!({ "message": message });
                (status, [("x-amzn-errortype", kind)], axum::Json(body)).into_response()
            }
        }
    }

    async fn answer(&self, request: Request, next: Next, request_id: &RequestId) -> Response {
        if let Err(status) = self.hosts.check(request.uri(), request.headers()) {
            return self.refuse(status, request_id);
        }
        if declared_length(request.headers()).is_some_and(|length| length > self.max_body_bytes as u64) {
            // Who waits to be told to continue has sent nothing, and reading would tell them.
            if !request.headers().contains_key(EXPECT) {
                discard(request.into_body()).await;
            }
            return self.refuse(StatusCode::PAYLOAD_TOO_LARGE, request_id);
        }
        let limit = self.max_body_bytes;
        let request = request.map(|body| Body::new(Limited::new(body, limit)));
        match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                tracing::error!(request_id = %request_id, panic = %panic_text(&*panic), "a handler panicked");
                self.refuse(StatusCode::INTERNAL_SERVER_ERROR, request_id)
            }
        }
    }
}

async fn handle(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = edge.clock.now();
    // Of version 7: ids that follow one another lie side by side in the index of the audit trail.
    let mut id = uuid::Uuid::encode_buffer();
    let id = uuid_v7(&*edge.clock, &*edge.random)
        .hyphenated()
        .encode_lower(&mut id);
    let request_id = RequestId(Arc::from(&*id));
    request.extensions_mut().insert(request_id.clone());
    let logged = request.extensions().get::<LoggedElsewhere>().is_some();
    let method = request.method().clone();
    // Never the query: it carries codes, states and session ids.
    let path = request.uri().path().to_owned();

    let mut response = edge.answer(request, next, &request_id).await;

    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if response.extensions().get::<PassedOn>().is_none() {
        security_headers::add_missing(response.headers_mut());
    }
    if logged {
        return response;
    }
    tracing::info!(
        target: "countersign::access",
        listener = edge.listener,
        method = %method,
        path,
        status = response.status().as_u16(),
        duration_ms = u64::try_from(edge.clock.now().since(started).as_millis()).unwrap_or(u64::MAX),
        request_id = request_id.as_str(),
        "request"
    );
    response
}

/// Reads on for a while, since a connection that is closed with unread bytes is reset (RFC 9293 section 3.10.4), and
/// the answer that is on its way to a client or proxy that still sends is lost with it.
async fn discard(body: Body) {
    let mut body = Limited::new(body, MOST_DISCARDED);
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    // Either way the answer follows.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> Cow<'static, str> {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        Cow::Borrowed(text)
    } else if let Some(text) = panic.downcast_ref::<String>() {
        Cow::Owned(text.clone())
    } else {
        Cow::Borrowed("of no text")
    }
}

const fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::MISDIRECTED_REQUEST => {
            ("Wrong address", "This server does not answer to that host name.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("Too large", "The request is larger than this server accepts."),
        StatusCode::INTERNAL_SERVER_ERROR => (
            "Something went wrong",
            "An error on our side kept this request from being answered.",
        ),
        _ => ("Bad request", "The request is malformed."),
    }
}
