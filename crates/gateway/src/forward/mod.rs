//! The streaming reverse proxy: a request goes to its target as it came, less what is only the gateway's
//! to say, and the answer comes back frame by frame.
//!
//! It refuses `CONNECT` (but for `WebSockets` over HTTP/2), `TRACE` and upgrades to anything but WebSocket,
//! never retries a request that may have been processed by a target, and never holds a body back.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use countersign_crypto::SharedRandom;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version, uri};
use http_body_util::LengthLimitError;
use hyper::body::Incoming;

use crate::access_log::{Notes, TargetAnswer};
use crate::config::{ForwardLimits, ProtocolVersion};
use crate::forwarding_headers::{self, Added, KeptHost, check_forwarded_for};
use crate::reason::Reason;
use crate::target_group::{ConnectError, Lease, Sender, Target, TargetGroup};
use crate::upgrade::Upgrade;

pub(crate) use self::body::RequestBody;
use self::body::{BodyError, ResponseBody};

mod body;

/// Targets that a request is tried at while none has accepted the connection.
const MAX_TARGETS_TRIED: usize = 3;

/// Times a request is sent again that a target has not processed.
const MAX_RESENT: usize = 3;
/// How long a stream that has failed may hold on to its body.
const STREAM_ENDS: Duration = Duration::from_secs(1);

/// Sends requests to targets.
pub(crate) struct Forwarder {
    idle: Duration,
    random: SharedRandom,
}

impl Forwarder {
    pub(crate) fn new(limits: &ForwardLimits, random: SharedRandom) -> Self {
        Self {
            idle: Duration::from_secs(limits.idle_timeout_seconds),
            random,
        }
    }

