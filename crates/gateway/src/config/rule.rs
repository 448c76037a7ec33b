//! Rules as they are written down, and the rules of our own path table.

use serde::Deserialize;

/// Conditions, and what to do where all of them hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// 1 to 50000, unique on its listener; lower is evaluated first.
    pub priority: u16,
    /// All must hold.
    #[serde(default)]
    pub conditions: Conditions,
    /// At most one `authenticate-oidc` first, then exactly one of the others.
    pub actions: Vec<Action>,
}

/// Conditions of a rule. An empty list is no condition; a list holds where one of its values matches.
/// At most 5 values altogether; `*` stands for any text and `?` for any character.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Patterns of the host name, without port, case-insensitive.
    pub host_header: Vec<String>,
    /// Patterns of the path as sent, without query, case-sensitive.
    pub path_pattern: Vec<String>,
    /// Methods, case-sensitive.
    pub http_request_method: Vec<String>,
}

/// One action of a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Find out who is asking.
    AuthenticateOidc {
        /// What happens to a request without a session.
        #[serde(default)]
        on_unauthenticated_request: OnUnauthenticatedRequest,
        /// Name in `applications`: log in there, on the origin the request was sent to. Absent: the login
        /// that the app and account origins share.
        #[serde(default)]
        application: Option<String>,
    },
    /// Send the request to a target group.
    Forward {
        /// Name in `target_groups`.
        target_group: String,
    },
    /// Answer with a redirect on the same origin.
    Redirect(Redirect),
    /// Answer with a fixed text.
    FixedResponse(FixedResponse),
}

/// What an `authenticate-oidc` action does without a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnauthenticatedRequest {
    /// Send the browser to log in (302). Requests that cannot be repeated by a GET get 401.
    #[default]
    Authenticate,
    /// As `authenticate` for navigations; requests of scripts get 401 with a JSON body, since a script
    /// cannot follow a login.
    AuthenticateNavigation,
    /// Forward without identity headers.
    Allow,
    /// Answer 401.
    Deny,
}

/// A redirect on the same origin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Path with optional query to go to.
    pub path: String,
    /// 301 or 302.
    #[serde(default = "found")]
    pub status_code: u16,
}

/// A fixed answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedResponse {
    /// 2XX, 4XX or 5XX.
    pub status_code: u16,
    /// `text/plain`, `text/html`, `text/css`, `application/javascript` or `application/json`.
    #[serde(default = "text_plain")]
    pub content_type: String,
    /// At most 1024 bytes.
    #[serde(default)]
    pub message_body: String,
}

const fn found() -> u16 {
    302
}

fn text_plain() -> String {
    "text/plain".to_owned()
}

/// The app origin: everything is the agent's and wants a login, but nothing of the identity service is
/// reachable, so that no page of the agent shares an origin with a consent button.
#[must_use]
pub fn app_rules(agent: &str) -> Vec<Rule> {
    use OnUnauthenticatedRequest::{Authenticate, AuthenticateNavigation};
    vec![
        fixed(10, &["/identities", "/identities/*"], 404),
        authenticated(20, &["/invocations"], AuthenticateNavigation, agent),
        authenticated(30, &["/*"], Authenticate, agent),
    ]
}

/// The account origin: a list of exactly what is reachable there; all else is 404.
#[must_use]
pub fn account_rules(identity: &str, binding: &str) -> Vec<Rule> {
    use OnUnauthenticatedRequest::{Allow, Authenticate};
    vec![
        // Identity decides itself whether the start needs a login: plain AgentCore clients have none.
        authenticated(10, &["/identities/oauth2/authorize"], Allow, identity),
        authenticated(
            20,
            &["/identities/oauth2/authorize/login"],
            Authenticate,
            identity,
        ),
        // The provider sends the browser here; state and the browser cookie protect it.
        Rule {
            priority: 30,
            conditions: paths(&["/identities/oauth2/callback/*"]),
            actions: vec![Action::Forward {
                target_group: identity.to_owned(),
            }],
        },
        fixed(40, &["/identities", "/identities/*"], 404),
        authenticated(
            50,
            &["/oauth2/session-binding", "/oauth2/session-binding/*"],
            Authenticate,
            binding,
        ),
        authenticated(
            60,
            &["/connections", "/connections/*", "/console", "/console/*"],
            Authenticate,
            identity,
        ),
    ]
}

fn paths(patterns: &[&str]) -> Conditions {
    Conditions {
        path_pattern: patterns.iter().map(|&p| p.to_owned()).collect(),
        ..Conditions::default()
    }
}

fn fixed(priority: u16, patterns: &[&str], status_code: u16) -> Rule {
    let answer = FixedResponse {
        status_code,
        content_type: text_plain(),
        message_body: String::new(),
    };
    Rule {
        priority,
        conditions: paths(patterns),
        actions: vec![Action::FixedResponse(answer)],
    }
}

fn authenticated(
    priority: u16,
    patterns: &[&str],
    otherwise: OnUnauthenticatedRequest,
    target: &str,
) -> Rule {
    Rule {
        priority,
        conditions: paths(patterns),
        actions: vec![
            Action::AuthenticateOidc {
                on_unauthenticated_request: otherwise,
                application: None,
            },
            Action::Forward {
                target_group: target.to_owned(),
            },
        ],
    }
}
