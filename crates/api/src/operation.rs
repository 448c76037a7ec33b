//! What every operation has, and how its input is read from a request and written into one.

use std::time::Duration;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Sound};
use crate::error::{ApiError, ValidationReason};
use crate::validate::{Checker, Validate};

/// An operation of the API. Nearly all are `POST` with every member in the JSON body; the few about tags and
/// resource policies name their resource in the path.
pub trait Operation: Send + Sync + 'static {
    /// The operation's name, which is also its span's and its audit action's.
    const NAME: &'static str;
    /// The HTTP method.
    const METHOD: Method;
    /// The path. `{member}` at its end is the label that carries that member, percent-encoded.
    const PATH: &'static str;
    /// The members, lists of texts, that are repeated query parameters.
    const QUERY: &'static [&'static str];
    /// The status of a success.
    const SUCCESS: u16;
    /// The service a request is signed for.
    const SERVICE: &'static str;
    /// The action a policy must allow.
    const ACTION: &'static str;
    /// Whether a client may send it again when it doesn't know the first one's outcome.
    const IDEMPOTENT: bool;
    /// For the operation at most; a client waits as long.
    const TIME: Duration;
    /// The request body.
    type Input: Serialize + DeserializeOwned + Validate + Send + Sync;
    /// The response body; [`Empty`] goes with 204 and is not sent.
    type Output: Serialize + DeserializeOwned + Send + Sync;
}

/// An output without members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Reads and checks the input of `O` where every member is in the body. Unknown members are ignored (a newer
/// client may send them), `null` is absence, a member given twice is refused.
pub fn parse<O: Operation>(body: &[u8]) -> Result<O::Input, ApiError> {
    match straight::<O>(body) {
        Some(input) => checked(input),
        None => check::<O>(object(body)?),
    }
}

/// The input read from the text itself, where that gives what the tree of [`Document`] would: a sound object without
/// `null`. `None` also for whatever is wrong with it, which the tree tells better.
fn straight<O: Operation>(body: &[u8]) -> Option<O::Input> {
    let object = body.trim_ascii_start().first() == Some(&b'{');
    if !object || memchr::memmem::find(body, b"null").is_some() {
        return None;
    }
    serde_json::from_slice::<Sound>(body).ok()?;
    serde_json::from_slice(body).ok()
}

/// Reads and checks the input of `O` from all of a request. Members that belong in the path or the query are
/// taken from there alone.
pub fn parse_request<O: Operation>(uri: &http::Uri, body: &[u8]) -> Result<O::Input, ApiError> {
    let label = label::<O>();
    if label.is_none() && O::QUERY.is_empty() {
        return parse::<O>(body);
    }
    // GET and DELETE have no body that means anything.
    let mut members = if O::METHOD == Method::POST || O::METHOD == Method::PUT {
        object(body)?
    } else {
        Map::new()
    };
    if let Some((prefix, member)) = label {
        let text = uri.path().strip_prefix(prefix).unwrap_or_default();
        let text = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| ApiError::field(member, "must be percent-encoded UTF-8"))?;
        members.insert(member.to_owned(), text.into());
    }
    for member in O::QUERY {
        let items: Vec<Value> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name == member)
            .map(|(_, value)| value.into_owned().into())
            .collect();
        members.remove(*member);
        if !items.is_empty() {
            members.insert((*member).to_owned(), items.into());
        }
    }
    check::<O>(members)
}

/// The path, the query if any, and the body of a request with `input`.
pub fn to_request<O: Operation>(input: &O::Input) -> Result<(String, Vec<u8>), serde_json::Error> {
    let label = label::<O>();
    if label.is_none() && O::QUERY.is_empty() {
        return Ok((O::PATH.to_owned(), serde_json::to_vec(input)?));
    }
    let mut members = serde_json::to_value(input)?;
    let mut take = |member: &str| members.as_object_mut().and_then(|members| members.remove(member));
    let mut path = match label {
        Some((prefix, member)) => {
            let value = take(member);
            let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
            format!("{prefix}{}", utf8_percent_encode(text, NON_ALPHANUMERIC))
        }
        None => O::PATH.to_owned(),
    };
    let mut separator = "?";
    for member in O::QUERY {
        let items = take(member);
        for item in items
            .iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
        {
            let item = utf8_percent_encode(item, NON_ALPHANUMERIC);
            path.extend([separator, member, "=", &*item.to_string()]);
            separator = "&";
        }
    }
    let body = if O::METHOD == Method::POST || O::METHOD == Method::PUT {
        serde_json::to_vec(&members)?
    } else {
        Vec::new()
    };
    Ok((path, body))
}

/// What stands before the label, and the member it carries.
fn label<O: Operation>() -> Option<(&'static str, &'static str)> {
    O::PATH.strip_suffix('}')?.split_once('{')
}

fn check<O: Operation>(members: Map<String, Value>) -> Result<O::Input, ApiError> {
    let members = Value::Object(members);
    // Keeping track of the path costs more than the rest, and only an error needs it.
    let input = match O::Input::deserialize(&members) {
        Ok(input) => input,
        Err(_) => serde_path_to_error::deserialize(members).map_err(|error| shape_error(&error))?,
    };
    checked(input)
}

/// The rules of the model.
fn checked<I: Validate>(input: I) -> Result<I, ApiError> {
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

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let cannot_parse = |message: &str| ApiError::validation(ValidationReason::CannotParse, message);
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Document(Value::Object(members))) => Ok(members),
        Ok(_) => Err(cannot_parse("the body must be a JSON object")),
        Err(error) => {
            let what = if error.is_data() {
                "the body names a member of an object twice"
            } else {
                "the body is not valid JSON"
            };
            Err(cannot_parse(&format!(
                "{what} (line {}, column {})",
                error.line(),
                error.column()
            )))
        }
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
