//! The streaming reverse proxy: a request goes to its target as it came, less what is only the gateway's
//! to say, and the answer comes back frame by frame.
//!
//! It refuses `CONNECT` (but for `WebSockets` over HTTP/2), `TRACE` and upgrades to anything but WebSocket,
//! never retries a request that may have been processed by a target, and never holds a body back.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::body::Body;
use countersign_crypto::SharedRandom;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version, uri};
use http_body::Body as _;
use http_body_util::LengthLimitError;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::access_log::{Notes, TargetAnswer};
use crate::answer::AnswerBody;
use crate::authenticate::lasting::Lasting;
use crate::config::{ForwardLimits, ProtocolVersion};
use crate::forwarding_headers::{self, Added, check_forwarded_for};
use crate::headers::Seen;
use crate::reason::Reason;
use crate::target_group::{ConnectError, Lease, Sender, Target, TargetGroup};
use crate::upgrade::Upgrade;

use self::body::BodyError;
pub(crate) use self::body::{RequestBody, ResponseBody};

mod body;

/// Targets that a request is tried at while none has accepted the connection.
const MAX_TARGETS_TRIED: usize = 3;

/// Times a request is sent again that a target has not processed.
const MAX_RESENT: usize = 3;
/// Headers that the gateway adds to a request, about.
const MOST_ADDED: usize = 12;
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

    /// Sends a request to a target group and gives back its answer, both streamed. A WebSocket ends with the session
    /// `lasting`.
    pub(crate) async fn forward(
        &self,
        mut request: Request<Incoming>,
        seen: Seen,
        group: &TargetGroup,
        added: Added<'_>,
        notes: &Arc<Notes>,
        lasting: impl FnOnce() -> Option<Lasting>,
    ) -> Result<Response<AnswerBody>, Reason> {
        let asks = seen.any(Seen::UPGRADE) || request.method() == Method::CONNECT;
        let upgrade = if asks {
            Upgrade::take(&mut request, &*self.random)
        } else {
            None
        };
        refuse_unforwardable(request.method(), seen)?;
        refuse_incompatible(&request, seen, group, upgrade.is_some())?;
        let (request, kept_host) = self.prepare(request, seen, group, added, (upgrade.is_some(), notes))?;
        let dispatched = notes.began.elapsed();
        let (answer, lease) = self.send(request, kept_host, group).await?;
        notes.answered(TargetAnswer {
            target: Arc::clone(&lease.outstanding.target().name),
            status: answer.status().as_u16(),
            dispatched,
            processing: notes.began.elapsed().saturating_sub(dispatched),
        });
        match upgrade {
            Some(upgrade) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => upgrade
                .accept(answer, lease, self.idle, &group.cookies, lasting())
                .map(|answer| answer.map(AnswerBody::from))
                .ok_or(Reason::TargetConnectionError),
            // Nobody has asked for another protocol.
            _ if answer.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Reason::TargetConnectionError),
            _ => Ok(self.answer(answer, group, lease)),
        }
    }

    fn answer(&self, answer: Response<Incoming>, group: &TargetGroup, lease: Lease) -> Response<AnswerBody> {
        let (mut head, body) = answer.into_parts();
        let seen = Seen::of(&head.headers);
        if seen.any(Seen::HOP_BY_HOP) {
            crate::headers::strip_hop_by_hop_but_trailer(&mut head.headers);
        }
        if seen.any(Seen::SET_COOKIE) || seen.any(Seen::SITE_WIDE) {
            crate::headers::strip_response(&mut head.headers, &group.cookies);
        }
        head.version = Version::default();
        head.extensions = http::Extensions::new();
        let body = ResponseBody::new(body, self.idle, lease);
        Response::from_parts(head, AnswerBody::of_target(body))
    }

    /// The request as the target gets it, and the host that every target sees; `None`: each its own.
    fn prepare(
        &self,
        request: Request<Incoming>,
        seen: Seen,
        group: &TargetGroup,
        added: Added<'_>,
        (upgrade, notes): (bool, &Arc<Notes>),
    ) -> Result<(Request<RequestBody>, Option<HeaderValue>), Reason> {
        let (mut head, body) = request.into_parts();
        let limit = group.max_request_body_bytes;
        if seen.any(Seen::CONTENT_LENGTH)
            && declared_length(&head.headers).is_some_and(|length| length > limit)
        {
            return Err(Reason::RequestBodyTooLarge);
        }
        head.extensions.clear();
        // Once instead of at every doubling.
        head.headers.reserve(MOST_ADDED);
        let takes_trailers =
            seen.any(Seen::TE) && head.headers.get(header::TE).is_some_and(|te| te == "trailers");
        let announces_trailers =
            seen.any(Seen::HOP_BY_HOP) && crate::headers::strip_hop_by_hop_but_trailer(&mut head.headers);
        if seen.any(Seen::RESERVED) {
            crate::headers::strip_reserved(&mut head.headers);
        }
        if seen.any(Seen::COOKIE) {
            crate::headers::strip_request_cookies(&mut head.headers, &group.cookies);
        }
        if seen.any(Seen::EXPECT) {
            // The gateway answers `100-continue` itself, when the target's connection takes the body.
            head.headers.remove(header::EXPECT);
        }
        if seen.any(Seen::TRANSFER_ENCODING) {
            // RFC 9112 section 6.3: with both, the length must not be believed or passed on.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        if seen.any(Seen::FORWARDED_FOR) {
            check_forwarded_for(&head.headers, added.attributes)?;
        }
        let kept_host = forwarding_headers::add(&mut head.headers, added, seen, group.preserve_host_header)?;
        if group.protocol_version == ProtocolVersion::Http1 && !upgrade && !body.is_end_stream() {
            frame_body(&mut head.headers, announces_trailers);
        }
        if takes_trailers && group.protocol_version != ProtocolVersion::Http1 {
            // gRPC servers insist on it.
            head.headers
                .insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let body = if upgrade {
            Upgrade::ask(&mut head.headers);
            RequestBody::new(Body::empty(), self.idle, limit)
        } else {
            RequestBody::of_client(body, self.idle, limit, notes)
        };
        Ok((Request::from_parts(head, body), kept_host))
    }

    /// Finds a target that takes the connection, and sends it the request.
    async fn send(
        &self,
        mut request: Request<RequestBody>,
        kept_host: Option<HeaderValue>,
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
            address(&mut request, kept_host.as_ref(), &target, &lease)?;
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
        let mut over = request.body_mut().over();
        let Lease { sender, deadline, .. } = lease;
        let mut answer = pin!(async {
            match sender {
                Sender::Http1(sender) => sender.try_send_request(request).await.map_err(Failed::of),
                Sender::Http2(sender) => sender.try_send_request(request).await.map_err(Failed::of),
            }
        });
        let mut begun = false;
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            // The target's time begins when it has the whole request.
            if let Some(sending) = &mut over {
                let _ = ready!(Pin::new(sending).poll(context));
                over = None;
            }
            if !begun {
                begun = true;
                deadline.set(Instant::now() + self.idle);
            }
            ready!(deadline.poll(context));
            Poll::Ready(Err(Failed {
                error: None,
                unsent: None,
            }))
        })
        .await
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
fn address(
    request: &mut Request<RequestBody>,
    kept_host: Option<&HeaderValue>,
    target: &Target,
    lease: &Lease,
) -> Result<(), Reason> {
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let host = kept_host.unwrap_or(&target.host).clone();
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

fn refuse_unforwardable(method: &Method, seen: Seen) -> Result<(), Reason> {
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Reason::MethodNotForwarded);
    }
    // The script of a service worker: it would outlive the page and answer for the origin by itself.
    if seen.any(Seen::SERVICE_WORKER) {
        return Err(Reason::ServiceWorkerScript);
    }
    Ok(())
}

/// An ALB's 464: the version of the request and that of the target group do not go together.
fn refuse_incompatible(
    request: &Request<Incoming>,
    seen: Seen,
    group: &TargetGroup,
    upgrade: bool,
) -> Result<(), Reason> {
    let http2 = request.version() == Version::HTTP_2;
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    let grpc =
        seen.any(Seen::CONTENT_TYPE) && request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc);
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

/// How a body goes to an HTTP/1 target. One without length ends by its chunks, and trailers come only behind those (RFC 9112
/// sections 6.3 and 7.1.2); HTTP/2 has them behind a declared length too. Unasked, hyper sends no body with a GET.
fn frame_body(headers: &mut HeaderMap, announces_trailers: bool) {
    if announces_trailers || !headers.contains_key(header::CONTENT_LENGTH) {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
