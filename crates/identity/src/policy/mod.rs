//! IAM policy documents: what a principal may do.
//!
//! The language is AWS's, as far as `Effect`, `Action` and `Resource` with wildcards. A document that uses
//! anything else (`Condition`, `NotAction`, `NotResource`, `Principal`, policy variables) is refused when it is
//! stored: a restriction that were silently ignored would grant what its author meant to withhold.

mod document;
mod pattern;
mod separation;

use countersign_api::Arn;
use pattern::{ActionPattern, ResourcePattern};

/// A compiled policy document.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    effect: Effect,
    actions: Vec<ActionPattern>,
    resources: Vec<ResourcePattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

impl Policy {
    /// Whether `action` is allowed on every one of `resources`: some statement allows each, and no statement
    /// denies any. No resource at all is a denial.
    pub(crate) fn allows(&self, action: &str, resources: &[Arn]) -> bool {
        !resources.is_empty()
            && resources.iter().all(|resource| {
                self.matches(Effect::Allow, action, resource) && !self.matches(Effect::Deny, action, resource)
            })
    }

    fn matches(&self, effect: Effect, action: &str, resource: &Arn) -> bool {
        self.statements.iter().any(|statement| {
            statement.effect == effect
                && statement.actions.iter().any(|pattern| pattern.matches(action))
                && statement
                    .resources
                    .iter()
                    .any(|pattern| pattern.matches(resource))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "bedrock-agentcore:GetWorkloadAccessToken";

    fn policy(document: &serde_json::Value) -> Policy {
        Policy::parse(document).expect("a policy")
    }

    fn workload(name: &str) -> Arn {
        Arn::workload_identity("us-east-1", "000000000000", name)
    }

    #[test]
    fn no_match_is_deny_and_explicit_deny_wins() {
        let policy = policy(&json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "bedrock-agentcore:Get*", "Resource": "*"},
            {"Sid": "NotThatOne", "Effect": "Deny", "Action": ["bedrock-agentcore:*"], "Resource": [workload("secret").to_string()]},
        ]}));
        assert!(policy.allows(TOKEN, &[workload("agent")]));
        assert!(!policy.allows(TOKEN, &[workload("secret")]));
        assert!(
            !policy.allows(TOKEN, &[workload("agent"), workload("secret")]),
            "one denied resource denies all"
        );
        assert!(!policy.allows("bedrock-agentcore:CreateWorkloadIdentity", &[workload("agent")]));
        assert!(!policy.allows(TOKEN, &[]));
    }

    #[test]
    fn each_resource_needs_its_own_permission() {
        let policy = policy(&json!({"Statement": {
            "Effect": "Allow", "Action": TOKEN, "Resource": workload("agent-*").to_string(),
        }}));
        assert!(policy.allows(TOKEN, &[workload("agent-1")]));
        assert!(!policy.allows(
            TOKEN,
            &[workload("agent-1"), Arn::directory("us-east-1", "000000000000")]
        ));
    }

    #[test]
    fn extensions_are_apart() {
        let all_of_aws = policy(&json!({"Statement": [
            {"Effect": "Allow", "Action": "bedrock-agentcore:*", "Resource": "*"},
        ]}));
        let grant = Arn::grant("us-east-1", "000000000000", "1");
        assert!(!all_of_aws.allows("countersign:GetGrant", std::slice::from_ref(&grant)));
        assert!(all_of_aws.allows(
            "bedrock-agentcore:CompleteResourceTokenAuth",
            &[workload("agent")]
        ));
        let all = policy(&json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}));
        assert!(all.allows("countersign:GetGrant", &[grant]));
    }
}
