//! Rules as they are evaluated: the first whose conditions hold decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use crate::config::{self, OnUnauthenticatedRequest};
use crate::target_group::TargetGroup;

/// The rules of one listener, by ascending priority.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

/// One rule: who must be asking, and what happens then.
#[derive(Debug)]
pub(crate) struct Rule {
    conditions: config::Conditions,
    pub(crate) authenticate: Option<OnUnauthenticatedRequest>,
    pub(crate) terminal: Terminal,
}

/// The last action of a rule.
#[derive(Debug)]
pub(crate) enum Terminal {
    Forward(Arc<TargetGroup>),
    Redirect {
        status: StatusCode,
        path: String,
    },
    FixedResponse {
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
    },
}

impl Rules {
    /// Compiles rules that [`config::Config::check`] has accepted; one that it would not is left out,
    /// which can only make less reachable.
    pub(crate) fn compile(rules: &[config::Rule], groups: &BTreeMap<String, Arc<TargetGroup>>) -> Self {
        let mut rules: Vec<&config::Rule> = rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        Self(
            rules
                .into_iter()
                .filter_map(|rule| Rule::compile(rule, groups))
                .collect(),
        )
    }

    /// The rule for a request. `host` is without port; `path` is as it was sent.
    pub(crate) fn select(&self, host: &str, path: &str, method: &Method) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.holds(host, path, method))
    }
}

impl Rule {
    fn compile(rule: &config::Rule, groups: &BTreeMap<String, Arc<TargetGroup>>) -> Option<Self> {
        let authenticate = match rule.actions.first()? {
            config::Action::AuthenticateOidc {
                on_unauthenticated_request,
                ..
            } => Some(*on_unauthenticated_request),
            _ => None,
        };
        let terminal = match rule.actions.last()? {
            config::Action::AuthenticateOidc { .. } => return None,
            config::Action::Forward { target_group } => Terminal::Forward(groups.get(target_group)?.clone()),
            config::Action::Redirect(redirect) => Terminal::Redirect {
                status: StatusCode::from_u16(redirect.status_code).ok()?,
                path: redirect.path.clone(),
            },
            config::Action::FixedResponse(answer) => Terminal::FixedResponse {
                status: StatusCode::from_u16(answer.status_code).ok()?,
                content_type: answer.content_type.parse().ok()?,
                body: answer.message_body.clone().into(),
            },
        };
        Some(Self {
            conditions: rule.conditions.clone(),
            authenticate,
            terminal,
        })
    }

    fn holds(&self, host: &str, path: &str, method: &Method) -> bool {
        let any = |values: &[String], matches: &dyn Fn(&str) -> bool| {
            values.is_empty() || values.iter().any(|value| matches(value))
        };
        let host = host.to_ascii_lowercase();
        any(&self.conditions.http_request_method, &|value| {
            value == method.as_str()
        }) && any(&self.conditions.path_pattern, &|pattern| {
            matches_pattern(pattern, path)
        }) && any(&self.conditions.host_header, &|pattern| {
            matches_pattern(&pattern.to_ascii_lowercase(), &host)
        })
    }
}

/// Whether `text` matches `pattern`, in which `*` is any text and `?` any one character. Goes back to
/// the last star only, hence at most `pattern × text` steps.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, seen)) = star else { return false };
                star = Some((at, seen + 1));
                p = at + 1;
                t = seen + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{account_rules, app_rules};

    fn groups() -> BTreeMap<String, Arc<TargetGroup>> {
        ["agent", "identity", "binding"]
            .map(|name| (name.to_owned(), Arc::new(TargetGroup::for_tests(name))))
            .into()
    }

    fn decision(rules: &[config::Rule], path: &str) -> String {
        let rules = Rules::compile(rules, &groups());
        let Some(rule) = rules.select("localhost", path, &Method::GET) else {
            return "404".to_owned();
        };
        let terminal = match &rule.terminal {
            Terminal::Forward(group) => group.name.clone(),
            Terminal::Redirect { path, .. } => path.clone(),
            Terminal::FixedResponse { status, .. } => status.as_u16().to_string(),
        };
        rule.authenticate
            .map_or(terminal.clone(), |otherwise| format!("{otherwise:?} {terminal}"))
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("/a", "/a", true),
            ("/a", "/A", false),
            ("/a*", "/a", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", true),
            ("*b*c", "/abxbc", true),
            ("/?", "/", false),
            ("/?", "/x", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*a*b*c", "abababababababababab", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_path_table_of_the_app_origin() {
        let rules = app_rules("agent");
        assert_eq!(decision(&rules, "/"), "Authenticate agent");
        assert_eq!(decision(&rules, "/assets/chat.js"), "Authenticate agent");
        assert_eq!(decision(&rules, "/invocations"), "AuthenticateNavigation agent");
        assert_eq!(decision(&rules, "/identities/oauth2/authorize"), "404");
        assert_eq!(decision(&rules, "/identities"), "404");
    }

    #[test]
    fn the_path_table_of_the_account_origin() {
        let rules = account_rules("identity", "binding");
        assert_eq!(decision(&rules, "/identities/oauth2/authorize"), "Allow identity");
        assert_eq!(
            decision(&rules, "/identities/oauth2/authorize/login"),
            "Authenticate identity"
        );
        assert_eq!(decision(&rules, "/identities/oauth2/callback/9b2f"), "identity");
        assert_eq!(decision(&rules, "/identities/oauth2/callbac"), "404");
        assert_eq!(decision(&rules, "/identities/CreateWorkloadIdentity"), "404");
        assert_eq!(
            decision(&rules, "/oauth2/session-binding"),
            "Authenticate binding"
        );
        assert_eq!(decision(&rules, "/connections"), "Authenticate identity");
        assert_eq!(decision(&rules, "/console/audit"), "Authenticate identity");
        for other in [
            "/",
            "/invocations",
            "/ping",
            "/connectionsx",
            "/%69dentities/oauth2/authorize",
        ] {
            assert_eq!(decision(&rules, other), "404", "{other}");
        }
    }

    #[test]
    fn ascending_priority_decides() {
        let mut rules = app_rules("agent");
        rules.reverse();
        assert_eq!(decision(&rules, "/invocations"), "AuthenticateNavigation agent");
    }
}
