//! Saying why: every statement, element by element, for one resource.

use countersign_api::Arn;
use countersign_api::admin::simulate_policy::{
    ElementResult, PolicyDecision, ResourceResult, StatementResult,
};

use super::context::Facts;
use super::{Decision, Effect, Policy, Statement};

impl Policy {
    /// What [`Self::decide`] decides, with every statement's part in it.
    pub(crate) fn explain(&self, action: &str, resource: &Arn, facts: &Facts<'_>) -> ResourceResult {
        ResourceResult {
            resource: resource.to_string(),
            decision: self.decide(action, resource, facts).into(),
            statements: self
                .statements
                .iter()
                .enumerate()
                .map(|(index, statement)| statement.explain(index, action, resource, facts))
                .collect(),
        }
    }
}

impl Statement {
    fn explain(&self, index: usize, action: &str, resource: &Arn, facts: &Facts<'_>) -> StatementResult {
        let mut elements = vec![
            ElementResult {
                element: if self.actions.except {
                    "NotAction"
                } else {
                    "Action"
                }
                .to_owned(),
                key: None,
                holds: self.covers_action(action),
                expected: self.actions.written.clone(),
                actual: Some(vec![action.to_owned()]),
            },
            ElementResult {
                element: if self.resources.except {
                    "NotResource"
                } else {
                    "Resource"
                }
                .to_owned(),
                key: None,
                holds: self.accepts(self.covers_resource(resource, facts)),
                expected: self.resources.written.clone(),
                actual: Some(vec![resource.to_string()]),
            },
        ];
        elements.extend(self.conditions.iter().map(|condition| ElementResult {
            element: condition.operator.clone(),
            key: Some(condition.key.to_string()),
            holds: self.accepts(condition.evaluate(facts)),
            expected: condition.expected.clone(),
            actual: condition.actual(facts),
        }));
        StatementResult {
            statement: index + 1,
            sid: self.sid.clone(),
            effect: match self.effect {
                Effect::Allow => "Allow",
                Effect::Deny => "Deny",
            }
            .to_owned(),
            applies: elements.iter().all(|element| element.holds),
            elements,
        }
    }
}

impl From<Decision> for PolicyDecision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allowed => Self::Allowed,
            Decision::ImplicitDeny => Self::ImplicitDeny,
            Decision::ExplicitDeny { .. } => Self::ExplicitDeny,
        }
    }
}
