//! Policy documents: whatever compiles can be decided and explained, the two agree, and a denial is what an explicit
//! deny says it is.
#![no_main]

use countersign_api::Arn;
use libfuzzer_sys::fuzz_target;

// The module itself: it needs nothing else of its crate, which is slow to build with instrumentation.
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the target uses a part of it")]
#[path = "../../crates/identity/src/policy/mod.rs"]
mod policy;

use policy::{Decision, Policy, Simulation, Tags};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice(bytes) else {
        return;
    };
    let Ok(policy) = Policy::parse(&document) else {
        return;
    };
    let mut simulation = Simulation::new(
        countersign_crypto::Timestamp::from_secs(1_800_000_000),
        Tags::new(),
    );
    for (key, value) in [
        ("bedrock-agentcore:userid", "okta+1"),
        ("bedrock-agentcore:InboundJwtClaim/sub", "1001"),
        ("countersign:scopes", "issues:read"),
        ("aws:SourceIp", "192.0.2.1"),
        ("aws:PrincipalTag/team", "blue*"),
        ("aws:ResourceTag/team", "blue"),
    ] {
        simulation
            .suppose(key, vec![value.to_owned()])
            .expect("a known key");
    }
    let arn = Arn::principal("000000000000", "agent");
    let facts = simulation.facts(&arn, "agent", "us-east-1", None);
    let resource = Arn::workload_identity("us-east-1", "000000000000", "agent");
    let _ = policy.joins_asking_and_completing();
    for action in ["bedrock-agentcore:GetResourceOauth2Token", "countersign:GetGrant"] {
        let decision = policy.decide(action, &resource, &facts);
        let explained = policy.explain(action, &resource, &facts);
        assert_eq!(explained.decision, decision.into());
        let applies = |effect: &str| {
            explained
                .statements
                .iter()
                .any(|statement| statement.applies && statement.effect == effect)
        };
        assert_eq!(matches!(decision, Decision::ExplicitDeny { .. }), applies("Deny"));
        assert_eq!(
            decision == Decision::Allowed,
            applies("Allow") && !applies("Deny")
        );
    }
});
