//! What the service answers when it does not do what it was asked.
//!
//! On the wire (restJson1): the status, the header `x-amzn-errortype`, and a JSON body with `__type` and
//! `message`, for [`ErrorCode::Validation`] also `reason` and `fieldList`. Clients of all languages find the
//! code by one of those three and dispatch on it; text is for people, apart from the few messages that tools
//! in the field match.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// The exception's name and with it the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The principal may not do this, or the session is not theirs.
    AccessDenied,
    /// The workload access token is not valid.
    Unauthorized,
    /// The input breaks a rule of the model or of the service.
    Validation,
    /// The named resource does not exist.
    ResourceNotFound,
    /// Too many requests.
    Throttling,
    /// Our own failure.
    InternalServer,
    /// The resource's state does not permit the operation.
    Conflict,
    /// Somebody else changed the resource meanwhile.
    ConcurrentModification,
    /// An account's quota is used up. 402, as the service model has it.
    ServiceQuotaExceeded,
    /// The resource's own limit is reached.
    ResourceLimitExceeded,
    /// A secret could not be opened.
    DecryptionFailure,
    /// A secret could not be sealed.
    EncryptionFailure,
    /// Not signed.
    MissingAuthenticationToken,
    /// The signature's parts are missing or malformed.
    IncompleteSignature,
    /// The access key is not known.
    UnrecognizedClient,
    /// The signature is wrong, too old, too new or for another region or service.
    InvalidSignature,
    /// The temporary credentials have expired.
    ExpiredToken,
    /// No operation has this method and path.
    UnknownOperation,
    /// The body is larger than any valid input.
    RequestEntityTooLarge,
    /// A store or key provider cannot be reached; nothing was decided.
    ServiceUnavailable,
}

/// Every code with its name on the wire and its status.
const CODES: &[(ErrorCode, &str, StatusCode)] = &[
    (
        ErrorCode::AccessDenied,
        "AccessDeniedException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::Unauthorized,
        "UnauthorizedException",
        StatusCode::UNAUTHORIZED,
    ),
    (
        ErrorCode::Validation,
        "ValidationException",
        StatusCode::BAD_REQUEST,
    ),
    (
        ErrorCode::ResourceNotFound,
        "ResourceNotFoundException",
        StatusCode::NOT_FOUND,
    ),
    (
        ErrorCode::Throttling,
        "ThrottlingException",
        StatusCode::TOO_MANY_REQUESTS,
    ),
    (
        ErrorCode::InternalServer,
        "InternalServerException",
        StatusCode::INTERNAL_SERVER_ERROR,
    ),
    (ErrorCode::Conflict, "ConflictException", StatusCode::CONFLICT),
    (
        ErrorCode::ConcurrentModification,
        "ConcurrentModificationException",
        StatusCode::CONFLICT,
    ),
    (
        ErrorCode::ServiceQuotaExceeded,
        "ServiceQuotaExceededException",
        StatusCode::PAYMENT_REQUIRED,
    ),
    (
        ErrorCode::ResourceLimitExceeded,
        "ResourceLimitExceededException",
        StatusCode::BAD_REQUEST,
    ),
    (
        ErrorCode::DecryptionFailure,
        "DecryptionFailure",
        StatusCode::BAD_REQUEST,
    ),
    (
        ErrorCode::EncryptionFailure,
        "EncryptionFailure",
        StatusCode::BAD_REQUEST,
    ),
    (
        ErrorCode::MissingAuthenticationToken,
        "MissingAuthenticationTokenException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::IncompleteSignature,
        "IncompleteSignatureException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::UnrecognizedClient,
        "UnrecognizedClientException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::InvalidSignature,
        "InvalidSignatureException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::ExpiredToken,
        "ExpiredTokenException",
        StatusCode::FORBIDDEN,
    ),
    (
        ErrorCode::UnknownOperation,
        "UnknownOperationException",
        StatusCode::NOT_FOUND,
    ),
    (
        ErrorCode::RequestEntityTooLarge,
        "RequestEntityTooLargeException",
        StatusCode::PAYLOAD_TOO_LARGE,
    ),
    (
        ErrorCode::ServiceUnavailable,
        "ServiceUnavailableException",
        StatusCode::SERVICE_UNAVAILABLE,
    ),
];

impl ErrorCode {
    fn row(self) -> &'static (Self, &'static str, StatusCode) {
        // Every variant has its row: a test walks them.
        CODES.iter().find(|(code, ..)| *code == self).unwrap_or(&CODES[5])
    }

    /// The exception's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().2
    }

    /// The code of a name as a server sent it: a namespace before `#` and anything from `:` on are dropped.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        let name = name.split(':').next().unwrap_or_default();
        let name = name.rsplit('#').next().unwrap_or_default();
        CODES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(code, ..)| *code)
    }
}

/// Why a [`ErrorCode::Validation`] was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValidationReason {
    /// The body is not JSON, or a member has the wrong type.
    CannotParse,
    /// A member breaks its rule; `fieldList` says which.
    FieldValidationFailed,
    /// The same name again with other parameters.
    IdempotentParameterMismatchException,
    /// The event belongs to another session.
    EventInOtherSession,
    /// The resource is in the way.
    ResourceConflict,
}

