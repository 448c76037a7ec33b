//! IAM policy documents: what a principal may do.
//!
//! The language is AWS's for identity policies. A document is compiled when it is stored and when it is read; what
//! this server would not enforce to the letter (an unknown element, operator, key or variable, `Principal`) is refused
//! then: a restriction that were silently ignored would grant what its author meant to withhold.
//!
//! The decision is IAM's: whoever is denied by a statement is denied, whoever is allowed by one is allowed, and all
//! others are denied; for every resource of an operation by itself.

mod concerned;
mod condition;
mod context;
mod document;
mod explain;
#[cfg(test)]
mod iam_rules;
mod key;
mod pattern;
mod separation;
mod simulation;

use condition::Condition;
use countersign_api::Arn;
use pattern::{ActionPattern, ResourcePattern};

pub(crate) use concerned::Concerned;
pub(crate) use context::{Context, Facts, Principal, Tags, asked_scopes};
pub(crate) use pattern::like;
pub(crate) use simulation::Simulation;

/// A compiled policy document.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
    reads_resource_tags: bool,
    reads_claims: bool,
}

#[derive(Debug, Clone)]
struct Statement {
    sid: Option<String>,
    effect: Effect,
    actions: Listed<ActionPattern>,
    resources: Listed<ResourcePattern>,
    conditions: Vec<Condition>,
}

/// `Action` and `Resource`, or with `except` `NotAction` and `NotResource`.
#[derive(Debug, Clone)]
struct Listed<T> {
    patterns: Vec<T>,
    except: bool,
    /// As written, for explanations.
    written: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// What came of a request for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// No statement allows it.
    ImplicitDeny,
    /// This statement denies it.
    ExplicitDeny {
        /// Its place in the document.
        statement: usize,
    },
}

impl Policy {
    /// One that allows nothing.
    pub(crate) const fn none() -> Self {
        Self {
            statements: Vec::new(),
            reads_resource_tags: false,
            reads_claims: false,
        }
    }

    /// Whether `action` is allowed on `resource`.
    pub(crate) fn decide(&self, action: &str, resource: &Arn, facts: &Facts<'_>) -> Decision {
        let mut allowed = false;
        for (index, statement) in self.statements.iter().enumerate() {
            // Another statement that allows would change nothing.
            if (statement.effect == Effect::Deny || !allowed) && statement.applies(action, resource, facts) {
                match statement.effect {
                    Effect::Deny => return Decision::ExplicitDeny { statement: index },
                    Effect::Allow => allowed = true,
                }
            }
        }
        if allowed {
            Decision::Allowed
        } else {
            Decision::ImplicitDeny
        }
    }

    /// Whether a decision may depend on the tags of the resource.
    pub(crate) const fn reads_resource_tags(&self) -> bool {
        self.reads_resource_tags
    }

    /// Whether a decision may depend on the claims of the user token.
    pub(crate) const fn reads_claims(&self) -> bool {
        self.reads_claims
    }
}

impl Statement {
    fn applies(&self, action: &str, resource: &Arn, facts: &Facts<'_>) -> bool {
        self.covers_action(action)
            && self.accepts(self.covers_resource(resource, facts))
            && self
                .conditions
                .iter()
                .all(|condition| self.accepts(condition.evaluate(facts)))
    }

    fn covers_action(&self, action: &str) -> bool {
        self.actions
            .patterns
            .iter()
            .any(|pattern| pattern.matches(action))
            != self.actions.except
    }

    fn covers_resource(&self, resource: &Arn, facts: &Facts<'_>) -> condition::Outcome {
        let mut unresolved = false;
        let listed = self.resources.patterns.iter().any(|pattern| {
            let matches = pattern.matches(resource, facts);
            unresolved |= matches.is_none();
            matches.unwrap_or(false)
        });
        condition::Outcome {
            holds: listed != self.resources.except,
            unresolved,
        }
    }

    /// A variable without a value equals nothing; whatever that makes of a comparison, it permits nothing.
    fn accepts(&self, outcome: condition::Outcome) -> bool {
        outcome.holds && (self.effect == Effect::Deny || !outcome.unresolved)
    }
}

#[cfg(test)]
mod tests;
