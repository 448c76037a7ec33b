//! A tool call whose arguments have been checked: the scopes it needs, the request it makes, how its answer reads.

use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::{Client, OutboundError, Request, Response};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Time that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a service's answer that are read.
const MOST_ANSWER_BYTES: usize = 256 << 10;

/// What stands where a service repeated the token.
const REMOVED: &str = "[removed]";

/// How an answer's body becomes the model's data.
type Read = Box<dyn Fn(&Response) -> Result<Value, ToolError> + Send + Sync>;

/// A tool call, ready but for the token.
pub(crate) struct Call {
    /// The scopes it needs, and no more.
    pub(crate) scopes: Vec<String>,
    /// The service, as the model and the person are told of it.
    service: String,
    request: Request,
    read: Read,
}

/// A call gave no result. The texts are for the model and the person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// The token is dead at the vendor, whatever the vault knows: worth one new consent.
    #[error("{0} no longer accepts the token")]
    Unauthorized(String),
    /// The token lacks the scope, or the person the right.
    #[error("{0} does not allow this")]
    Forbidden(String),
    #[error("{0} has no such thing")]
    NotFound(String),
    #[error("{0} refused the request as invalid")]
    Invalid(String),
    #[error("{0} asks for fewer requests; try again later")]
    RateLimited(String),
    #[error("{0} could not be reached in time")]
    Unreachable(String, #[source] OutboundError),
    /// It may have been done all the same.
    #[error("the answer of {0} was lost; look before trying again")]
    OutcomeUnknown(String, #[source] OutboundError),
    #[error("{0} answered with status {1}")]
    Status(String, StatusCode),
    #[error("the answer of {0} could not be read")]
    Malformed(String),
}

impl Call {
    /// A call of `service` whose answer is given to the model as `T` writes it: members that `T` does not list
    /// are dropped.
    pub(crate) fn typed<T: DeserializeOwned + serde::Serialize>(
        service: &str,
        scope: &str,
        request: Request,
    ) -> Self {
        Self::read_by(service, &[scope], request, |response| {
            let typed: T = serde_json::from_slice(&response.body).ok()?;
            serde_json::to_value(&typed).ok()
        })
    }

    /// A call of `service` whose answer `read` gives to the model; `None` is an answer that cannot be read.
    pub(crate) fn read_by(
        service: &str,
        scopes: &[&str],
        request: Request,
        read: impl Fn(&Response) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let named = service.to_owned();
        Self {
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            service: service.to_owned(),
            request: request.timeout(CALL_TIMEOUT).max_bytes(MOST_ANSWER_BYTES),
            read: Box::new(move |response| read(response).ok_or_else(|| ToolError::Malformed(named.clone()))),
        }
    }

    /// Whether making it twice could do something twice (RFC 9110 9.2.1).
    pub(crate) fn is_safe(&self) -> bool {
        self.request.method.is_safe()
    }

    /// Where it goes.
    #[cfg(test)]
    pub(crate) fn url(&self) -> &url::Url {
        &self.request.url
    }

    /// Makes the call with the person's token.
    pub(crate) async fn make(&self, outbound: &Client, token: &SecretString) -> Result<Value, ToolError> {
        let service = || self.service.clone();
        let request = self.request.clone().bearer(token.expose_secret());
        let mut response = outbound.send(request).await.map_err(|error| {
            if !self.is_safe() && error.may_have_been_sent() {
                ToolError::OutcomeUnknown(service(), error)
            } else {
                ToolError::Unreachable(service(), error)
            }
        })?;
        match response.status {
            status if status.is_success() => {
                // Before it is read, too: an answer that is cut short would keep a part of the token.
                let token = token.expose_secret();
                let text = String::from_utf8_lossy(&response.body);
                if !token.is_empty() && text.contains(token) {
                    response.body = text.replace(token, REMOVED).into();
                }
                let mut result = (self.read)(&response)?;
                scrub(&mut result, token);
                Ok(result)
            }
            StatusCode::UNAUTHORIZED => Err(ToolError::Unauthorized(service())),
            StatusCode::TOO_MANY_REQUESTS => Err(ToolError::RateLimited(service())),
            // GitHub's way to say the same.
            StatusCode::FORBIDDEN if exhausted(&response) => Err(ToolError::RateLimited(service())),
            StatusCode::FORBIDDEN => Err(ToolError::Forbidden(service())),
            StatusCode::NOT_FOUND => Err(ToolError::NotFound(service())),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(ToolError::Invalid(service())),
            status => Err(ToolError::Status(service(), status)),
        }
    }
}

/// A service that repeats the request's headers must not put the token into the conversation (H2).
fn scrub(value: &mut Value, token: &str) {
    match value {
        Value::String(text) if !token.is_empty() && text.contains(token) => {
            *text = text.replace(token, REMOVED);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, token)),
        Value::Object(members) => {
            if members.keys().any(|name| name.contains(token)) {
                members.clear();
            }
            members.values_mut().for_each(|member| scrub(member, token));
        }
        _ => {}
    }
}

fn exhausted(response: &Response) -> bool {
    response
        .headers
        .get("x-ratelimit-remaining")
        .is_some_and(|left| left == "0")
}