    /// Sends a request to a target group and gives back its answer, both streamed.
    pub(crate) async fn forward(
        &self,
        mut request: Request<Body>,
        group: &TargetGroup,
        added: Added<'_>,
        notes: &Notes,
    ) -> Result<Response<Body>, Reason> {
        let upgrade = Upgrade::take(&mut request, &*self.random);
        refuse_unforwardable(&request)?;
        refuse_incompatible(&request, group, upgrade.is_some())?;
        let request = self.prepare(request, group, added, upgrade.is_some())?;
        let dispatched = notes.began.elapsed();
        let (answer, lease) = self.send(request, group).await?;
        notes.answered(TargetAnswer {
            target: Arc::clone(&lease.outstanding.target().name),
            status: answer.status().as_u16(),
            dispatched,
            processing: notes.began.elapsed().saturating_sub(dispatched),
        });
        match upgrade {
            Some(upgrade) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => upgrade
                .accept(answer, lease, self.idle)
                .ok_or(Reason::TargetConnectionError),
            // Nobody has asked for another protocol.
            _ if answer.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Reason::TargetConnectionError),
            _ => Ok(self.answer(answer, group, lease)),
        }
    }

    fn answer(&self, answer: Response<Incoming>, group: &TargetGroup, lease: Lease) -> Response<Body> {
        let (mut head, body) = answer.into_parts();
        let trailer = head.headers.remove(header::TRAILER);
        crate::headers::strip_hop_by_hop(&mut head.headers);
        crate::headers::strip_response(&mut head.headers, &group.cookies);
        if let Some(trailer) = trailer {
            head.headers.insert(header::TRAILER, trailer);
        }
        head.version = Version::default();
        head.extensions = http::Extensions::new();
        Response::from_parts(head, Body::new(ResponseBody::new(body, self.idle, lease)))
    }

    fn prepare(
        &self,
        request: Request<Body>,
        group: &TargetGroup,
        added: Added<'_>,
        upgrade: bool,
    ) -> Result<Request<RequestBody>, Reason> {
        let (mut head, body) = request.into_parts();
        let limit = group.max_request_body_bytes;
        if declared_length(&head.headers).is_some_and(|length| length > limit) {
            return Err(Reason::RequestBodyTooLarge);
        }
        head.extensions.clear();
        let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        let trailer = head.headers.remove(header::TRAILER);
        let takes_trailers = head.headers.get(header::TE).is_some_and(|te| te == "trailers");
        crate::headers::strip_hop_by_hop(&mut head.headers);
        crate::headers::strip_reserved(&mut head.headers);
        crate::headers::strip_request_cookies(&mut head.headers, &group.cookies);
        // The gateway answers `100-continue` itself, when the target's connection takes the body.
        head.headers.remove(header::EXPECT);
        if chunked {
            // RFC 9112 section 6.3: with both, the length must not be believed or passed on.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        check_forwarded_for(&head.headers, added.attributes)?;
        if let Some(host) = forwarding_headers::add(&mut head.headers, added, group.preserve_host_header) {
            head.extensions.insert(host);
        }
        if let Some(trailer) = trailer {
            head.headers.insert(header::TRAILER, trailer);
            if group.protocol_version == ProtocolVersion::Http1 {
                // Only behind chunks (RFC 9112 section 7.1.2); HTTP/2 has them behind a declared length too.
                head.headers.remove(header::CONTENT_LENGTH);
                let chunked = HeaderValue::from_static("chunked");
                head.headers.insert(header::TRANSFER_ENCODING, chunked);
            }
        }
        if takes_trailers && group.protocol_version != ProtocolVersion::Http1 {
            // gRPC servers insist on it.
            head.headers
                .insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let body = if upgrade {
            Upgrade::ask(&mut head.headers);
            Body::empty()
        } else {
            body
        };
        Ok(Request::from_parts(
            head,
            RequestBody::new(body, self.idle, limit),
        ))
    }

    /// Finds a target that takes the connection, and sends it the request.
    async fn send(
        &self,
        mut request: Request<RequestBody>,
        group: &TargetGroup,
    ) -> Result<(Response<Incoming>, Lease), Reason> {
        let mut tried: Vec<Arc<Target>> = Vec::new();
        let mut failed_connection = None;
        let mut resent = 0;
        loop {
            let target = group.choose(&tried).ok_or(Reason::TargetConnectionError)?;
            let mut lease = match group.lease(&target, failed_connection).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::warn!(target_group.name = %group.name, target = %target.name, %error, "no connection to target");
                    tried.push(target);
                    if tried.len() < MAX_TARGETS_TRIED && group.choose(&tried).is_some() {
                        continue;
                    }
                    return Err(match error {
                        ConnectError::Timeout => Reason::TargetConnectTimeout,
                        ConnectError::Io(_) | ConnectError::Http(_) => Reason::TargetConnectionError,
                    });
                }
            };
            address(&mut request, &target, &lease)?;
            let again = matches!(lease.sender, Sender::Http2(_)).then(|| Again::of(&mut request));
            match self.exchange(&mut lease, request).await {
                Ok(answer) => return Ok((answer, lease)),
                // The target closed an idle connection just when we took it: it has seen nothing of this.
                Err(Failed {
                    unsent: Some(unsent), ..
                }) if lease.reused && resent < MAX_RESENT => {
                    request = *unsent;
                    resent += 1;
                    failed_connection = Some(lease.number);
                }
                Err(failed) => {
                    let again = again.filter(|_| resent < MAX_RESENT && failed.was_not_processed());
                    let Some(whole) = Again::request(again).await else {
                        return Err(failed.reason(group, &target));
                    };
                    request = whole;
                    resent += 1;
                    failed_connection = Some(lease.number);
                }
            }
        }
    }

    /// One request and the head of its answer.
    async fn exchange(
        &self,
        lease: &mut Lease,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failed> {
        let over = request.body_mut().over();
        let answer = async {
            match &mut lease.sender {
                Sender::Http1(sender) => sender.try_send_request(request).await.map_err(Failed::of),
                Sender::Http2(sender) => sender.try_send_request(request).await.map_err(Failed::of),
            }
        };
        let patience = async {
            // The target's time begins when it has the whole request.
            if let Some(over) = over {
                let _ = over.await;
            }
            tokio::time::sleep(self.idle).await;
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = patience => Err(Failed { error: None, unsent: None }),
        }
    }
}

/// A request to an HTTP/2 target, to be sent again if the target says that it has not processed it.
struct Again {
    head: http::request::Parts,
    body: tokio::sync::oneshot::Receiver<RequestBody>,
}

impl Again {
    fn of(request: &mut Request<RequestBody>) -> Self {
        let body = request.body_mut().keep();
        let (head, ()) = {
            let mut copy = Request::new(());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            *copy.extensions_mut() = request.extensions().clone();
            copy.into_parts()
        };
        Self { head, body }
    }

