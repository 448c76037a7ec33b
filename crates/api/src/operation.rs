//! What every operation has, and how its input is read.

use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ApiError, ValidationReason};
use crate::validate::{Checker, Validate};

/// An operation of the API. All of ours are `POST` with every member in the JSON body.
pub trait Operation: Send + Sync + 'static {
    /// The operation's name, which is also its span's and its audit action's.
    const NAME: &'static str;
    /// The HTTP method.
    const METHOD: Method = Method::POST;
    /// The path.
    const PATH: &'static str;
    /// The status of a success.
    const SUCCESS: u16;
    /// The service a request is signed for.
    const SERVICE: &'static str;
    /// The action a policy must allow.
    const ACTION: &'static str;
    /// Whether a client may send it again when it doesn't know the first one's outcome.
    const IDEMPOTENT: bool;
    /// The request body.
    type Input: Serialize + DeserializeOwned + Validate + Send + Sync;
    /// The response body; [`Empty`] goes with 204 and is not sent.
    type Output: Serialize + DeserializeOwned + Send + Sync;
}

/// An output without members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Reads and checks the input of `O`. Unknown members are ignored (a newer client may send them), `null`
/// is absence.
pub fn parse<O: Operation>(body: &[u8]) -> Result<O::Input, ApiError> {
    let input: O::Input = parse_shape(body)?;
    let mut check = Checker::new();
    input.validate(&mut check);
    check.finish()?;
    Ok(input)
}

/// The success answer of `O` as HTTP.
pub fn success<O: Operation>(output: &O::Output) -> Result<http::Response<bytes::Bytes>, serde_json::Error> {
    let mut response = http::Response::new(bytes::Bytes::new());
    let status = http::StatusCode::from_u16(O::SUCCESS).unwrap_or(http::StatusCode::OK);
    *response.status_mut() = status;
    if status != http::StatusCode::NO_CONTENT {
        *response.body_mut() = serde_json::to_vec(output)?.into();
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
    }
    Ok(response)
}

fn parse_shape<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let cannot_parse = |message: &str| ApiError::validation(ValidationReason::CannotParse, message);
    let mut value = match body {
        [] => Value::Object(serde_json::Map::new()),
        _ => serde_json::from_slice(body).map_err(|error| {
            cannot_parse(&format!(
                "the body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?,
    };
    if !value.is_object() {
        return Err(cannot_parse("the body must be a JSON object"));
    }
    remove_nulls(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| shape_error(&error))
}

/// restJson1: a member that is `null` is absent.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Tells a member that breaks a rule (absent, not of its enum, not exactly one) from one of the wrong type.
///
/// `serde_json::Error` keeps only text, so this goes by serde's own fixed phrases. They may quote the offending
/// value, which may be secret: what is passed on is only the part after it.
fn shape_error(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let text = error.inner().to_string();
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| expected);
    if let Some(member) = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        let name = if path == "." {
            member.to_owned()
        } else {
            format!("{path}.{member}")
        };
        return ApiError::field(name, "must be set");
    }
    if text.starts_with("exactly one of") {
        return ApiError::field(path, text);
    }
    if let (true, Some(expected)) = (text.starts_with("unknown variant"), expected) {
        return ApiError::field(path, format!("must be {expected}"));
    }
    let expected = expected.unwrap_or("another type");
    ApiError::validation(
        ValidationReason::CannotParse,
        format!("{path}: expected {expected}"),
    )
}
