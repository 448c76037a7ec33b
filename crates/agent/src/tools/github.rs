//! GitHub: who the person is there, and their repositories. The tools of AWS's sample agent, each with its own
//! scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_outbound::Request;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{Call, Service, Tool, ToolSpec};

/// As the person knows it.
const TITLE: &str = "GitHub";
const READ_USER: &str = "read:user";
/// OAuth apps have no narrower scope for private repositories.
const REPO: &str = "repo";
/// Repositories listed when the model names no limit.
const DEFAULT_LIMIT: u32 = 10;

/// GitHub's tools.
#[derive(Debug)]
pub(crate) struct GithubTools;

#[derive(Debug, Clone, Copy)]
enum Operation {
    User,
    Repositories,
}

#[derive(Debug)]
struct GithubTool {
    operation: Operation,
    spec: ToolSpec,
    provider: Arc<str>,
    base: Url,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GetUser {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRepositories {
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

/// The person at GitHub, as the model sees them.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    id: i64,
    login: String,
    name: Option<String>,
    email: Option<String>,
    bio: Option<String>,
    html_url: String,
}

/// One repository, as the model sees it.
#[derive(Debug, Serialize, Deserialize)]
struct Repository {
    id: i64,
    name: String,
    full_name: String,
    description: Option<String>,
    #[serde(default)]
    stargazers_count: u64,
    #[serde(default)]
    forks_count: u64,
    private: bool,
    html_url: String,
}

impl GithubTools {
    /// The tools, calling the REST API at `api_url` with tokens of `provider`.
    pub(crate) fn of(provider: &str, api_url: &Url) -> (Service, Vec<Arc<dyn Tool>>) {
        let provider: Arc<str> = provider.into();
        let mut base = api_url.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let service = Service {
            provider: Arc::clone(&provider),
            title: TITLE.to_owned(),
            scopes: BTreeMap::new(),
            examples: ["Who am I on GitHub?", "List my repositories"]
                .map(str::to_owned)
                .into(),
        };
        let tool = |(operation, spec)| {
            let (provider, base) = (Arc::clone(&provider), base.clone());
            Arc::new(GithubTool {
                operation,
                spec,
                provider,
                base,
            }) as Arc<dyn Tool>
        };
        (service, specs().into_iter().map(tool).collect())
    }
}

fn specs() -> [(Operation, ToolSpec); 2] {
    [
        (
            Operation::User,
            ToolSpec {
                name: "get_github_user".to_owned(),
                description: "Gets the person's own GitHub profile.".to_owned(),
                schema: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
                label: "Reading your GitHub profile".to_owned(),
            },
        ),
        (
            Operation::Repositories,
            ToolSpec {
                name: "list_github_repos".to_owned(),
                description: "Lists the person's GitHub repositories, latest updated first.".to_owned(),
                schema: json!({
                    "type": "object",
                    "properties": {
                        "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": DEFAULT_LIMIT },
                    },
                    "additionalProperties": false,
                }),
                label: "Listing your GitHub repositories".to_owned(),
            },
        ),
    ]
}

impl Tool for GithubTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    fn prepare(&self, arguments: &Value) -> Result<Call, String> {
        let invalid = |error: serde_json::Error| format!("invalid arguments: {error}");
        match self.operation {
            Operation::User => {
                let GetUser {} = GetUser::deserialize(arguments).map_err(invalid)?;
                Ok(Call::typed::<User>(TITLE, READ_USER, self.request("user", &[])?))
            }
            Operation::Repositories => {
                let ListRepositories { limit } = ListRepositories::deserialize(arguments).map_err(invalid)?;
                if !(1..=100).contains(&limit) {
                    return Err("invalid arguments: limit must be 1 to 100".to_owned());
                }
                let query = [("per_page", limit.to_string()), ("sort", "updated".to_owned())];
                let request = self.request("user/repos", &query)?;
                Ok(Call::typed::<Vec<Repository>>(TITLE, REPO, request))
            }
        }
    }
}

impl GithubTool {
    fn request(&self, path: &str, query: &[(&str, String)]) -> Result<Request, String> {
        let mut url = self.base.join(path).map_err(|error| error.to_string())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // GitHub refuses requests without a user agent and pins answers to the version named.
        Ok(Request::get(url)
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .header(USER_AGENT, HeaderValue::from_static("countersign-agent"))
            .header(
                HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static("2022-11-28"),
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(name: &str, arguments: &Value) -> Result<Call, String> {
        let api = "https://github.example/api/v3".parse().expect("a URL");
        let (_, tools) = GithubTools::of("github", &api);
        let tool = tools.iter().find(|tool| tool.spec().name == name);
        tool.expect("a tool").prepare(arguments)
    }

    #[test]
    fn each_tool_asks_for_its_own_scope() {
        assert_eq!(
            prepare("get_github_user", &json!({})).expect("valid").scopes,
            ["read:user"]
        );
        assert_eq!(
            prepare("list_github_repos", &json!({"limit": 100}))
                .expect("valid")
                .scopes,
            ["repo"]
        );
    }

    #[test]
    fn arguments_are_checked() {
        for (name, arguments) in [
            ("get_github_user", json!({"login": "bob"})),
            ("list_github_repos", json!({"limit": 0})),
            ("list_github_repos", json!({"limit": 101})),
            ("list_github_repos", json!({"limit": "ten"})),
        ] {
            assert!(prepare(name, &arguments).is_err(), "{name} {arguments}");
        }
    }
}