    /// The whole request; `None` where too much of its body has gone.
    async fn request(again: Option<Self>) -> Option<Request<RequestBody>> {
        let Self { head, body } = again?;
        // Dropped together with the stream that has failed.
        let body = tokio::time::timeout(STREAM_ENDS, body).await.ok()?.ok()?;
        Some(Request::from_parts(head, body))
    }
}

/// A request that got no answer.
struct Failed {
    /// `None`: no answer in time.
    error: Option<hyper::Error>,
    /// The request, where nothing of it was sent.
    unsent: Option<Box<Request<RequestBody>>>,
}

impl Failed {
    fn of(mut error: hyper::client::conn::TrySendError<Request<RequestBody>>) -> Self {
        Self {
            unsent: error.take_message().map(Box::new),
            error: Some(error.into_error()),
        }
    }

    /// Whether the target says that it has done nothing with the request: it refused the stream, or it is
    /// closing and the stream came after the last one it looks at (RFC 9113 sections 6.8 and 8.7).
    fn was_not_processed(&self) -> bool {
        let mut cause = self.error.as_ref().map(|error| error as &(dyn Error + 'static));
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return error.is_remote()
                    && match error.reason() {
                        Some(h2::Reason::NO_ERROR) => error.is_go_away(),
                        Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
                        _ => false,
                    };
            }
            cause = error.source();
        }
        false
    }

    fn reason(&self, group: &TargetGroup, target: &Target) -> Reason {
        let mut cause = self.error.as_ref().map(|error| error as &(dyn Error + 'static));
        let fault = cause.map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
        let mut broken = false;
        while let Some(error) = cause {
            // The second is the listener's limit, where it came first.
            match error.downcast_ref() {
                Some(BodyError::TooLarge) => return Reason::RequestBodyTooLarge,
                Some(BodyError::Silent) => return Reason::ClientIdleTimeout,
                Some(BodyError::Broken(_)) => broken = true,
                None if error.is::<LengthLimitError>() => return Reason::RequestBodyTooLarge,
                None => {}
            }
            cause = error.source();
        }
        if broken {
            return Reason::RequestBodyBroken;
        }
        tracing::warn!(target_group.name = %group.name, target = %target.name, fault, "no answer from target");
        match self.error {
            Some(_) => Reason::TargetConnectionError,
            None => Reason::TargetIdleTimeout,
        }
    }
}

/// Writes the target's address into the request.
fn address(request: &mut Request<RequestBody>, target: &Target, lease: &Lease) -> Result<(), Reason> {
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let kept = request.extensions().get::<KeptHost>().map(|kept| kept.0.clone());
    let host = kept.unwrap_or_else(|| target.host.clone());
    let headers = request.headers_mut();
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(path);
    if matches!(lease.sender, Sender::Http2(_)) {
        headers.remove(header::HOST);
        parts.scheme = Some(target.scheme.clone());
        parts.authority = Some(
            host.as_bytes()
                .try_into()
                .map_err(|_| Reason::InvalidRequestTarget)?,
        );
        *request.version_mut() = Version::HTTP_2;
    } else {
        headers.insert(header::HOST, host);
        *request.version_mut() = Version::HTTP_11;
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Reason::InvalidRequestTarget)?;
    Ok(())
}

fn refuse_unforwardable(request: &Request<Body>) -> Result<(), Reason> {
    let method = request.method();
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Reason::MethodNotForwarded);
    }
    // The script of a service worker: it would outlive the page and answer for the origin by itself.
    if request.headers().contains_key("service-worker") {
        return Err(Reason::ServiceWorkerScript);
    }
    Ok(())
}

/// An ALB's 464: the version of the request and that of the target group do not go together.
fn refuse_incompatible(request: &Request<Body>, group: &TargetGroup, upgrade: bool) -> Result<(), Reason> {
    let http2 = request.version() == Version::HTTP_2;
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let compatible = match group.protocol_version {
        ProtocolVersion::Http1 => !grpc,
        ProtocolVersion::Http2 => http2 && !upgrade,
        ProtocolVersion::Grpc => http2 && !upgrade && request.method() == Method::POST,
    };
    if compatible {
        Ok(())
    } else {
        Err(Reason::ProtocolVersionMismatch)
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
