//! Sending a request under the guard.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode};
use tracing::Instrument as _;
use url::{Host, Url};

use crate::error::{OutboundError, Refusal};
use crate::policy::{HostPort, Policy};
use crate::request::Request;
use crate::resolve::{Guarded, Resolver, SystemResolver, check};
use crate::trace::{self, TraceContext};

/// The guarded HTTP client. Clones share connections.
#[derive(Clone)]
pub struct Client {
    /// For everything but the exceptions: its resolver refuses every internal address.
    strict: reqwest::Client,
    /// For the policy's exceptions. A client of its own, because a resolver sees only the name: were it
    /// shared, an exception for one port would open the host's other ports.
    excepted: reqwest::Client,
    policy: Arc<Policy>,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status; a redirect is an answer like any other and has not been followed.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body, within the limit.
    pub body: Bytes,
}

/// An answer whose body is still arriving.
pub struct StreamingResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body in pieces; ends with an error when the limit, or the time between two pieces, is exceeded.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

impl Client {
    /// A client with the operating system's resolver. Fails if the TLS library cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, reqwest::Error> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// As [`new`](Self::new), with another resolver.
    pub fn with_resolver(policy: Policy, resolver: Arc<dyn Resolver>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            strict: connector(&policy, Arc::clone(&resolver), false)?,
            excepted: connector(&policy, resolver, true)?,
            policy: Arc::new(policy),
        })
    }

    /// The rules it keeps.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Checks what can be known of `url` without resolving its name: scheme, user information, host, and
    /// the address where the host is one. For refusing a configuration before it is stored.
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        self.route(url).map(|_| ())
    }

    /// Sends `request` and waits for the whole answer.
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let timeout = request.timeout.unwrap_or(self.policy.timeout);
        let (client, to) = self.route(&request.url)?;
        let to_on_timeout = to.clone();
        let answer = async move {
            let limit = request
                .max_response_bytes
                .unwrap_or(self.policy.max_response_bytes);
            let response = begin(client, &to, request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut pieces = bounded(response, to, limit)?;
            let mut body = BytesMut::new();
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece?);
            }
            Ok(Response {
                status,
                headers,
                body: body.freeze(),
            })
        };
        tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or(Err(OutboundError::Timeout { to: to_on_timeout }))
    }

    /// Sends `request` and waits for the answer's headers; the time-out then applies between two pieces of
    /// the body, so that an event stream may live long but not hang silently.
    pub async fn stream(&self, request: Request) -> Result<StreamingResponse, OutboundError> {
        let timeout = request.timeout.unwrap_or(self.policy.timeout);
        let limit = request
            .max_response_bytes
            .unwrap_or(self.policy.max_response_bytes);
        let (client, to) = self.route(&request.url)?;
        let response = tokio::time::timeout(timeout, begin(client, &to, request))
            .await
            .unwrap_or_else(|_| Err(OutboundError::Timeout { to: to.clone() }))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let pieces = bounded(response, to.clone(), limit)?;
        Ok(StreamingResponse {
            status,
            headers,
            body: paced(pieces, to, timeout).boxed(),
        })
    }

    /// The guard's part before name resolution; gives the connector to use.
    fn route(&self, url: &Url) -> Result<(&reqwest::Client, HostPort), Refusal> {
        let to = HostPort::of(url).ok_or(Refusal::NoHost)?;
        let excepted = self.policy.allow.contains(&to);
        match url.scheme() {
            "https" => {}
            "http" if excepted => {}
            _ => return Err(Refusal::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        // An address in the URL never reaches the resolver.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(Refusal::NoHost),
        };
        if let Some(address) = literal
            && !self.policy.allow_link_local.contains(&to)
        {
            check(url.host_str().unwrap_or_default(), address, excepted)?;
        }
        let client = if excepted { &self.excepted } else { &self.strict };
        Ok((client, to))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn connector(
    policy: &Policy,
    resolver: Arc<dyn Resolver>,
    excepted: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    let guarded = Arc::new(Guarded { resolver, excepted });
    let builder = || {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that builds the client"
        )]
        let builder = reqwest::Client::builder();
        builder
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::clone(&guarded))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(policy.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            // A retry could repeat a single-use authorization code; callers decide.
            .retry(reqwest::retry::never())
    };
    if let Some(pem) = &policy.trust_root {
        let roots = reqwest::Certificate::from_pem_bundle(pem)?;
        return builder().tls_certs_merge(roots).build();
    }
    match builder().build() {
        Ok(client) => Ok(client),
        Err(error) => {
            // A machine without any CA certificates (a bare container) can still do everything that needs
            // no TLS. Trusting nothing makes every https request fail, which is what should happen there.
            tracing::warn!(error = %causes(&error), "no CA certificates: https requests will fail");
            builder().tls_certs_only([]).build()
        }
    }
}

