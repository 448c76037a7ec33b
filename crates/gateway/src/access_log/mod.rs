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

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use countersign_crypto::Timestamp;
use countersign_web::tls::TlsSession;
use countersign_web::{Connected, RequestId};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body::Frame;
use tokio::time::Instant;

use crate::answer::AnswerBody;
use crate::config;
use crate::origin::Origin;
use crate::reason::Reason;
pub(crate) use body::Received;
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
    /// The same by the clock.
    pub(crate) created: Timestamp,
    priority: AtomicI32,
    executed: AtomicU8,
    received: AtomicU64,
    group: OnceLock<Arc<str>>,
    answer: OnceLock<TargetAnswer>,
    trace_id: OnceLock<HeaderValue>,
}

impl Notes {
    pub(crate) fn begin(created: Timestamp) -> Self {
        Self {
            began: Instant::now(),
            created,
            priority: AtomicI32::new(NO_RULE),
            executed: AtomicU8::new(0),
            received: AtomicU64::new(0),
            group: OnceLock::new(),
            answer: OnceLock::new(),
            trace_id: OnceLock::new(),
        }
    }

    /// So many bytes of the request's body have come.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

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

    /// The target group the request went to, if it went to one.
    pub(crate) fn group(&self) -> Option<&str> {
        self.group.get().map(|name| &**name)
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
}

impl AccessLog {
    /// Opens the log; `None` where there is to be none.
    pub(crate) fn open(config: &config::AccessLog, signer: &str) -> std::io::Result<Option<Arc<Self>>> {
        if config.format == config::AccessLogFormat::Off {
            return Ok(None);
        }
        let gateway = signer.rsplit_once(":loadbalancer/");
        Ok(Some(Arc::new(Self {
            format: config.format,
            gateway: redact::field(gateway.map_or(signer, |(_, resource)| resource)),
            writer: Writer::start(config.path.clone())?,
        })))
    }

    /// Opens the file anew, before the next line.
    pub(crate) fn reopen(&self) {
        self.writer.reopen();
    }

    /// Notes what is known of a request before it is looked at.
    pub(crate) fn begin<B>(
        self: &Arc<Self>,
        origin: &Origin,
        request: &Request<B>,
        connected: &Arc<Connected>,
        notes: &Arc<Notes>,
        request_id: &RequestId,
    ) -> Pending {
        let headers = request.headers();
        let (mut bytes, mut host, mut user_agent) = (ABOUT_A_LINE, None, None);
        let mut upgrade_or_type = false;
        for (name, value) in headers {
            bytes += name.as_str().len() + value.len() + 4;
            if name == header::HOST {
                host = Some(value);
            } else if name == header::USER_AGENT {
                user_agent = Some(value);
            } else {
                upgrade_or_type |= name == header::UPGRADE || name == header::CONTENT_TYPE;
            }
        }
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: host.cloned(),
            user_agent: user_agent.cloned(),
        };
        let head = Head {
            kind: kind(request, upgrade_or_type, origin.is_https()),
            https: origin.is_https(),
            port: origin.port(),
            said: Said::Asked(asked),
            bytes: bytes + request.uri().path().len(),
        };
        Pending(Box::new(Record {
            log: Arc::clone(self),
            head,
            connected: Arc::clone(connected),
            notes: Arc::clone(notes),
            request_id: request_id.clone(),
            answered: None,
            sent: 0,
        }))
    }
}

/// A request that has not been answered yet.
pub(crate) struct Pending(Box<Record>);

/// What a request says of itself.
struct Head {
    kind: &'static str,
    https: bool,
    /// The listener's, for a host without one.
    port: u16,
    said: Said,
    bytes: usize,
}

/// The parts that a client chose: as they came, since most lines are written before the buffer that they came in is
/// wanted again, or as they will be written.
enum Said {
    Asked(Asked),
    Written {
        request_line: Box<str>,
        user_agent: Box<str>,
    },
}

struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Asked {
    fn host(&self) -> &str {
        let authority = self.uri.authority().map(http::uri::Authority::as_str);
        let header = || self.host.as_ref()?.to_str().ok();
        authority.or_else(header).unwrap_or_default()
    }
}

impl Head {
    fn push_request_line(&self, line: &mut String) {
        match &self.said {
            Said::Asked(asked) => redact::push_request_line(line, (self.https, self.port), asked),
            Said::Written { request_line, .. } => line.push_str(request_line),
        }
    }

