//! The access log: a line a request in the format of an Application Load Balancer, or as JSON.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>
//!
//! Unlike an ALB it keeps no secrets: values of query parameters that open something (`code`, `state`,
//! `session_id`, tokens) are not written. A request costs one append to a buffer; a thread of its own writes
//! the buffer out. A disk that does not keep up loses lines, which are counted, never requests.

mod body;
mod line;
mod redact;
mod writer;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use countersign_crypto::{SharedClock, Timestamp};
use countersign_web::edge::REQUEST_ID;
use countersign_web::tls::TlsSession;
use countersign_web::{LoggedElsewhere, Peer};
use http::{HeaderMap, HeaderValue, Method, Version, header};
use tokio::time::Instant;

use crate::config;
use crate::origin::Origin;
use crate::reason::Reason;
use body::{Received, Sent};
use writer::Writer;

/// No rule has matched.
const NO_RULE: i32 = -1;

/// What was done with a request, by bit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Executed {
    Authenticate = 1,
    JwtValidation = 2,
    Forward = 4,
    Redirect = 8,
    FixedResponse = 16,
}

/// How a target answered.
#[derive(Debug)]
pub(crate) struct TargetAnswer {
    /// `host:port`.
    pub(crate) target: Arc<str>,
    pub(crate) status: u16,
    /// From the request's coming to its going to the target.
    pub(crate) dispatched: Duration,
    /// From there to the head of the answer.
    pub(crate) processing: Duration,
}

/// What is learnt about a request on its way, for its line.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) began: Instant,
    priority: AtomicI32,
    executed: AtomicU8,
    received: AtomicU64,
    group: OnceLock<Arc<str>>,
    answer: OnceLock<TargetAnswer>,
    trace_id: OnceLock<HeaderValue>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            priority: AtomicI32::new(NO_RULE),
            executed: AtomicU8::new(0),
            received: AtomicU64::new(0),
            group: OnceLock::new(),
            answer: OnceLock::new(),
            trace_id: OnceLock::new(),
        }
    }
}

impl Notes {
    /// The rule of this priority has matched; 0 is the default rule.
    pub(crate) fn matched(&self, priority: u16) {
        self.priority.store(priority.into(), Ordering::Relaxed);
    }

    pub(crate) fn executed(&self, action: Executed) {
        self.executed.fetch_or(action as u8, Ordering::Relaxed);
    }

    /// The request goes to a target group, with this trace id.
    pub(crate) fn forwarded(&self, group: &Arc<str>, trace_id: Option<&HeaderValue>) {
        // A retry goes to the same group; the first word counts.
        let _ = self.group.set(Arc::clone(group));
        if let Some(trace_id) = trace_id {
            let _ = self.trace_id.set(trace_id.clone());
        }
    }

    pub(crate) fn answered(&self, answer: TargetAnswer) {
        let _ = self.answer.set(answer);
    }
}

/// The access log of a gateway.
pub(crate) struct AccessLog {
    format: config::AccessLogFormat,
    /// How the log names this gateway: the resource part of its `signer`.
    gateway: String,
    writer: Writer,
    clock: SharedClock,
}

impl AccessLog {
    /// Opens the log; `None` where there is to be none.
    pub(crate) fn open(
        config: &config::AccessLog,
        signer: &str,
        clock: &SharedClock,
    ) -> std::io::Result<Option<Arc<Self>>> {
        if config.format == config::AccessLogFormat::Off {
            return Ok(None);
        }
        let gateway = signer.rsplit_once(":loadbalancer/");
        Ok(Some(Arc::new(Self {
            format: config.format,
            gateway: redact::field(gateway.map_or(signer, |(_, resource)| resource)),
            writer: Writer::start(config.path.clone())?,
            clock: clock.clone(),
        })))
    }

    /// Opens the file anew, before the next line.
    pub(crate) fn reopen(&self) {
        self.writer.reopen();
    }

