//! The outermost layers of a listener: request id, Host allow-list, body limit, panics, metrics, access log and
//! security headers, in that one order for every role.

use std::borrow::Cow;
use std::collections::HashSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{BoxError, Router};
use bytes::Bytes;
use countersign_crypto::{Clock, Random, SharedClock, SharedRandom, Timestamp, uuid_v7};
use countersign_outbound::trace::{self, TraceContext};
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};

use crate::{Requests, page, security_headers};

/// The header in which every answer carries its request id, as AWS's do.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The id of a request, a request extension. Always made here: an id chosen by the sender could be used to
/// hide one request's traces among another's.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId([u8; uuid::fmt::Hyphenated::LENGTH]);

impl RequestId {
    /// A fresh one. Of version 7: ids that follow one another lie side by side in the index of the audit trail.
    #[must_use]
    pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        uuid_v7(clock, random).hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// The id, a UUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Marks an answer, as a response extension, that programs ask for all the time: polls and health checks. Where it
/// succeeds, the process log has its line at debug, so that it does not bury the others.
#[derive(Debug, Clone, Copy)]
pub struct Routine;

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
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return Err(StatusCode::BAD_REQUEST),
        };
        // Browsers write it in lower case.
        if self.0.contains(host) || self.0.contains(&host.to_ascii_lowercase()) {
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
    /// Whether each request is a span of the trace it came with. A listener that decides first whose trace it goes on
    /// with makes its own.
    pub traced: bool,
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
            .layer(middleware::from_fn_with_state(
                Arc::new(Wrapped::of(self)),
                handle,
            ))
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

    /// What stands around the answer to a request, for a listener that does without [`Self::wrap`] and its boxes: the
    /// Host allow-list, the declared length, panics. The body itself is for `answer` to count.
    pub async fn around<I, O, F>(
        &self,
        request: http::Request<I>,
        request_id: &RequestId,
        answer: impl FnOnce(http::Request<I>) -> F,
    ) -> http::Response<O>
    where
        I: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        O: From<Body>,
        F: Future<Output = http::Response<O>>,
    {
        if let Err(status) = self.hosts.check(request.uri(), request.headers()) {
            return self.refuse(status, request_id).map(O::from);
        }
        if declared_length(request.headers()).is_some_and(|length| length > self.max_body_bytes as u64) {
            // Who waits to be told to continue has sent nothing, and reading would tell them.
            if !request.headers().contains_key(EXPECT) {
                Box::pin(discard(Body::new(request.into_body()))).await;
            }
            return self
                .refuse(StatusCode::PAYLOAD_TOO_LARGE, request_id)
                .map(O::from);
        }
        match AssertUnwindSafe(answer(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                tracing::error!(request_id = %request_id, panic = %panic_text(&*panic), "a handler panicked");
                let refusal = self.refuse(StatusCode::INTERNAL_SERVER_ERROR, request_id);
                refusal.map(O::from)
            }
        }
    }

    /// Notes what the process log will say of a request.
    pub fn log<I>(&self, request: &http::Request<I>) -> Logged {
        Logged {
            listener: self.listener,
            method: request.method().clone(),
            // Never the query: it carries codes, states and session ids.
            path: request.uri().path().to_owned(),
            clock: self.clock.clone(),
            started: self.clock.now(),
        }
    }

    /// The headers that every answer gets. `passed_on`: it is another server's, and which security headers it has is
    /// that server's choice.
    pub fn finish(headers: &mut HeaderMap, request_id: &RequestId, passed_on: bool) {
        if let Ok(value) = HeaderValue::from_bytes(&request_id.0) {
            headers.insert(REQUEST_ID, value);
        }
        if !passed_on {
            security_headers::add_missing(headers);
        }
    }
}

/// A request whose line in the process log is written when it is answered.
pub struct Logged {
    listener: &'static str,
    method: Method,
    path: String,
    clock: SharedClock,
    started: Timestamp,
}

impl Logged {
    /// The span of the request.
    fn span(&self) -> tracing::Span {
        request_span(self.listener, &self.method, &self.path)
    }

    /// Writes the line. Gives how long the answer took.
    pub fn answered<B>(self, response: &http::Response<B>, request_id: &RequestId) -> Duration {
        let took = self.clock.now().since(self.started);
        let status = response.status();
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "countersign::access",
                    $level,
                    listener = self.listener,
                    method = %self.method,
                    path = self.path,
                    status = status.as_u16(),
                    duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    request_id = request_id.as_str(),
                    "request"
                )
            };
        }
        if status.is_success() && response.extensions().get::<Routine>().is_some() {
            line!(tracing::Level::DEBUG);
        } else {
            line!(tracing::Level::INFO);
        }
        took
    }
}

impl std::fmt::Debug for Logged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logged")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A listener's layers, and the count of what goes through them.
struct Wrapped {
    edge: Edge,
    requests: Requests,
}

impl Wrapped {
    fn of(edge: Edge) -> Self {
        Self {
            requests: Requests::new(edge.listener),
            edge,
        }
    }
}

async fn handle(State(wrapped): State<Arc<Wrapped>>, mut request: Request, next: Next) -> Response {
    let edge = &wrapped.edge;
    let request_id = RequestId::new(&*edge.clock, &*edge.random);
    request.extensions_mut().insert(request_id.clone());
    let logged = edge.log(&request);
    let route = request.extensions().get::<MatchedPath>().cloned();

    let limit = edge.max_body_bytes;
    let counted = |request: Request| next.run(request.map(|body| Body::new(Limited::new(body, limit))));
    let mut response: Response = if edge.traced {
        let came = TraceContext::of(request.headers());
        let span = || logged.span();
        let around = async {
            let response = edge.around(request, &request_id, counted).await;
            answered(response.status());
            response
        };
        trace::within(came, span, around).await
    } else {
        edge.around(request, &request_id, counted).await
    };

    Edge::finish(response.headers_mut(), &request_id, false);
    let took = logged.answered(&response, &request_id);
    let route = route.as_ref().map_or(Requests::UNMATCHED, MatchedPath::as_str);
    wrapped.requests.answered(route, response.status(), took);
    response
}

/// The span of one request of a listener. The path is the one of the access log.
#[must_use]
pub fn request_span(listener: &'static str, method: &http::Method, path: &str) -> tracing::Span {
    tracing::info_span!(
        "request",
        otel.kind = "server",
        otel.name = %format_args!("{method} {listener}"),
        listener,
        http.request.method = %method,
        url.path = path,
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// Notes the status of the answer in the span of its request, where there is one.
pub fn answered(status: StatusCode) {
    if !trace::is_on() {
        return;
    }
    let span = tracing::Span::current();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
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
