//! The trust line of design D6: whoever may ask for tokens may not complete their sessions.

use super::{Effect, Policy, Statement};

/// Asking for workload access tokens or resource credentials.
const ASK: [&str; 6] = [
    "bedrock-agentcore:GetWorkloadAccessToken",
    "bedrock-agentcore:GetWorkloadAccessTokenForJWT",
    "bedrock-agentcore:GetWorkloadAccessTokenForUserId",
    "bedrock-agentcore:GetResourceOauth2Token",
    "bedrock-agentcore:GetResourceApiKey",
    "bedrock-agentcore:GetResourcePaymentToken",
];
/// Completing what was asked for, or choosing the account of it.
const COMPLETE: [&str; 2] = [
    "bedrock-agentcore:CompleteResourceTokenAuth",
    "countersign:ConfirmAuthorizationSession",
];

impl Policy {
    /// Whether its holder could ever do both. Resources and conditions are not compared: a policy that keeps the two
    /// apart only by them is one renamed workload, one tag or one user id away from joining them.
    pub(crate) fn joins_asking_and_completing(&self) -> bool {
        let may_one_of = |actions: &[&str]| actions.iter().any(|action| self.may_ever(action));
        may_one_of(&COMPLETE) && may_one_of(&ASK)
    }

    /// Whether some statement allows `action`, on whatever and in whatever circumstances, and none denies it on
    /// everything and in all of them.
    fn may_ever(&self, action: &str) -> bool {
        let mut applicable = self
            .statements
            .iter()
            .filter(|statement| statement.covers_action(action));
        let denied = applicable.clone().any(Statement::denies_everywhere);
        !denied && applicable.any(|statement| statement.effect == Effect::Allow)
    }
}

impl Statement {
    fn denies_everywhere(&self) -> bool {
        self.effect == Effect::Deny
            && self.conditions.is_empty()
            && !self.resources.except
            && self.resources.patterns.iter().any(super::ResourcePattern::is_any)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn joins(statements: &serde_json::Value) -> bool {
        Policy::parse(&json!({"Statement": statements}))
            .expect("a policy")
            .joins_asking_and_completing()
    }

    #[test]
    fn asking_and_completing_in_one_policy_is_noticed() {
        let allow = |action: &str| json!({"Effect": "Allow", "Action": action, "Resource": "*"});
        for action in ASK {
            for complete in COMPLETE {
                assert!(
                    joins(&json!([allow(action), allow(complete)])),
                    "{action}, {complete}"
                );
            }
            assert!(!joins(&json!([allow(action)])), "{action}");
        }
        assert!(!joins(&json!([allow(COMPLETE[0]), allow(COMPLETE[1])])));
        for action in [
            "*",
            "bedrock-agentcore:*",
            "BEDROCK-AGENTCORE:*e*",
            "bedrock-agentcore:?*",
        ] {
            assert!(joins(&json!([allow(action)])), "{action}");
        }
        let arn = "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default";
        assert!(joins(&json!([
            {"Effect": "Allow", "Action": COMPLETE[0], "Resource": arn},
            allow("bedrock-agentcore:GetResource*"),
        ])));
    }

    #[test]
    fn the_whole_language_is_read_for_the_worst() {
        let allow_but = |not: &[&str]| json!({"Effect": "Allow", "NotAction": not, "Resource": "*"});
        assert!(joins(&json!([allow_but(&["s3:*"])])));
        assert!(!joins(&json!([allow_but(&COMPLETE)])), "it may not complete");
        assert!(
            joins(&json!([allow_but(&COMPLETE[..1])])),
            "but choose the account"
        );
        assert!(!joins(&json!([allow_but(&["bedrock-agentcore:*"])])));
        let elsewhere = "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/none";
        assert!(joins(&json!([
            {"Effect": "Allow", "Action": "bedrock-agentcore:*", "NotResource": elsewhere},
        ])));
        assert!(joins(&json!([
            {"Effect": "Allow", "Action": COMPLETE[0], "Resource": "*",
             "Condition": {"StringEquals": {"aws:username": "nobody"}}},
            {"Effect": "Allow", "Action": "bedrock-agentcore:GetResource*", "Resource": "*",
             "Condition": {"StringNotEquals": {"aws:username": "nobody"}}},
        ])));
    }

    #[test]
    fn a_denial_counts_only_when_it_is_everywhere_and_always() {
        let allow = json!({"Effect": "Allow", "Action": "bedrock-agentcore:*", "Resource": "*"});
        let deny = |resource: &str| json!({"Effect": "Deny", "Action": COMPLETE[0], "Resource": resource});
        let arn = "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default";
        assert!(!joins(&json!([allow, deny("*")])));
        assert!(joins(&json!([allow, deny(arn)])));
        let deny_but = |not: &str| json!({"Effect": "Deny", "NotAction": not, "Resource": "*"});
        assert!(!joins(&json!([allow, deny_but("bedrock-agentcore:Get*")])));
        assert!(joins(&json!([allow, deny_but("bedrock-agentcore:*")])));
        assert!(joins(&json!([
            allow,
            {"Effect": "Deny", "Action": COMPLETE[0], "NotResource": arn},
        ])));
        assert!(joins(&json!([
            allow,
            {"Effect": "Deny", "Action": COMPLETE[0], "Resource": "*",
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ])));
    }
}
