//! Ledgerline, the issue tracker of the development playground: list, read and create issues.

use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::{Client, OutboundError, Request, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// Time that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Issues that a list gives to the model.
const MOST_ISSUES: usize = 50;

/// A tool call with its arguments checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    List(ListIssues),
    Read(ReadIssue),
    Create(CreateIssue),
}

/// Arguments of `list_issues`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIssues {
    #[serde(default)]
    state: StateFilter,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    #[default]
    Open,
    Closed,
    All,
}

/// Arguments of `read_issue`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadIssue {
    key: String,
}

/// Arguments of `create_issue`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateIssue {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// The issues of one list, as the model sees them.
#[derive(Debug, Serialize)]
struct IssueList {
    state: StateFilter,
    issues: Vec<Issue>,
    /// Whether there are more than these.
    more: bool,
}

/// One issue. Members that Ledgerline may add are dropped: a model sees what is listed here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase", deserialize = "camelCase"))]
struct Issue {
    key: String,
    title: String,
    #[serde(default)]
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// A call gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// The token is dead at the vendor, whatever the vault knows: worth one new consent.
    #[error("Ledgerline no longer accepts the token")]
    Unauthorized,
    /// The token lacks the scope, or the person the right.
    #[error("Ledgerline does not allow this")]
    Forbidden,
    #[error("there is no such issue")]
    NotFound,
    #[error("Ledgerline refused the request as invalid")]
    Invalid,
    #[error("Ledgerline could not be reached in time")]
    Unreachable(#[source] OutboundError),
    /// It may have been done all the same.
    #[error("Ledgerline's answer was lost; look before trying again")]
    OutcomeUnknown(#[source] OutboundError),
    #[error("Ledgerline answered with status {0}")]
    Status(StatusCode),
    #[error("Ledgerline's answer could not be read")]
    Malformed,
}

impl Call {
    /// Checks a model's arguments; the error is for the model, which may try again.
    pub(crate) fn parse(name: &str, arguments: &Value) -> Result<Self, String> {
        // Some models send null, or nothing, for a tool without required arguments.
        let arguments = match arguments {
            Value::Null => Value::Object(serde_json::Map::new()),
            given => given.clone(),
        };
        let invalid = |error: serde_json::Error| format!("invalid arguments: {error}");
        let call = match name {
            "list_issues" => Self::List(serde_json::from_value(arguments).map_err(invalid)?),
            "read_issue" => Self::Read(serde_json::from_value(arguments).map_err(invalid)?),
            "create_issue" => Self::Create(serde_json::from_value(arguments).map_err(invalid)?),
            _ => return Err("there is no such tool".to_owned()),
        };
        call.check()?;
        Ok(call)
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::List(_) => Ok(()),
            Self::Read(ReadIssue { key }) => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                if (1..=64).contains(&key.len()) && key.bytes().all(allowed) {
                    Ok(())
                } else {
                    Err("invalid arguments: key must look like ALICE-1".to_owned())
                }
            }
            Self::Create(CreateIssue { title, description }) => {
                let title_length = title.chars().count();
                if title.trim().is_empty() || title_length > 200 || title.chars().any(char::is_control) {
                    return Err("invalid arguments: title must be one line of 1 to 200 characters".to_owned());
                }
                if description
                    .as_ref()
                    .is_some_and(|text| text.chars().count() > 4000)
                {
                    return Err("invalid arguments: description may have 4000 characters".to_owned());
                }
                Ok(())
            }
        }
    }

    /// The scope that the call needs, and no more.
    pub(crate) fn scope(&self) -> &'static str {
        match self {
            Self::List(_) | Self::Read(_) => "issues:read",
            Self::Create(_) => "issues:write",
        }
    }
}

/// Ledgerline's API.
#[derive(Clone)]
pub(crate) struct Ledgerline {
    outbound: Client,
    base: Url,
}

impl Ledgerline {
    /// `origin` is Ledgerline's origin.
    pub(crate) fn new(outbound: Client, origin: &Url) -> Result<Self, url::ParseError> {
        Ok(Self {
            outbound,
            base: origin.join("/api/")?,
        })
    }

