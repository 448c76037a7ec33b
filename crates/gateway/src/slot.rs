//! What a listener serves at this moment. A reload puts something else in its place; connections stay, and
//! requests under way end with what they began with.

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use countersign_outbound::trace::{self, TraceContext};
use countersign_web::edge::{answered, request_span};
use countersign_web::{Connected, Edge, RequestId, Requests, Respond};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::Limited;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use crate::access_log::{AccessLog, Notes, Received};
use crate::acme::HttpChallenges;
use crate::answer::AnswerBody;
use crate::config::{Attributes, ResponseHeaders, Traceparent};
use crate::forwarding_headers::trace_parent;
use crate::listener::Listener;
use crate::provenance::Provenance;

/// What metrics call the target of an answer that the gateway made itself.
const ITSELF: &str = "gateway";

/// A listener's place.
pub(crate) struct Slot {
    current: ArcSwap<Served>,
    challenges: Arc<HttpChallenges>,
    log: Option<Arc<AccessLog>>,
}

/// A listener and the treatment of headers around it.
pub(crate) struct Served {
    listener: Arc<Listener>,
    edge: Edge,
    requests: Requests,
    /// The gateway's own pages.
    own: Router,
    own_paths: Vec<&'static str>,
    drop_invalid_header_fields: bool,
    set: Vec<(HeaderName, HeaderValue)>,
    remove_server: bool,
    traceparent: Traceparent,
}

impl Served {
    pub(crate) fn new(listener: Arc<Listener>, attributes: &Attributes) -> Self {
        let (own_paths, own) = listener.own();
        let edge = listener.edge();
        Self {
            requests: Requests::new(edge.listener),
            edge,
            own,
            own_paths,
            listener,
            drop_invalid_header_fields: attributes.drop_invalid_header_fields,
            set: set(&attributes.response),
            remove_server: attributes.response.remove_server,
            traceparent: attributes.traceparent,
        }
    }

    async fn respond(
        &self,
        mut request: Request<Incoming>,
        request_id: &RequestId,
        connected: &Connected,
        notes: &Arc<Notes>,
    ) -> Response<AnswerBody> {
        // First, so that audit records and the target name the same trace. Where traces are sent somewhere, one that would
        // begin here begins with our own span instead: a parent that nobody samples would keep all of it from being sent.
        let begins = matches!(self.traceparent, Traceparent::Generate | Traceparent::Restart)
            && (self.traceparent == Traceparent::Restart || TraceContext::of(request.headers()).is_none());
        let policy = if begins && trace::is_on() {
            Traceparent::Remove
        } else {
            self.traceparent
        };
        trace_parent(request.headers_mut(), policy, &*self.edge.random);
        let came = TraceContext::of(request.headers());
        if came.is_none() && !trace::is_on() {
            return self.answer(request, request_id, connected, notes).await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let span = || request_span(self.edge.listener, &method, &path);
        let answering = async {
            let response = self.answer(request, request_id, connected, notes).await;
            answered(response.status());
            response
        };
        Box::pin(trace::within(came, span, answering)).await
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        request_id: &RequestId,
        connected: &Connected,
        notes: &Arc<Notes>,
    ) -> Response<AnswerBody> {
        if self.own_paths.contains(&request.uri().path()) {
            // Boxed: the future of a request for a target need not have room for it.
            return Box::pin(self.own(request, request_id, connected, notes)).await;
        }
        let notes = Arc::clone(notes);
        let provenance = Provenance::new(request_id.clone(), connected, request.headers(), notes);
        self.listener.respond(request, connected, provenance).await
    }

    async fn own(
        &self,
        request: Request<Incoming>,
        request_id: &RequestId,
        connected: &Connected,
        notes: &Arc<Notes>,
    ) -> Response<AnswerBody> {
        let most = self.edge.max_body_bytes;
        let counted = |body| Body::new(Limited::new(Received::new(body, Arc::clone(notes)), most));
        let mut request = request.map(counted);
        let extensions = request.extensions_mut();
        extensions.extend(connected.extensions.clone());
        extensions.insert(request_id.clone());
        extensions.insert(Arc::clone(notes));
        let Ok(response) = self.own.clone().oneshot(request).await;
        response.map(AnswerBody::from)
    }
}

impl Slot {
    pub(crate) fn new(
        served: Served,
        challenges: Arc<HttpChallenges>,
        log: Option<Arc<AccessLog>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(served),
            challenges,
            log,
        })
    }

    pub(crate) fn replace(&self, served: Served) {
        self.current.store(Arc::new(served));
    }

    async fn respond(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connected: Arc<Connected>,
    ) -> Response<AnswerBody> {
        let head = request.method() == Method::HEAD;
        // Before the Host allow-list and every rule: the authority asks by whatever name is being validated.
        if let Some(answer) = self.challenges.answer(request.uri().path()) {
            let answer = ([(header::CONTENT_TYPE, "application/octet-stream")], answer);
            let mut answer = answer.into_response().map(AnswerBody::from);
            if head {
                withhold_content(&mut answer);
            }
            return answer;
        }
        let served = self.current.load_full();
        let edge = &served.edge;
        let notes = Arc::new(Notes::begin(edge.clock.now()));
        let request_id = RequestId::new(&*edge.clock, &*edge.random);
        let (log, origin) = (self.log.as_ref(), &served.listener.origin);
        let pending = log.map(|log| log.begin(origin, &request, &connected, &notes, &request_id));
        let logged_by_edge = pending.is_none().then(|| edge.log(&request));
        if served.drop_invalid_header_fields {
            drop_invalid(request.headers_mut());
        }
        let respond = |request| served.respond(request, &request_id, &connected, &notes);
        let mut response = edge.around(request, &request_id, respond).await;
        if head {
            withhold_content(&mut response);
        }
        let passed_on = response.body().is_passed_on();
        let headers = response.headers_mut();
        Edge::finish(headers, &request_id, passed_on);
        for (name, value) in &served.set {
            headers.insert(name.clone(), value.clone());
        }
        if served.remove_server {
            headers.remove(header::SERVER);
        }
        if let Some(logged) = logged_by_edge {
            logged.answered(&response, &request_id);
        }
        let route = notes.group().unwrap_or(ITSELF);
        let took = notes.began.elapsed();
        served.requests.answered(route, response.status(), took);
        match pending {
            Some(pending) => pending.answered(response),
            None => response,
        }
    }
}