    /// Notes what is known of a request before it is looked at.
    pub(crate) fn begin(self: &Arc<Self>, origin: &Origin, request: &mut Request) -> Pending {
        let notes = Arc::new(Notes::default());
        let extensions = request.extensions();
        let tls = extensions.get::<TlsSession>();
        let head = Head {
            created: self.clock.now(),
            client: extensions.get::<Peer>().map(|peer| peer.0),
            kind: kind(request, origin.is_https()),
            request_line: redact::request_line(
                origin,
                request.method(),
                request.uri(),
                host(request),
                request.version(),
            ),
            user_agent: request
                .headers()
                .get(header::USER_AGENT)
                .map(|value| redact::quoted(value.as_bytes())),
            tls: tls.map(|tls| (tls.cipher_suite(), tls.version())),
            domain_name: tls
                .and_then(TlsSession::server_name)
                .map(|name| redact::quoted(name.as_bytes())),
            bytes: head_bytes(request.headers()) + request.uri().path().len(),
        };
        request.extensions_mut().insert(LoggedElsewhere);
        request.extensions_mut().insert(Arc::clone(&notes));
        if !http_body::Body::is_end_stream(request.body()) {
            let body = std::mem::replace(request.body_mut(), Body::empty());
            *request.body_mut() = Body::new(Received::new(body, Arc::clone(&notes)));
        }
        Pending {
            log: Arc::clone(self),
            head,
            notes,
        }
    }
}

/// A request that has not been answered yet.
pub(crate) struct Pending {
    log: Arc<AccessLog>,
    head: Head,
    notes: Arc<Notes>,
}

/// What a request says of itself, as it is written.
struct Head {
    created: Timestamp,
    client: Option<SocketAddr>,
    kind: &'static str,
    request_line: String,
    user_agent: Option<String>,
    /// Cipher suite and version.
    tls: Option<(&'static str, &'static str)>,
    domain_name: Option<String>,
    bytes: usize,
}

/// A request with the head of its answer; the line is written when this is dropped, with the answer's last
/// byte or when the client has gone.
struct Record {
    log: Arc<AccessLog>,
    head: Head,
    notes: Arc<Notes>,
    answered: Timestamp,
    /// From the request's coming to the head of the answer.
    took: Duration,
    status: u16,
    reason: Option<Reason>,
    redirect_url: Option<String>,
    request_id: Option<HeaderValue>,
    sent: u64,
}

impl Drop for Record {
    fn drop(&mut self) {
        let line = match self.log.format {
            config::AccessLogFormat::Json => line::json(self),
            _ => line::alb(self),
        };
        self.log.writer.write(line.as_bytes());
    }
}

impl Pending {
    /// Notes the head of the answer, and counts its body.
    pub(crate) fn answered(self, response: Response) -> Response {
        let redirected = self.notes.executed.load(Ordering::Relaxed) & Executed::Redirect as u8 != 0;
        let headers = response.headers();
        let record = Record {
            answered: self.log.clock.now(),
            took: self.notes.began.elapsed(),
            status: response.status().as_u16(),
            reason: response.extensions().get::<Reason>().copied(),
            redirect_url: headers
                .get(header::LOCATION)
                .filter(|_| redirected)
                .map(|location| redact::url(location.as_bytes())),
            request_id: headers.get(REQUEST_ID).cloned(),
            sent: u64::try_from(head_bytes(headers)).unwrap_or(0),
            log: self.log,
            head: self.head,
            notes: self.notes,
        };
        response.map(|body| Body::new(Sent::new(body, Box::new(record))))
    }
}

/// `type` of the line.
fn kind(request: &Request, https: bool) -> &'static str {
    let headers = request.headers();
    let starts = |name, with: &[u8]| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(with))
    };
    let websocket = starts(header::UPGRADE, b"websocket") || request.method() == Method::CONNECT;
    match (request.version(), https) {
        (_, true) if websocket => "wss",
        (_, false) if websocket => "ws",
        (Version::HTTP_2, _) if starts(header::CONTENT_TYPE, b"application/grpc") => "grpcs",
        (Version::HTTP_2, _) => "h2",
        (_, true) => "https",
        (_, false) => "http",
    }
}

fn host(request: &Request) -> &str {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let header = || request.headers().get(header::HOST)?.to_str().ok();
    authority.or_else(header).unwrap_or_default()
}

/// About as many bytes as the head takes in HTTP/1.1.
fn head_bytes(headers: &HeaderMap) -> usize {
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    fields.sum::<usize>() + 20
}