/// One member that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The member's path, such as `scopes[2]` or `userIdentifier.userId`.
    pub name: String,
    /// The rule, never the offending value.
    pub message: String,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    /// Which exception.
    pub code: ErrorCode,
    /// Text for people; never a secret or an internal cause.
    pub message: String,
    /// With [`ErrorCode::Validation`] only.
    pub reason: Option<ValidationReason>,
    /// With [`ValidationReason::FieldValidationFailed`] only.
    pub fields: Vec<FieldError>,
    /// Seconds after which another attempt makes sense (`Retry-After`).
    pub retry_after: Option<u64>,
}

/// The body as it stands on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(rename = "__type", default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(alias = "Message", alias = "errorMessage", default)]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<ValidationReason>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    field_list: Vec<FieldError>,
}

/// The header by which the Java-descended clients find the code.
pub const ERROR_TYPE: &str = "x-amzn-errortype";

impl ApiError {
    /// An error without further members.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: None,
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// `AccessDeniedException`.
    #[must_use]
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AccessDenied, message)
    }

    /// `UnauthorizedException`.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// `ResourceNotFoundException`.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFound, message)
    }

    /// `ConflictException`.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// `InternalServerException` with the one text it ever has.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            ErrorCode::InternalServer,
            "The service could not complete the request.",
        )
    }

    /// `ServiceUnavailableException` with the one text it ever has; try again in a second.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(
                ErrorCode::ServiceUnavailable,
                "The service is temporarily unavailable.",
            )
        }
    }

    /// `ThrottlingException`.
    #[must_use]
    pub fn throttled(message: impl Into<String>, retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(ErrorCode::Throttling, message)
        }
    }

    /// `ValidationException` about the request as a whole.
    #[must_use]
    pub fn validation(reason: ValidationReason, message: impl Into<String>) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(ErrorCode::Validation, message)
        }
    }

    /// `ValidationException` about one member; `message` states the rule.
    #[must_use]
    pub fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError {
            name: name.into(),
            message: message.into(),
        }])
    }

    /// `ValidationException` about these members.
    #[must_use]
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let rules: Vec<String> = fields
            .iter()
            .map(|field| format!("{}: {}", field.name, field.message))
            .collect();
        Self {
            fields,
            ..Self::validation(ValidationReason::FieldValidationFailed, rules.join("; "))
        }
    }

    /// The answer as HTTP.
    #[must_use]
    pub fn to_http(&self) -> http::Response<Bytes> {
        let body = Body {
            kind: Some(self.code.as_str().to_owned()),
            message: self.message.clone(),
            reason: match self.code {
                // The model requires a reason on every ValidationException.
                ErrorCode::Validation => Some(self.reason.unwrap_or(ValidationReason::FieldValidationFailed)),
                _ => None,
            },
            field_list: self.fields.clone(),
        };
        let mut response = http::Response::new(serde_json::to_vec(&body).unwrap_or_default().into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.code.as_str()));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The error in an answer, looked up as the SDKs do; `None` where it names no code known here.
    #[must_use]
    pub fn from_http(headers: &http::HeaderMap, body: &[u8]) -> Option<Self> {
        let body: Option<Body> = serde_json::from_slice(body).ok();
        let code = headers
            .get(ERROR_TYPE)
            .and_then(|name| name.to_str().ok())
            .or(body.as_ref().and_then(|body| body.kind.as_deref()))
            .and_then(ErrorCode::from_wire)?;
        let retry_after = headers
            .get(header::RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let (message, reason, fields) = body
            .map(|body| (body.message, body.reason, body.field_list))
            .unwrap_or_default();
        Some(Self {
            code,
            message,
            reason,
            fields,
            retry_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for (code, name, status) in CODES {
            let error = ApiError {
                retry_after: Some(2),
                ..ApiError::new(*code, "text")
            };
            let response = error.to_http();
            assert_eq!(response.status(), *status);
            assert_eq!(response.headers()[ERROR_TYPE], *name);
            let read = ApiError::from_http(response.headers(), response.body()).expect("a known code");
            assert_eq!(
                (read.code, read.message, read.retry_after),
                (*code, "text".to_owned(), Some(2))
            );
        }
    }

    #[test]
    fn the_table_has_every_variant_once() {
        // `ExpiredToken as usize` and friends are dense, so the last variant gives the count.
        assert_eq!(CODES.len(), ErrorCode::ServiceUnavailable as usize + 1);
        for (index, (code, ..)) in CODES.iter().enumerate() {
            assert_eq!(*code as usize, index, "{code:?}");
        }
    }

    #[test]
    fn names_with_namespace_and_url_are_known() {
        for name in [
            "a.b#ValidationException",
            "ValidationException:http://x/",
            "a#ValidationException:http://x/",
        ] {
            assert_eq!(ErrorCode::from_wire(name), Some(ErrorCode::Validation));
        }
        assert_eq!(ErrorCode::from_wire("Elsewhere"), None);
    }

    #[test]
    fn a_validation_error_has_reason_and_fields() {
        let response = ApiError::field("scopes[1]", "must not be empty").to_http();
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "__type": "ValidationException",
                "message": "scopes[1]: must not be empty",
                "reason": "FieldValidationFailed",
                "fieldList": [{"name": "scopes[1]", "message": "must not be empty"}],
            })
        );
    }
}
