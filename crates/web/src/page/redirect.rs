//! Redirects that carry nothing along but their target.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};

/// 302 to an absolute URL or a path of our own. The URL may carry a code or session id, so the answer is
/// neither stored nor told to the next page (attack row D8). A location that cannot stand in a header is a
/// programming error and gives 500.
#[must_use]
pub fn found(location: &str) -> Response {
    redirect(StatusCode::FOUND, location)
}

/// As [`found`], with 303: the answer to a form post.
#[must_use]
pub fn see_other(location: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, location)
}

fn redirect(status: StatusCode, location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    if let Ok(location) = HeaderValue::from_str(location) {
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(LOCATION, location);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    } else {
        tracing::error!("a redirect's location holds control characters");
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}
