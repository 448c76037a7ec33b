//! The streaming reverse proxy: a request goes to its target as it came, less what is only the gateway's
//! to say, and the answer comes back frame by frame.
//!
//! It refuses protocol upgrades, `CONNECT` and `TRACE`, never retries a request that may have been seen
//! by the target, and never buffers a body.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri, Version, uri};
use http_body_util::{LengthLimitError, Limited};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::oneshot;

use crate::config::{ForwardLimits, XffHeaderProcessing};
use crate::origin::Origin;
use crate::reason::Reason;
use crate::target_group::TargetGroup;

use self::streamed::{Silent, Streamed};

mod streamed;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Largest response head of a target, in bytes; more is 502. (An ALB takes 32 KB.)
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Idle connections kept to one target.
const MAX_IDLE_CONNECTIONS: usize = 256;
/// How long an idle connection is kept; below the keep-alive of common servers.
const KEEP_IDLE: Duration = Duration::from_secs(20);

/// Connections to all targets.
#[derive(Debug)]
pub(crate) struct Forwarder {
    client: Client<HttpConnector, Streamed>,
    idle: Duration,
    xff: XffHeaderProcessing,
}

/// What the gateway adds to a request.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    /// The listener's origin, for `X-Forwarded-*`.
    pub(crate) origin: &'a Origin,
    /// The client's address.
    pub(crate) source: Option<IpAddr>,
    /// Who is asking, in the headers of this target group.
    pub(crate) identity: Vec<(HeaderName, HeaderValue)>,
}

impl Forwarder {
    pub(crate) fn new(limits: &ForwardLimits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(limits.connect_timeout_ms)));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_RESPONSE_HEAD)
            .build(connector);
        Self {
            client,
            idle: Duration::from_secs(limits.idle_timeout_seconds),
            xff: limits.xff_header_processing,
        }
    }

    /// Sends a request to a target group and gives back its answer, both streamed.
    pub(crate) async fn forward(
        &self,
        request: Request<Body>,
        group: &TargetGroup,
        added: Added<'_>,
    ) -> Result<Response<Body>, Reason> {
        refuse_unforwardable(&request)?;
        let (sent, request) = self.prepare(request, group, added)?;
        let answer = tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| reason_of(&error, group))?,
            // The target's time begins when it has the whole request.
            () = async { let _ = sent.await; tokio::time::sleep(self.idle).await } => {
                return Err(Reason::TargetIdleTimeout);
            }
        };
        let (mut head, body) = answer.into_parts();
        crate::headers::strip_hop_by_hop(&mut head.headers);
        crate::headers::strip_response(&mut head.headers, &group.cookies);
        head.version = Version::default();
        Ok(Response::from_parts(
            head,
            Body::new(Streamed::new(Body::new(body), self.idle, None)),
        ))
    }

    fn prepare(
        &self,
        request: Request<Body>,
        group: &TargetGroup,
        added: Added<'_>,
    ) -> Result<(oneshot::Receiver<()>, Request<Streamed>), Reason> {
        let (mut head, body) = request.into_parts();
        let limit = group.max_request_body_bytes;
        if declared_length(&head.headers).is_some_and(|length| length > limit) {
            return Err(Reason::RequestBodyTooLarge);
        }
        let target = head
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        head.uri = Uri::builder()
            .scheme(uri::Scheme::HTTP)
            .authority(group.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(|_| Reason::InvalidRequestTarget)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        crate::headers::strip_hop_by_hop(&mut head.headers);
        crate::headers::strip_reserved(&mut head.headers);
        crate::headers::strip_request_cookies(&mut head.headers, &group.cookies);
        // The gateway has answered `100-continue` itself by reading the body.
        head.headers.remove(header::EXPECT);
        if chunked {
            // RFC 9112 section 6.3: with both, the length must not be believed or passed on.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        self.add(&mut head.headers, group, added);
        let (over, sent) = oneshot::channel();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let body = Streamed::new(Body::new(Limited::new(body, limit)), self.idle, Some(over));
        Ok((sent, Request::from_parts(head, body)))
    }

    fn add(&self, headers: &mut HeaderMap, group: &TargetGroup, added: Added<'_>) {
        let host = headers.remove(header::HOST);
        // HTTP/2 has no Host header; the listener's allow-list has checked whichever there was.
        let host = host.or_else(|| HeaderValue::from_str(&added.origin.authority()).ok());
        if let Some(host) = &host {
            headers.insert(X_FORWARDED_HOST, host.clone());
        }
        headers.insert(
            header::HOST,
            host.filter(|_| group.preserve_host_header)
                .unwrap_or_else(|| group.host.clone()),
        );
        headers.insert(X_FORWARDED_PORT, added.origin.port().into());
        if let Ok(scheme) = HeaderValue::from_str(added.origin.scheme()) {
            headers.insert(X_FORWARDED_PROTO, scheme);
        }
        if self.xff == XffHeaderProcessing::Replace {
            headers.remove(X_FORWARDED_FOR);
        }
        if let Some(source) = added.source {
            let sent = headers
                .get_all(X_FORWARDED_FOR)
                .iter()
                .filter_map(|value| value.to_str().ok());
            let chain: Vec<String> = sent.map(str::to_owned).chain([source.to_string()]).collect();
            if let Ok(value) = HeaderValue::from_str(&chain.join(", ")) {
                headers.insert(X_FORWARDED_FOR, value);
            }
        }
        for (name, value) in added.identity {
            headers.insert(name, value);
        }
    }
}

fn refuse_unforwardable(request: &Request<Body>) -> Result<(), Reason> {
    let method = request.method();
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Reason::MethodNotForwarded);
    }
    // Other upgrades (h2c) may be ignored by a server; a WebSocket client cannot go on without.
    let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if request.headers().get_all(header::UPGRADE).iter().any(websocket) {
        return Err(Reason::UpgradeNotSupported);
    }
    // The script of a service worker: it would outlive the page and answer for the origin by itself.
    if request.headers().contains_key("service-worker") {
        return Err(Reason::ServiceWorkerScript);
    }
    Ok(())
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn reason_of(error: &legacy::Error, group: &TargetGroup) -> Reason {
    let mut timed_out = false;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Reason::RequestBodyTooLarge;
        }
        timed_out |= error.is::<Silent>()
            || error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        cause = error.source();
    }
    tracing::warn!(target_group.name = %group.name, %error, "no answer from target");
    match (timed_out, error.is_connect()) {
        (true, true) => Reason::TargetConnectTimeout,
        (true, false) => Reason::TargetIdleTimeout,
        (false, _) => Reason::TargetConnectionError,
    }
}
