//! Ledgerline, the issue tracker of the development playground: list, read and create issues.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_outbound::Request;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{Call, Service, Tool, ToolSpec};

/// As the person knows it.
const TITLE: &str = "Ledgerline";
const READ: &str = "issues:read";
const WRITE: &str = "issues:write";
/// Issues that a list gives to the model.
const MOST_ISSUES: usize = 50;

/// Ledgerline's tools.
#[derive(Debug)]
pub(crate) struct LedgerlineTools;

#[derive(Debug, Clone, Copy)]
enum Operation {
    List,
    Read,
    Create,
}

#[derive(Debug)]
struct LedgerlineTool {
    operation: Operation,
    spec: ToolSpec,
    provider: Arc<str>,
    base: Url,
}

/// Arguments of `list_issues`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListIssues {
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadIssue {
    key: String,
}

/// Arguments of `create_issue`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateIssue {
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

impl LedgerlineTools {
    /// The tools, calling `/api/issues` at `origin` with tokens of `provider`.
    pub(crate) fn of(provider: &str, origin: &Url) -> Result<(Service, Vec<Arc<dyn Tool>>), url::ParseError> {
        let provider: Arc<str> = provider.into();
        let base = origin.join("/api/")?;
        let service = Service {
            provider: Arc::clone(&provider),
            title: TITLE.to_owned(),
            scopes: BTreeMap::new(),
            examples: ["List my open issues", "Create issue: Printer on fire"]
                .map(str::to_owned)
                .into(),
        };
        let tool = |(operation, spec)| {
            let (provider, base) = (Arc::clone(&provider), base.clone());
            Arc::new(LedgerlineTool {
                operation,
                spec,
                provider,
                base,
            }) as Arc<dyn Tool>
        };
        Ok((service, specs().into_iter().map(tool).collect()))
    }
}

fn specs() -> [(Operation, ToolSpec); 3] {
    let spec = |operation, name: &str, label: &str, description: &str, schema| {
        let spec = ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            schema,
            label: label.to_owned(),
        };
        (operation, spec)
    };
    [
        spec(
            Operation::List,
            "list_issues",
            "Looking through issues",
            "Lists the person's issues in Ledgerline, newest first.",
            json!({
                "type": "object",
                "properties": {
                    "state": {
                        "type": "string",
                        "enum": ["open", "closed", "all"],
                        "description": "Which issues; open when absent.",
                    },
                },
                "additionalProperties": false,
            }),
        ),
        spec(
            Operation::Read,
            "read_issue",
            "Reading an issue",
            "Reads one issue in Ledgerline by its key.",
            json!({
                "type": "object",
                "properties": {
                    "key": { "type": "string", "description": "The issue's key, such as ALICE-1." },
                },
                "required": ["key"],
                "additionalProperties": false,
            }),
        ),
        spec(
            Operation::Create,
            "create_issue",
            "Creating an issue",
            "Creates an issue in Ledgerline. Only when the person asked for it.",
            json!({
                "type": "object",
                "properties": {
                    "title": { "type": "string", "description": "One line, at most 200 characters." },
                    "description": { "type": "string", "description": "At most 4000 characters." },
                },
                "required": ["title"],
                "additionalProperties": false,
            }),
        ),
    ]
}

impl Tool for LedgerlineTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    fn prepare(&self, arguments: &Value) -> Result<Call, String> {
        match self.operation {
            Operation::List => self.list(&parse(arguments)?),
            Operation::Read => self.read(&parse(arguments)?),
            Operation::Create => self.create(&parse(arguments)?),
        }
    }
}

impl LedgerlineTool {
    fn list(&self, arguments: &ListIssues) -> Result<Call, String> {
        #[derive(Deserialize)]
        struct Answer {
            issues: Vec<Issue>,
        }
        let mut url = self.url("issues")?;
        let state = arguments.state;
        let wanted = match state {
            StateFilter::Open => "open",
            StateFilter::Closed => "closed",
            StateFilter::All => "all",
        };
        url.query_pairs_mut().append_pair("state", wanted);
        let request = Request::get(url).accept_json();
        Ok(Call::read_by(TITLE, &[READ], request, move |response| {
            let Answer { mut issues } = serde_json::from_slice(&response.body).ok()?;
            let more = issues.len() > MOST_ISSUES;
            issues.truncate(MOST_ISSUES);
            serde_json::to_value(&IssueList { state, issues, more }).ok()
        }))
    }

    fn read(&self, ReadIssue { key }: &ReadIssue) -> Result<Call, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=64).contains(&key.len()) || !key.bytes().all(allowed) {
            return Err("invalid arguments: key must look like ALICE-1".to_owned());
        }
        let request = Request::get(self.url(&format!("issues/{key}"))?).accept_json();
        Ok(Call::typed::<Issue>(TITLE, READ, request))
    }

    fn create(&self, arguments: &CreateIssue) -> Result<Call, String> {
        let CreateIssue { title, description } = arguments;
        if title.trim().is_empty() || title.chars().count() > 200 || title.chars().any(char::is_control) {
            return Err("invalid arguments: title must be one line of 1 to 200 characters".to_owned());
        }
        if description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 4000)
        {
            return Err("invalid arguments: description may have 4000 characters".to_owned());
        }
        let request = Request::post(self.url("issues")?)
            .accept_json()
            .json(arguments)
            .map_err(|error| error.to_string())?;
        Ok(Call::typed::<Issue>(TITLE, WRITE, request))
    }

    fn url(&self, path: &str) -> Result<Url, String> {
        self.base.join(path).map_err(|error| error.to_string())
    }
}

fn parse<T: for<'de> Deserialize<'de>>(arguments: &Value) -> Result<T, String> {
    T::deserialize(arguments).map_err(|error| format!("invalid arguments: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(name: &str, arguments: &Value) -> Result<Call, String> {
        let origin = "http://127.0.0.1:8404".parse().expect("a URL");
        let (_, tools) = LedgerlineTools::of("ledgerline", &origin).expect("tools");
        let tool = tools.iter().find(|tool| tool.spec().name == name);
        tool.expect("a tool").prepare(arguments)
    }

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
        ] {
            assert!(prepare(name, &arguments).is_err(), "{name} {arguments}");
        }
    }

    #[test]
    fn each_call_needs_its_own_scope_alone() {
        for (name, arguments, scope) in [
            ("list_issues", json!({}), "issues:read"),
            ("list_issues", json!({"state": "all"}), "issues:read"),
            ("read_issue", json!({"key": "ALICE-1"}), "issues:read"),
            ("create_issue", json!({"title": "t"}), "issues:write"),
        ] {
            let call = prepare(name, &arguments).expect("valid");
            assert_eq!(call.scopes, [scope]);
        }
    }
}
