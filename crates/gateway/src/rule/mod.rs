//! Rules as they are evaluated: the first whose conditions hold decides.

mod condition;
mod forward;
mod jwt_validation;
mod pattern;
pub(crate) mod redirect;
mod transform;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::config::{self, Action, ConfigError, OnUnauthenticatedRequest};

pub(crate) use condition::Asked;
pub(crate) use forward::Forward;
pub(crate) use jwt_validation::JwtValidation;
use redirect::Redirect;
pub(crate) use transform::Transforms;

use condition::Condition;

const MAX_RULES: usize = 100;
const MAX_FIXED_BODY: usize = 1_024;
const CONTENT_TYPES: [&str; 5] = [
    "text/plain",
    "text/html",
    "text/css",
    "application/javascript",
    "application/json",
];

/// The rules of one listener, by ascending priority, the default rule last.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

/// One rule: who must be asking, and what happens then.
#[derive(Debug)]
pub(crate) struct Rule {
    /// 0 is the default rule's.
    pub(crate) priority: u16,
    conditions: Vec<Condition>,
    pub(crate) transforms: Transforms,
    pub(crate) first: Option<First>,
    pub(crate) terminal: Terminal,
}

/// What comes before the last action.
#[derive(Debug)]
pub(crate) enum First {
    AuthenticateOidc {
        application: Option<String>,
        otherwise: OnUnauthenticatedRequest,
    },
    JwtValidation(JwtValidation),
}

/// The last action of a rule.
#[derive(Debug)]
pub(crate) enum Terminal {
    Forward(Forward),
    Redirect(Redirect),
    FixedResponse {
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
    },
}

impl Rules {
    /// Compiles the rules of a listener. The error says which rule cannot be, and why; `place` is the
    /// listener's, `known` are the names of target groups.
    pub(crate) fn compile(
        place: &str,
        listener: &config::Listener,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<Self, ConfigError> {
        if listener.rules.len() > MAX_RULES {
            return Err(ConfigError::new(
                format!("{place}.rules"),
                format!("at most {MAX_RULES} rules"),
            ));
        }
        let https = listener.origin.is_https();
        let mut sorted: Vec<&config::Rule> = listener.rules.iter().collect();
        sorted.sort_by_key(|rule| rule.priority);
        let mut rules = Vec::with_capacity(sorted.len() + 1);
        for rule in &sorted {
            rules.push(Rule::compile(place, rule, https, known)?);
        }
        if let Some(pair) = sorted
            .windows(2)
            .find(|pair| pair[0].priority == pair[1].priority)
        {
            return Err(ConfigError::new(
                format!("{place}.rules[{}]", pair[0].priority),
                "another rule of this listener has the priority",
            ));
        }
        if !listener.default_actions.is_empty() {
            let place = format!("{place}.default_actions");
            let (first, terminal) = actions(&place, &listener.default_actions, https, known)?;
            rules.push(Rule {
                priority: 0,
                conditions: Vec::new(),
                transforms: Transforms::default(),
                first,
                terminal,
            });
        }
        Ok(Self(rules))
    }

    /// The rule for a request.
    pub(crate) fn select(&self, asked: &Asked<'_>) -> Option<&Rule> {
        self.0
            .iter()
            .find(|rule| rule.conditions.iter().all(|condition| condition.holds(asked)))
    }
}

impl Rule {
    fn compile(
        place: &str,
        rule: &config::Rule,
        https: bool,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<Self, ConfigError> {
        let place = format!("{place}.rules[{}]", rule.priority);
        if !(1..=50_000).contains(&rule.priority) {
            return Err(ConfigError::new(place, "a priority is 1 to 50000"));
        }
        let at = |part: &str, fault| ConfigError::new(format!("{place}.{part}"), fault);
        let conditions = Condition::compile(&rule.conditions).map_err(|fault| at("conditions", fault))?;
        let transforms = Transforms::compile(&rule.transforms).map_err(|fault| at("transforms", fault))?;
        let (first, terminal) = actions(&format!("{place}.actions"), &rule.actions, https, known)?;
        Ok(Self {
            priority: rule.priority,
            conditions,
            transforms,
            first,
            terminal,
        })
    }
}

fn actions(
    place: &str,
    actions: &[Action],
    https: bool,
    known: &dyn Fn(&str) -> bool,
) -> Result<(Option<First>, Terminal), ConfigError> {
    let refused = |fault: String| ConfigError::new(place, fault);
    let (first, last) = match actions {
        [last] => (None, last),
        [first, last] => (Some(first), last),
        _ => return Err(refused("one or two actions".to_owned())),
    };
    let first = match first {
        None => None,
        Some(Action::AuthenticateOidc {
            application,
            on_unauthenticated_request,
        }) => Some(First::AuthenticateOidc {
            application: application.clone(),
            otherwise: *on_unauthenticated_request,
        }),
        Some(Action::JwtValidation(config)) => Some(First::JwtValidation(
            JwtValidation::compile(config).map_err(refused)?,
        )),
        Some(_) => {
            return Err(refused(
                "of two actions the first is authenticate-oidc or jwt-validation".to_owned(),
            ));
        }
    };
    let terminal = match last {
        Action::AuthenticateOidc { .. } | Action::JwtValidation(_) => {
            return Err(refused(
                "the last action is forward, redirect or fixed-response".to_owned(),
            ));
        }
        Action::Forward(config) => Terminal::Forward(Forward::compile(config, known).map_err(refused)?),
        Action::Redirect(config) => Terminal::Redirect(Redirect::compile(config, https).map_err(refused)?),
        Action::FixedResponse(config) => fixed_response(config).map_err(refused)?,
    };
    Ok((first, terminal))
}

fn fixed_response(answer: &config::FixedResponse) -> Result<Terminal, String> {
    let status = StatusCode::from_u16(answer.status_code)
        .ok()
        .filter(|status| matches!(status.as_u16(), 200..=299 | 400..=599))
        .ok_or("a fixed response is 2XX, 4XX or 5XX")?;
    if !CONTENT_TYPES.contains(&answer.content_type.as_str()) {
        return Err(format!("content_type is one of {CONTENT_TYPES:?}"));
    }
    if answer.message_body.len() > MAX_FIXED_BODY {
        return Err(format!("message_body has at most {MAX_FIXED_BODY} bytes"));
    }
    Ok(Terminal::FixedResponse {
        status,
        content_type: answer
            .content_type
            .parse()
            .map_err(|_| "content_type".to_owned())?,
        body: answer.message_body.clone().into(),
    })
}

#[cfg(test)]
mod tests;
