//! Query strings and form bodies read strictly: every name at most once, a limited size.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::edge::RequestId;
use crate::page;

/// Largest form body, bytes.
pub const MAX_FORM_BYTES: usize = 64 * 1024;

/// Why parameters were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A name occurs twice; parsers differ in which they take, so neither is taken.
    #[error("a parameter is repeated")]
    Duplicate,
    /// A required parameter is missing or one has a value that is not among the allowed.
    #[error("a parameter is missing or malformed")]
    Malformed,
    /// Not `application/x-www-form-urlencoded`.
    #[error("not a form")]
    ContentType,
    /// Over [`MAX_FORM_BYTES`].
    #[error("too large")]
    TooLarge,
}

impl FormError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Duplicate | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// The pairs of an `application/x-www-form-urlencoded` text, each name once.
pub fn parse_unique(text: &str) -> Result<BTreeMap<String, String>, FormError> {
    let mut pairs = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if pairs.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(FormError::Duplicate);
        }
    }
    Ok(pairs)
}

/// Reads `text` into a struct whose members are strings, optional strings or unit enums.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, FormError> {
    let object = parse_unique(text)?
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    serde_json::from_value(serde_json::Value::Object(object)).map_err(|_| FormError::Malformed)
}

/// Extracts a form body.
#[derive(Debug, Clone)]
pub struct Form<T>(pub T);

/// Extracts the query string.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// The page a person sees for a malformed request.
#[derive(Debug)]
pub struct FormRejection {
    /// What was wrong.
    pub error: FormError,
    request_id: Option<RequestId>,
}

impl IntoResponse for FormRejection {
    fn into_response(self) -> Response {
        page::Message::new("This request cannot be read")
            .lead("The address or the form that led here is incomplete or malformed. Go back and try again.")
            .tone(page::Tone::Problem)
            .status(self.error.status())
            .request_id(self.request_id.as_ref())
            .render()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = FormRejection;

    async fn from_request(request: Request, _state: &S) -> Result<Self, FormRejection> {
        let request_id = request.extensions().get::<RequestId>().cloned();
        let read = async {
            let is_form = request
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.split(';').next())
                .is_some_and(|kind| {
                    kind.trim()
                        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
                });
            if !is_form {
                return Err(FormError::ContentType);
            }
            let body = axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES)
                .await
                .map_err(|_| FormError::TooLarge)?;
            parse(std::str::from_utf8(&body).map_err(|_| FormError::Malformed)?)
        };
        read.await
            .map(Self)
            .map_err(|error| FormRejection { error, request_id })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = FormRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, FormRejection> {
        parse(parts.uri.query().unwrap_or_default())
            .map(Self)
            .map_err(|error| FormRejection {
                error,
                request_id: parts.extensions.get::<RequestId>().cloned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Decision {
        decision: String,
        note: Option<String>,
    }

    #[test]
    fn names_occur_once() {
        let read = parse::<Decision>("decision=allow&note=a%20b+c&other=1").expect("well formed");
        assert_eq!(
            read,
            Decision {
                decision: "allow".into(),
                note: Some("a b c".into())
            }
        );
        assert_eq!(
            parse::<Decision>("decision=allow&decision=deny"),
            Err(FormError::Duplicate)
        );
        assert_eq!(
            parse::<Decision>("decision=allow&x=1&x=1"),
            Err(FormError::Duplicate)
        );
        assert_eq!(parse::<Decision>("note=a"), Err(FormError::Malformed));
    }
}
