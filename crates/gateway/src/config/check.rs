//! What a configuration must satisfy beyond its types. The limits are those of load balancer rules.

use std::collections::BTreeSet;

use super::{Action, Config, FixedResponse, Listener, Redirect, Rule, TargetGroup};

const MAX_RULES: usize = 100;
const MAX_VALUES: usize = 5;
const MAX_PATTERN: usize = 128;
const MAX_FIXED_BODY: usize = 1_024;
const CONTENT_TYPES: [&str; 5] = [
    "text/plain",
    "text/html",
    "text/css",
    "application/javascript",
    "application/json",
];

/// The configuration cannot work, or would not be safe. Says where and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ConfigError {
    /// Path of the setting, as in `listeners.app.rules[20].actions`.
    pub place: String,
    /// What is wrong.
    pub fault: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            fault: fault.into(),
        }
    }
}

pub(super) fn refuse(place: impl Into<String>, fault: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::new(place, fault))
}

impl Config {
    /// Refuses what would only fail at the first request, or would undo a trust line.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("account", "an account id has 12 digits");
        }
        if !self.cookie_suffix.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("cookie_suffix", "letters and digits only");
        }
        if self.listeners.app.origin == self.listeners.account.origin {
            // The agent's pages would share an origin with the consent button.
            return refuse("listeners", "app and account must be two origins");
        }
        self.check_applications()?;
        self.check_lifetimes()?;
        let mut audiences = BTreeSet::new();
        for (name, group) in &self.target_groups {
            check_target_group(&format!("target_groups.{name}"), group)?;
            if let Some(audience) = &group.user_token_audience
                && !audiences.insert(audience)
            {
                return refuse(
                    format!("target_groups.{name}.user_token_audience"),
                    "another target group has this audience; a token is for one target",
                );
            }
        }
        self.check_listener("listeners.app", &self.listeners.app)?;
        self.check_listener("listeners.account", &self.listeners.account)
    }

    /// Each application has a cookie of its own: two of one name would share sessions of two providers.
    fn check_applications(&self) -> Result<(), ConfigError> {
        self.authenticate_oidc.check("authenticate_oidc")?;
        let mut cookies = BTreeSet::new();
        for (name, application) in &self.applications {
            let place = format!("applications.{name}");
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return refuse(place, "a name has letters, digits and hyphens");
            }
            application.check(&place)?;
            if !cookies.insert(application.application_cookie_name()) {
                return refuse(
                    format!("{place}.session_cookie_name"),
                    "another application has this cookie; independent logins need names of their own",
                );
            }
        }
        Ok(())
    }

    fn check_lifetimes(&self) -> Result<(), ConfigError> {
        self.session.check("session")?;
        // The token of a request is proof for that request, never a session.
        if !(10..=300).contains(&self.claims_header.lifetime_seconds) {
            return refuse("claims_header.lifetime_seconds", "10 to 300");
        }
        if !(10..=600).contains(&self.user_token.lifetime_seconds) {
            return refuse("user_token.lifetime_seconds", "10 to 600");
        }
        if self.user_token.issuer.query().is_some() || self.user_token.issuer.fragment().is_some() {
            return refuse(
                "user_token.issuer",
                "an issuer has no query and no fragment (RFC 8414 section 2)",
            );
        }
        Ok(())
    }

    fn check_listener(&self, place: &str, listener: &Listener) -> Result<(), ConfigError> {
        if listener.rules.len() > MAX_RULES {
            return refuse(format!("{place}.rules"), format!("at most {MAX_RULES} rules"));
        }
        let mut priorities = BTreeSet::new();
        for rule in &listener.rules {
            let place = format!("{place}.rules[{}]", rule.priority);
            if !(1..=50_000).contains(&rule.priority) || !priorities.insert(rule.priority) {
                return refuse(place, "a priority is 1 to 50000 and unique on its listener");
            }
            check_conditions(&place, rule)?;
            self.check_actions(&format!("{place}.actions"), &rule.actions)?;
        }
        Ok(())
    }

    fn check_actions(&self, place: &str, actions: &[Action]) -> Result<(), ConfigError> {
        let ([terminal] | [Action::AuthenticateOidc { .. }, terminal]) = actions else {
            return refuse(
                place,
                "at most one authenticate-oidc, then exactly one other action",
            );
        };
        if let [
            Action::AuthenticateOidc {
                application: Some(name),
                ..
            },
            _,
        ] = actions
            && !self.applications.contains_key(name)
        {
            return refuse(place, format!("application {name:?} is not configured"));
        }
        match terminal {
            Action::AuthenticateOidc { .. } => refuse(
                place,
                "authenticate-oidc must be followed by forward, redirect or fixed-response",
            ),
            Action::Forward { target_group } if !self.target_groups.contains_key(target_group) => {
                refuse(place, format!("target group {target_group:?} is not configured"))
            }
            Action::Forward { .. } => Ok(()),
            Action::Redirect(redirect) => check_redirect(place, redirect),
            Action::FixedResponse(answer) => check_fixed_response(place, answer),
        }
    }
}

fn check_conditions(place: &str, rule: &Rule) -> Result<(), ConfigError> {
    let conditions = &rule.conditions;
    let values = [
        &conditions.host_header,
        &conditions.path_pattern,
        &conditions.http_request_method,
    ];
    if values.iter().map(|list| list.len()).sum::<usize>() > MAX_VALUES {
        return refuse(
            format!("{place}.conditions"),
            format!("at most {MAX_VALUES} values"),
        );
    }
    if values.iter().any(|list| {
        list.iter()
            .any(|value| value.is_empty() || value.len() > MAX_PATTERN)
    }) {
        return refuse(
            format!("{place}.conditions"),
            format!("a value has 1 to {MAX_PATTERN} characters"),
        );
    }
    Ok(())
}

fn check_redirect(place: &str, redirect: &Redirect) -> Result<(), ConfigError> {
    if !matches!(redirect.status_code, 301 | 302) {
        return refuse(place, "a redirect is 301 or 302");
    }
    if crate::origin::ReturnPath::parse(&redirect.path).is_err() {
        return refuse(place, "a redirect goes to a path on the same origin");
    }
    Ok(())
}

fn check_fixed_response(place: &str, answer: &FixedResponse) -> Result<(), ConfigError> {
    if !matches!(answer.status_code, 200..=299 | 400..=599) {
        return refuse(place, "a fixed response is 2XX, 4XX or 5XX");
    }
    if !CONTENT_TYPES.contains(&answer.content_type.as_str()) {
        return refuse(place, format!("content_type is one of {CONTENT_TYPES:?}"));
    }
    if answer.message_body.len() > MAX_FIXED_BODY {
        return refuse(place, format!("message_body has at most {MAX_FIXED_BODY} bytes"));
    }
    Ok(())
}

fn check_target_group(place: &str, group: &TargetGroup) -> Result<(), ConfigError> {
    let url = &group.url;
    let bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.scheme() != "http" || url.host().is_none() || !bare {
        return refuse(format!("{place}.url"), "write http://host:port alone");
    }
    Ok(())
}