    fn has_user_agent(&self) -> bool {
        match &self.said {
            Said::Asked(asked) => asked.user_agent.as_ref().is_some_and(|value| !value.is_empty()),
            Said::Written { user_agent, .. } => !user_agent.is_empty(),
        }
    }

    fn push_user_agent(&self, line: &mut String) {
        match &self.said {
            Said::Asked(asked) => {
                if let Some(value) = &asked.user_agent {
                    redact::push_quoted(line, value.as_bytes());
                }
            }
            Said::Written { user_agent, .. } => line.push_str(user_agent),
        }
    }
}

/// A request and its answer; the line is written when this is dropped, with the answer's last byte or when the client
/// has gone.
pub(crate) struct Record {
    log: Arc<AccessLog>,
    head: Head,
    connected: Arc<Connected>,
    notes: Arc<Notes>,
    request_id: RequestId,
    /// `None`: whoever asked has gone before.
    answered: Option<Answered>,
    sent: u64,
}

/// The head of an answer.
struct Answered {
    at: Timestamp,
    /// From the request's coming to this.
    took: Duration,
    status: u16,
    reason: Option<Reason>,
    redirect_url: Option<String>,
}

impl Record {
    /// Counts a frame of the answer's body; trailers are few and not counted.
    pub(crate) fn count(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.sent += u64::try_from(data.len()).unwrap_or(u64::MAX);
        }
    }

    /// Lets go of the buffer that the request came in: its end may be far away.
    pub(crate) fn let_go(&mut self) {
        if matches!(self.head.said, Said::Written { .. }) {
            return;
        }
        let (mut request_line, mut user_agent) = (String::new(), String::new());
        self.head.push_request_line(&mut request_line);
        self.head.push_user_agent(&mut user_agent);
        self.head.said = Said::Written {
            request_line: request_line.into(),
            user_agent: user_agent.into(),
        };
    }

    fn tls(&self) -> Option<&TlsSession> {
        self.connected.extensions.get()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let answered = self.answered.take().unwrap_or_else(|| {
            let took = self.notes.began.elapsed();
            Answered {
                at: self.notes.created.plus(took),
                took,
                status: Reason::ClientClosed.status().as_u16(),
                reason: Some(Reason::ClientClosed),
                redirect_url: None,
            }
        });
        let format = match self.log.format {
            config::AccessLogFormat::Json => line::json,
            _ => line::alb,
        };
        line::with_buffer(|line| {
            format(self, &answered, line);
            self.log.writer.write(line.as_bytes());
        });
    }
}

impl Pending {
    /// Notes the head of the answer, and counts its body.
    pub(crate) fn answered(self, response: Response<AnswerBody>) -> Response<AnswerBody> {
        let Self(mut record) = self;
        let redirected = record.notes.executed.load(Ordering::Relaxed) & Executed::Redirect as u8 != 0;
        let headers = response.headers();
        let took = record.notes.began.elapsed();
        let location = redirected.then(|| headers.get(header::LOCATION)).flatten();
        record.answered = Some(Answered {
            at: record.notes.created.plus(took),
            took,
            status: response.status().as_u16(),
            reason: response.extensions().get::<Reason>().copied(),
            redirect_url: location.map(|location| redact::url(location.as_bytes())),
        });
        record.sent = u64::try_from(head_bytes(headers)).unwrap_or(0);
        response.map(|body| body.recorded(record))
    }
}

/// `type` of the line.
fn kind<B>(request: &Request<B>, upgrade_or_type: bool, https: bool) -> &'static str {
    let headers = request.headers();
    let starts = |name, with: &[u8]| {
        let begins = |value: &HeaderValue| {
            let begin = value.as_bytes().get(..with.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        upgrade_or_type && headers.get(name).is_some_and(begins)
    };
    let websocket = request.method() == Method::CONNECT || starts(header::UPGRADE, b"websocket");
    match (request.version(), https) {
        (_, true) if websocket => "wss",
        (_, false) if websocket => "ws",
        (Version::HTTP_2, _) if starts(header::CONTENT_TYPE, b"application/grpc") => "grpcs",
        (Version::HTTP_2, _) => "h2",
        (_, true) => "https",
        (_, false) => "http",
    }
}

/// Bytes of a first line without its path, about.
const ABOUT_A_LINE: usize = 20;

/// About as many bytes as the head takes in HTTP/1.1.
fn head_bytes(headers: &HeaderMap) -> usize {
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    fields.sum::<usize>() + ABOUT_A_LINE
}
