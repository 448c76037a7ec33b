//! Answers outside a stream: small JSON objects that tell a client what to do and an outsider nothing.

use axum::Json;
use axum::response::{IntoResponse, Response};
use countersign_web::PersonError;
use http::StatusCode;
use serde_json::json;

use crate::conversation::StoreError;

/// A request that is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
        }
    }

    pub(crate) const fn bad_session_id() -> Self {
        let message = "sessionId must be 1 to 128 of A-Z a-z 0-9 . _ -";
        Self::new(StatusCode::BAD_REQUEST, "invalid_session_id", message)
    }

    pub(crate) const fn bad_title() -> Self {
        let message = "the body must be a JSON object with `title`, one line of 1 to 80 characters";
        Self::new(StatusCode::BAD_REQUEST, "invalid_title", message)
    }

    pub(crate) const fn bad_page() -> Self {
        let message = "after must be the `next` of the page before";
        Self::new(StatusCode::BAD_REQUEST, "invalid_page", message)
    }

    pub(crate) const fn cross_origin() -> Self {
        let message = "the request must come from this application's own pages";
        Self::new(StatusCode::FORBIDDEN, "cross_origin", message)
    }

    pub(crate) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing here")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

impl From<PersonError> for Refusal {
    fn from(error: PersonError) -> Self {
        tracing::info!(reason = error.reason(), "nobody is recognised");
        match error {
            PersonError::KeysUnavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "sign-ins cannot be checked at the moment",
            ),
            _ => Self::new(StatusCode::UNAUTHORIZED, "sign_in", "sign in and try again"),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "conversation store");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "conversations",
            "conversations cannot be read at the moment",
        )
    }
}

pub(crate) async fn unknown_path() -> Refusal {
    Refusal::not_found()
}
