//! Callers that ask too often.

use std::num::NonZeroU32;
use std::time::Duration;

use countersign_api::ErrorCode;
use countersign_identity::Config;
use http::StatusCode;
use serde_json::json;

use crate::world::{World, allow, worlds_with};

const ALLOWED: usize = 5;

/// How many of `times` calls were answered; the others got 429.
async fn answered(
    world: &World,
    key: &countersign_identity::AccessKey,
    path: &str,
    body: &str,
    times: usize,
) -> usize {
    let mut answered = 0;
    for _ in 0..times {
        match world.signed(key, "bedrock-agentcore", path, body).await {
            (StatusCode::OK, None) => answered += 1,
            (StatusCode::TOO_MANY_REQUESTS, Some(ErrorCode::Throttling)) => {}
            other => panic!("{other:?}"),
        }
    }
    answered
}

#[tokio::test]
async fn an_account_is_answered_so_often_and_its_operator_always() {
    let limited = |config: &mut Config| {
        config.rate_limits.account_requests_per_second = NonZeroU32::new(5);
    };
    for world in worlds_with(limited).await {
        let key = world.principal("busy", allow(&["bedrock-agentcore:*"])).await;
        let list = "/identities/ListWorkloadIdentities";
        assert_eq!(answered(&world, &key, list, "{}", 12).await, ALLOWED);
        // Strangers use nothing up, and the operator is never limited.
        let record = world
            .refusal("ListWorkloadIdentities", "account_rate_exceeded")
            .await;
        assert_eq!(record["principal"], "arn:aws:iam::000000000000:user/busy");
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(answered(&world, &key, list, "{}", 12).await, ALLOWED);
        world.close().await;
    }
}

#[tokio::test]
async fn a_workload_is_answered_so_often_and_the_others_still_are() {
    let limited = |config: &mut Config| {
        config.rate_limits.workload_requests_per_second = NonZeroU32::new(5);
    };
    for world in worlds_with(limited).await {
        let key = world.principal("busy", allow(&["bedrock-agentcore:*"])).await;
        let (status, _) = world
            .signed(
                &key,
                "bedrock-agentcore",
                "/identities/CreateWorkloadIdentity",
                r#"{"name":"another"}"#,
            )
            .await;
        assert!(status.is_success(), "{status}");
        let mint = "/identities/GetWorkloadAccessToken";
        let body = |workload: &str| json!({ "workloadName": workload }).to_string();
        assert_eq!(
            answered(&world, &key, mint, &body("dev-agent"), 12).await,
            ALLOWED
        );
        assert_eq!(answered(&world, &key, mint, &body("another"), 3).await, 3);
        world
            .refusal("GetWorkloadAccessToken", "workload_rate_exceeded")
            .await;
        world.close().await;
    }
}
