//! A request that the gateway answers itself because it cannot go on: one conversion to a response.

use axum::Json;
use axum::response::{IntoResponse, Response};
use countersign_web::{RequestId, page};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use crate::reason::Reason;

/// A refusal and how the asker can read it.
#[derive(Debug)]
pub(crate) struct Refused {
    reason: Reason,
    navigation: bool,
    request_id: Option<RequestId>,
    /// Cookies that the refusal makes worthless.
    clear: Vec<HeaderValue>,
}

impl Refused {
    pub(crate) fn new(reason: Reason, headers: &HeaderMap, request_id: Option<RequestId>) -> Self {
        Self::to(is_navigation(headers), reason, request_id)
    }

    /// To somebody who has asked for a page, or not ([`is_navigation`]).
    pub(crate) fn to(navigation: bool, reason: Reason, request_id: Option<RequestId>) -> Self {
        Self {
            reason,
            navigation,
            request_id,
            clear: Vec::new(),
        }
    }

    /// Removes a cookie along with the answer.
    pub(crate) fn clearing(mut self, cookie: HeaderValue) -> Self {
        self.clear.push(cookie);
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.reason.status();
        metrics::counter!("countersign_gateway_refused_total", "reason" => self.reason.as_str()).increment(1);
        tracing::info!(
            reason = self.reason.as_str(),
            status = status.as_u16(),
            "request refused"
        );
        let (title, advice) = self.reason.advice();
        let mut response = match &self.request_id {
            Some(request_id) if self.navigation => page::error_page(status, title, advice, request_id),
            request_id => {
                let id = request_id.as_ref().map(RequestId::as_str);
                (status, Json(json!({ "message": advice, "requestId": id }))).into_response()
            }
        };
        response.extensions_mut().insert(self.reason);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in self.clear {
            headers.append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// Whether the request loads a page. Browsers say so (Fetch Metadata); of the rest, who accepts HTML.
pub(crate) fn is_navigation(headers: &HeaderMap) -> bool {
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    if headers.contains_key("x-requested-with") {
        return false;
    }
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn navigations_are_told_from_scripts() {
        let navigation = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            is_navigation(&pairs.collect())
        };
        assert!(navigation(&[("sec-fetch-mode", "navigate"), ("accept", "*/*")]));
        assert!(navigation(&[("accept", "text/html,application/xhtml+xml")]));
        assert!(!navigation(&[
            ("sec-fetch-mode", "cors"),
            ("accept", "text/html")
        ]));
        assert!(!navigation(&[("accept", "application/json")]));
        assert!(!navigation(&[
            ("accept", "text/html"),
            ("x-requested-with", "XMLHttpRequest")
        ]));
        assert!(!navigation(&[]));
    }
}
