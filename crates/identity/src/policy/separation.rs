//! The trust line of design D6: whoever may ask for tokens may not complete their sessions.

use super::{Effect, Policy};

/// Asking for workload access tokens or resource credentials.
const ASK: [&str; 6] = [
    "bedrock-agentcore:GetWorkloadAccessToken",
    "bedrock-agentcore:GetWorkloadAccessTokenForJWT",
    "bedrock-agentcore:GetWorkloadAccessTokenForUserId",
    "bedrock-agentcore:GetResourceOauth2Token",
    "bedrock-agentcore:GetResourceApiKey",
    "bedrock-agentcore:GetResourcePaymentToken",
];
const COMPLETE: &str = "bedrock-agentcore:CompleteResourceTokenAuth";

impl Policy {
    /// Whether its holder could do both. Resources are not compared: a policy that keeps the two apart only by
    /// resource is one renamed workload away from joining them.
    pub(crate) fn joins_asking_and_completing(&self) -> bool {
        self.may_ever(COMPLETE) && ASK.iter().any(|action| self.may_ever(action))
    }

    /// Whether some statement allows `action` and none denies it everywhere.
    fn may_ever(&self, action: &str) -> bool {
        let mut applicable = self
            .statements
            .iter()
            .filter(|statement| statement.actions.iter().any(|pattern| pattern.matches(action)));
        let denied = applicable.clone().any(|statement| {
            statement.effect == Effect::Deny && statement.resources.iter().any(super::ResourcePattern::is_any)
        });
        !denied && applicable.any(|statement| statement.effect == Effect::Allow)
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
            assert!(joins(&json!([allow(action), allow(COMPLETE)])), "{action}");
            assert!(!joins(&json!([allow(action)])), "{action}");
        }
        assert!(!joins(&json!([allow(COMPLETE)])));
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
            {"Effect": "Allow", "Action": COMPLETE, "Resource": arn},
            allow("bedrock-agentcore:GetResource*"),
        ])));
    }

    #[test]
    fn a_denial_counts_only_when_it_is_everywhere() {
        let allow = json!({"Effect": "Allow", "Action": "bedrock-agentcore:*", "Resource": "*"});
        let deny = |resource: &str| json!({"Effect": "Deny", "Action": COMPLETE, "Resource": resource});
        assert!(!joins(&json!([allow.clone(), deny("*")])));
        assert!(joins(&json!([
            allow,
            deny("arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default"),
        ])));
    }
}