    /// Makes `call` with the person's token.
    pub(crate) async fn make(&self, call: &Call, token: &SecretString) -> Result<Value, ToolError> {
        match call {
            Call::List(arguments) => self.list(arguments, token).await,
            Call::Read(arguments) => self.read(arguments, token).await,
            Call::Create(arguments) => self.create(arguments, token).await,
        }
    }

    async fn list(&self, arguments: &ListIssues, token: &SecretString) -> Result<Value, ToolError> {
        #[derive(Deserialize)]
        struct Answer {
            issues: Vec<Issue>,
        }
        let mut url = self.url("issues")?;
        let state = match arguments.state {
            StateFilter::Open => "open",
            StateFilter::Closed => "closed",
            StateFilter::All => "all",
        };
        url.query_pairs_mut().append_pair("state", state);
        let response = self.send(Request::get(url), token).await?;
        let Answer { mut issues } = read(&response)?;
        let more = issues.len() > MOST_ISSUES;
        issues.truncate(MOST_ISSUES);
        to_value(&IssueList {
            state: arguments.state,
            issues,
            more,
        })
    }

    async fn read(&self, arguments: &ReadIssue, token: &SecretString) -> Result<Value, ToolError> {
        let url = self.url(&format!("issues/{}", arguments.key))?;
        let response = self.send(Request::get(url), token).await?;
        to_value(&read::<Issue>(&response)?)
    }

    async fn create(&self, arguments: &CreateIssue, token: &SecretString) -> Result<Value, ToolError> {
        let request = Request::post(self.url("issues")?)
            .json(arguments)
            .map_err(|_| ToolError::Invalid)?;
        let response = self.send(request, token).await.map_err(|error| match error {
            ToolError::Unreachable(cause) if cause.may_have_been_sent() => ToolError::OutcomeUnknown(cause),
            other => other,
        })?;
        to_value(&read::<Issue>(&response)?)
    }

    fn url(&self, path: &str) -> Result<Url, ToolError> {
        self.base.join(path).map_err(|_| ToolError::Invalid)
    }

    async fn send(&self, request: Request, token: &SecretString) -> Result<Response, ToolError> {
        let request = request
            .accept_json()
            .bearer(token.expose_secret())
            .timeout(CALL_TIMEOUT);
        let response = self
            .outbound
            .send(request)
            .await
            .map_err(ToolError::Unreachable)?;
        match response.status {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(ToolError::Unauthorized),
            StatusCode::FORBIDDEN => Err(ToolError::Forbidden),
            StatusCode::NOT_FOUND => Err(ToolError::NotFound),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(ToolError::Invalid),
            status => Err(ToolError::Status(status)),
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(response: &Response) -> Result<T, ToolError> {
    serde_json::from_slice(&response.body).map_err(|_| ToolError::Malformed)
}

fn to_value(result: &impl Serialize) -> Result<Value, ToolError> {
    serde_json::to_value(result).map_err(|_| ToolError::Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_checked_before_anything_is_sent() {
        for (name, arguments) in [
            ("list_issues", json!({"state": "secret"})),
            ("list_issues", json!({"owner": "bob"})),
            ("read_issue", json!({})),
            ("read_issue", json!({"key": "../users"})),
            ("read_issue", json!({"key": ""})),
            ("read_issue", json!({"key": 7})),
            ("create_issue", json!({"title": "  "})),
            ("create_issue", json!({"title": "a\nb"})),
            ("create_issue", json!({"title": "x".repeat(201)})),
            (
                "create_issue",
                json!({"title": "t", "description": "x".repeat(4001)}),
            ),
            ("delete_everything", json!({})),
        ] {
            assert!(Call::parse(name, &arguments).is_err(), "{name} {arguments}");
        }
    }

    #[test]
    fn each_call_needs_its_own_scope_alone() {
        for (name, arguments, scope) in [
            ("list_issues", json!(null), "issues:read"),
            ("list_issues", json!({"state": "all"}), "issues:read"),
            ("read_issue", json!({"key": "ALICE-1"}), "issues:read"),
            ("create_issue", json!({"title": "t"}), "issues:write"),
        ] {
            let call = Call::parse(name, &arguments).expect("valid");
            assert_eq!(call.scope(), scope);
        }
    }
}