async fn begin(
    client: &reqwest::Client,
    to: &HostPort,
    mut request: Request,
) -> Result<reqwest::Response, OutboundError> {
    let Some(here) = trace::current() else {
        return send(client, to, request).await;
    };
    if !trace::is_on() {
        carry(&mut request, here);
        return send(client, to, request).await;
    }
    // Of the path nothing: it may have a person's or a secret's name in it, and is not ours to write down.
    let span = tracing::info_span!(
        "http.request",
        otel.kind = "client",
        http.request.method = %request.method,
        server.address = %to,
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    );
    let sending = async {
        if let Some(here) = trace::current() {
            carry(&mut request, here);
        }
        let answer = send(client, to, request).await;
        let span = tracing::Span::current();
        match &answer {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status().as_u16());
            }
            Err(_) => {
                span.record("otel.status_code", "ERROR");
            }
        }
        answer
    };
    Box::pin(sending.instrument(span)).await
}

fn carry(request: &mut Request, here: TraceContext) {
    if let Some(value) = here.header() {
        request.headers.insert(trace::TRACEPARENT, value);
    }
}

async fn send(
    client: &reqwest::Client,
    to: &HostPort,
    request: Request,
) -> Result<reqwest::Response, OutboundError> {
    client
        .request(request.method, request.url)
        .headers(request.headers)
        .body(request.body)
        .send()
        .await
        .map_err(|error| classify(error, to))
}

/// The body in pieces, ending with [`OutboundError::TooLarge`] once `limit` is passed. A declared length
/// over the limit is refused before anything is read.
fn bounded(
    response: reqwest::Response,
    to: HostPort,
    limit: usize,
) -> Result<BoxStream<'static, Result<Bytes, OutboundError>>, OutboundError> {
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(OutboundError::TooLarge { to, limit });
    }
    let mut left = Some(limit);
    let pieces = response.bytes_stream().map(move |piece| {
        let piece = piece.map_err(|error| classify(error, &to))?;
        left = left.and_then(|left| left.checked_sub(piece.len()));
        match left {
            Some(_) => Ok(piece),
            None => Err(OutboundError::TooLarge {
                to: to.clone(),
                limit,
            }),
        }
    });
    Ok(ending_at_error(pieces).boxed())
}

/// `pieces` with at most `timeout` before each.
fn paced(
    pieces: BoxStream<'static, Result<Bytes, OutboundError>>,
    to: HostPort,
    timeout: Duration,
) -> impl Stream<Item = Result<Bytes, OutboundError>> + Send {
    ending_at_error(futures_util::stream::unfold(pieces, move |mut pieces| {
        let to = to.clone();
        async move {
            let piece = match tokio::time::timeout(timeout, pieces.next()).await {
                Ok(piece) => piece?,
                Err(_) => Err(OutboundError::Timeout { to }),
            };
            Some((piece, pieces))
        }
    }))
}

fn ending_at_error<S>(pieces: S) -> impl Stream<Item = Result<Bytes, OutboundError>> + Send
where
    S: Stream<Item = Result<Bytes, OutboundError>> + Send,
{
    pieces.scan(false, |failed, piece| {
        let item = (!*failed).then_some(piece);
        *failed |= matches!(item, Some(Err(_)));
        futures_util::future::ready(item)
    })
}

fn classify(error: reqwest::Error, to: &HostPort) -> OutboundError {
    if let Some(refusal) = refusal(&error) {
        return OutboundError::Refused(refusal);
    }
    let error = error.without_url();
    let to = to.clone();
    if error.is_connect() || error.is_builder() {
        OutboundError::Connect {
            to,
            cause: causes(&error),
        }
    } else if error.is_timeout() {
        OutboundError::Timeout { to }
    } else {
        OutboundError::Protocol {
            to,
            cause: causes(&error),
        }
    }
}

/// The guard's own refusal, which comes back from the resolver through the connector's error.
fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal.clone());
        }
        cause = error.source();
    }
    None
}

/// The innermost cause's text: the outer ones only repeat that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
