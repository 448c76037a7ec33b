//! What a listener serves at this moment. A reload puts something else in its place; connections stay, and
//! requests under way end with what they began with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower::ServiceExt as _;

use crate::access_log::AccessLog;
use crate::acme::HttpChallenges;
use crate::config::{Attributes, ResponseHeaders};
use crate::origin::Origin;

/// A listener's place.
pub(crate) struct Slot {
    current: ArcSwap<Served>,
    challenges: Arc<HttpChallenges>,
    log: Option<Arc<AccessLog>>,
}

/// A router and the treatment of headers around it.
pub(crate) struct Served {
    router: Router,
    origin: Origin,
    drop_invalid_header_fields: bool,
    set: Vec<(HeaderName, HeaderValue)>,
    remove_server: bool,
}

impl Served {
    pub(crate) fn new(router: Router, origin: Origin, attributes: &Attributes) -> Self {
        Self {
            router,
            origin,
            drop_invalid_header_fields: attributes.drop_invalid_header_fields,
            set: set(&attributes.response),
            remove_server: attributes.response.remove_server,
        }
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

    /// A router that always serves the current one.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(serve).with_state(Arc::clone(self))
    }
}

async fn serve(State(slot): State<Arc<Slot>>, mut request: Request) -> Response {
    // Before the Host allow-list and every rule: the authority asks by whatever name is being validated.
    if let Some(answer) = slot.challenges.answer(request.uri().path()) {
        return ([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response();
    }
    let served = slot.current.load_full();
    let pending = slot
        .log
        .as_ref()
        .map(|log| log.begin(&served.origin, &mut request));
    if served.drop_invalid_header_fields {
        drop_invalid(request.headers_mut());
    }
    let Ok(mut response) = served.router.clone().oneshot(request).await;
    let headers = response.headers_mut();
    for (name, value) in &served.set {
        headers.insert(name.clone(), value.clone());
    }
    if served.remove_server {
        headers.remove(header::SERVER);
    }
    match pending {
        Some(pending) => pending.answered(response),
        None => response,
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