/// Makes an answer of ours that to a HEAD: without content, and with the length it would have (RFC 9110 section 9.3.2).
/// hyper does so in HTTP/1 alone; in HTTP/2 clients take content for a stream error (RFC 9113 section 8.1.1).
fn withhold_content(answer: &mut Response<AnswerBody>) {
    let Some(length) = answer.body_mut().withhold_own() else {
        return;
    };
    if length > 0 {
        let headers = answer.headers_mut();
        headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
}

/// What answers on one listener of a gateway.
#[derive(Clone)]
pub struct Responder(Responds);

#[derive(Clone)]
enum Responds {
    Slot(Arc<Slot>),
    Keys(Router),
}

impl Responder {
    pub(crate) fn of_slot(slot: Arc<Slot>) -> Self {
        Self(Responds::Slot(slot))
    }

    pub(crate) fn of_keys(router: Router) -> Self {
        Self(Responds::Keys(router))
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Responds::Slot(_) => "Responder(rules)",
            Responds::Keys(_) => "Responder(keys)",
        })
    }
}

impl Respond for Responder {
    type Body = AnswerBody;

    fn respond(
        &self,
        request: Request<Incoming>,
        connected: &Arc<Connected>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<> {
        let (responds, connected) = (self.0.clone(), Arc::clone(connected));
        // Boxed: each connection would keep the room for one, also those that only wait for an event stream's next event.
        Box::pin(async move {
            match responds {
                Responds::Slot(slot) => slot.respond(request, connected).await,
                Responds::Keys(router) => {
                    let answer = Respond::respond(&router, request, &connected).await;
                    answer.map(AnswerBody::from)
                }
            }
        })
    }
}

/// `routing.http.drop_invalid_header_fields.enabled`: valid names are `[-A-Za-z0-9]+`.
fn drop_invalid(headers: &mut HeaderMap) {
    let valid = |name: &HeaderName| {
        name.as_str()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let invalid: Vec<HeaderName> = headers.keys().filter(|name| !valid(name)).cloned().collect();
    for name in invalid {
        headers.remove(name);
    }
}

fn set(config: &ResponseHeaders) -> Vec<(HeaderName, HeaderValue)> {
    [
        (
            header::STRICT_TRANSPORT_SECURITY,
            &config.strict_transport_security,
        ),
        (header::CONTENT_SECURITY_POLICY, &config.content_security_policy),
        (header::X_CONTENT_TYPE_OPTIONS, &config.x_content_type_options),
        (header::X_FRAME_OPTIONS, &config.x_frame_options),
        (
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            &config.access_control_allow_origin,
        ),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            &config.access_control_allow_methods,
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &config.access_control_allow_headers,
        ),
        (
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            &config.access_control_allow_credentials,
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &config.access_control_expose_headers,
        ),
        (header::ACCESS_CONTROL_MAX_AGE, &config.access_control_max_age),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_ref()?.0.clone())))
    .collect()
}
