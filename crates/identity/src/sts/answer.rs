//! Answers of the query protocol: XML, as AWS STS has it.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use countersign_api::{ApiError, ErrorCode};
use countersign_crypto::Timestamp;
use countersign_db::DbError;
use http::{HeaderValue, StatusCode, header};

use crate::authn::Unauthenticated;
use crate::operation::OperationError;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Why STS answers nothing else.
#[derive(Debug)]
pub(super) struct StsError {
    status: StatusCode,
    code: String,
    message: String,
    /// The audit reason.
    pub(super) reason: &'static str,
    /// Something is wrong that is not the caller's doing; for our log alone.
    pub(super) cause: Option<String>,
    /// Seconds after which to try again.
    retry_after: Option<u64>,
}

impl StsError {
    pub(super) fn new(
        status: StatusCode,
        code: &str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            reason,
            cause: None,
            retry_after: None,
        }
    }

    pub(super) fn malformed(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "MalformedInput",
            "invalid_input",
            message,
        )
    }

    pub(super) fn invalid_action(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            "unknown_operation",
            message,
        )
    }

    pub(super) fn validation(parameter: &str, rule: &str) -> Self {
        let message = format!("1 validation error detected: Value at '{parameter}' {rule}");
        Self::new(
            StatusCode::BAD_REQUEST,
            "ValidationError",
            "invalid_input",
            message,
        )
    }

    /// One text for everything that a stranger may not know: whether the role exists, whom it trusts.
    pub(super) fn access_denied(reason: &'static str) -> Self {
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", reason, message)
    }

    pub(super) fn unavailable(reason: &'static str, cause: impl std::fmt::Display) -> Self {
        let message = "The request has failed due to a temporary failure of the server.";
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            reason,
            message,
        );
        error.cause = Some(cause.to_string());
        error
    }

    /// The web identity token proves nothing. One text whatever is wrong with it.
    pub(super) fn invalid_identity_token(reason: &'static str) -> Self {
        let message = "The web identity token that was passed could not be validated";
        Self::new(StatusCode::BAD_REQUEST, "InvalidIdentityToken", reason, message)
    }

    pub(super) fn expired_identity_token() -> Self {
        let message = "The web identity token that was passed is expired";
        let reason = "web_identity_expired";
        Self::new(StatusCode::BAD_REQUEST, "ExpiredTokenException", reason, message)
    }

    /// The issuer's keys cannot be had. AWS's SDKs try again at this code.
    pub(super) fn issuer_away(cause: impl std::fmt::Display) -> Self {
        let message = "The keys of the web identity token's issuer could not be retrieved";
        let reason = "issuer_keys_unavailable";
        let mut error = Self::new(StatusCode::BAD_REQUEST, "IDPCommunicationError", reason, message);
        error.cause = Some(cause.to_string());
        error
    }

    pub(super) fn respond(&self, request_id: &str) -> Response {
        let mut xml = Xml::new("ErrorResponse");
        xml.open("Error");
        xml.text(
            "Type",
            if self.status.is_server_error() {
                "Receiver"
            } else {
                "Sender"
            },
        );
        xml.text("Code", &self.code);
        xml.text("Message", &self.message);
        xml.close("Error");
        xml.text("RequestId", request_id);
        let mut response = respond(self.status, xml.finish("ErrorResponse"));
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Unauthenticated> for StsError {
    fn from(error: Unauthenticated) -> Self {
        match error {
            Unauthenticated::Refused { error, reason } => Self::refused(reason, error),
            Unauthenticated::Failed(cause) => Self::unavailable("store_unavailable", cause),
        }
    }
}

impl From<OperationError> for StsError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused { error, reason } => Self::refused(reason, error),
            OperationError::Failed { reason, cause, .. } => Self::unavailable(reason, cause),
        }
    }
}

impl StsError {
    /// A refusal of the JSON protocol, in STS's words.
    fn refused(reason: &'static str, error: ApiError) -> Self {
        // STS has names of its own for what the JSON protocol calls exceptions (IAM, "Common errors").
        let code = match error.code {
            ErrorCode::MissingAuthenticationToken => "MissingAuthenticationToken",
            ErrorCode::IncompleteSignature => "IncompleteSignature",
            ErrorCode::UnrecognizedClient => "InvalidClientTokenId",
            ErrorCode::InvalidSignature => "SignatureDoesNotMatch",
            ErrorCode::ExpiredToken => "ExpiredToken",
            ErrorCode::Throttling => "Throttling",
            code => code.as_str(),
        };
        let status = error.to_http().status();
        let mut answer = Self::new(status, code, reason, error.message);
        answer.retry_after = error.retry_after;
        answer
    }
}

impl From<DbError> for StsError {
    fn from(error: DbError) -> Self {
        Self::unavailable("store_unavailable", error)
    }
}

/// The answer of an operation: `write` writes what is inside of its result.
pub(super) fn success(operation: &str, request_id: &str, write: impl FnOnce(&mut Xml)) -> Response {
    let (root, result) = (format!("{operation}Response"), format!("{operation}Result"));
    let mut xml = Xml::new(&root);
    xml.open(&result);
    write(&mut xml);
    xml.close(&result);
    xml.open("ResponseMetadata");
    xml.text("RequestId", request_id);
    xml.close("ResponseMetadata");
    respond(StatusCode::OK, xml.finish(&root))
}

fn respond(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// XML of elements and texts, which is all that the protocol has.
pub(super) struct Xml(String);

impl Xml {
    fn new(root: &str) -> Self {
        Self(format!("<{root} xmlns=\"{NAMESPACE}\">"))
    }

    pub(super) fn open(&mut self, element: &str) {
        let _ = write!(self.0, "<{element}>");
    }

    pub(super) fn close(&mut self, element: &str) {
        let _ = write!(self.0, "</{element}>");
    }

    pub(super) fn text(&mut self, element: &str, text: &str) {
        self.open(element);
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                // XML 1.0 has no way to write the others.
                char if char < ' ' && !"\t\n\r".contains(char) => self.0.push('\u{fffd}'),
                char => self.0.push(char),
            }
        }
        self.close(element);
    }

    /// A time in whole seconds, as AWS writes it.
    pub(super) fn time(&mut self, element: &str, time: Timestamp) {
        let time = jiff::Timestamp::from_second(time.as_secs()).unwrap_or(jiff::Timestamp::MAX);
        self.text(element, &time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }

    fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let mut xml = Xml::new("R");
        xml.text("T", "<a>&\u{1}");
        assert_eq!(
            xml.finish("R"),
            format!("<R xmlns=\"{NAMESPACE}\"><T>&lt;a&gt;&amp;\u{fffd}</T></R>")
        );
    }
}
