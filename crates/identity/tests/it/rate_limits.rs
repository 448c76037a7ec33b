//! Callers that ask too often.

use std::num::NonZeroU32;
use std::time::Duration;

use countersign_api::{ErrorCode, admin};
use countersign_identity::Config;
use http::StatusCode;
use serde_json::json;

use crate::world::{World, allow, call, worlds_with};

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
        let refused = world.answer(&key, "bedrock-agentcore", list, "{}").await;
        assert_eq!(
            (refused.status, &refused.headers["retry-after"]),
            (
                StatusCode::TOO_MANY_REQUESTS,
                &http::HeaderValue::from_static("1")
            )
        );
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
async fn a_stranger_is_refused_so_often_and_then_unheard_while_those_who_are_known_go_on() {
    let limited = |config: &mut Config| config.rate_limits.source_refusals_per_second = 5;
    for world in worlds_with(limited).await {
        let key = world.principal("known", allow(&["bedrock-agentcore:*"])).await;
        let newcomer = world.principal("newcomer", allow(&["bedrock-agentcore:*"])).await;
        let list = "/identities/ListWorkloadIdentities";
        assert_eq!(answered(&world, &key, list, "{}", 1).await, 1);
        let stranger = countersign_identity::AccessKey {
            access_key_id: "AKIAAAAAAAAAAAAAAAAA".to_owned(),
            secret_access_key: "secret".to_owned().into(),
        };
        let mut refused = Vec::new();
        for _ in 0..8 {
            let (status, error) = world.signed(&stranger, "bedrock-agentcore", list, "{}").await;
            refused.push((status, error.expect("an error")));
        }
        assert_eq!(
            refused[..ALLOWED],
            [(StatusCode::FORBIDDEN, ErrorCode::UnrecognizedClient); ALLOWED]
        );
        assert_eq!(
            refused[ALLOWED..],
            [(StatusCode::TOO_MANY_REQUESTS, ErrorCode::Throttling); 3]
        );
        // From the same address: whoever is known is answered, others wait a moment with the stranger.
        assert_eq!(answered(&world, &key, list, "{}", 12).await, 12);
        assert_eq!(answered(&world, &newcomer, list, "{}", 1).await, 0);
        // Nor does a change of what it may do, which drops it from memory, make a stranger of it.
        let input = admin::put_principal_policy::Input {
            principal_name: "known".to_owned(),
            document: allow(&["bedrock-agentcore:List*"]),
            break_glass: None,
        };
        let changed = call::<admin::PutPrincipalPolicy>(&world.admin(), input).await;
        changed.expect("another policy");
        assert_eq!(answered(&world, &key, list, "{}", 1).await, 1);
        let record = world
            .refusal("ListWorkloadIdentities", "source_rate_exceeded")
            .await;
        assert_eq!(record["principal"], serde_json::Value::Null);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(answered(&world, &newcomer, list, "{}", 1).await, 1);
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

#[tokio::test]
async fn the_calls_of_sts_count_for_the_account() {
    let limited = |config: &mut Config| {
        config.rate_limits.account_requests_per_second = NonZeroU32::new(5);
    };
    for world in worlds_with(limited).await {
        let key = world.principal("curious", allow(&["bedrock-agentcore:*"])).await;
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        for n in 0..8 {
            let answer = world.answer(&key, "sts", "/", body).await;
            if n < ALLOWED {
                assert_eq!(answer.status, StatusCode::OK, "{n}");
                continue;
            }
            assert_eq!(
                (answer.status, &answer.headers["retry-after"]),
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    &http::HeaderValue::from_static("1")
                )
            );
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(text.contains("<Code>Throttling</Code>"), "{text}");
        }
        let list = "/identities/ListWorkloadIdentities";
        assert_eq!(answered(&world, &key, list, "{}", 1).await, 0);
        world.refusal("GetCallerIdentity", "account_rate_exceeded").await;
        world.close().await;
    }
}

#[tokio::test]
async fn who_may_not_use_a_workload_uses_nothing_of_its_allowance_up() {
    let limited = |config: &mut Config| {
        config.rate_limits.workload_requests_per_second = NonZeroU32::new(5);
    };
    for world in worlds_with(limited).await {
        let key = world.principal("busy", allow(&["bedrock-agentcore:*"])).await;
        let thief = world
            .principal("thief", allow(&["bedrock-agentcore:List*"]))
            .await;
        let mint = "/identities/GetWorkloadAccessToken";
        let workload = json!({"workloadName": "dev-agent"}).to_string();
        let minted = world.answer(&key, "bedrock-agentcore", mint, &workload).await;
        let minted: serde_json::Value = serde_json::from_slice(&minted.body).expect("JSON");
        let stolen = json!({
            "workloadIdentityToken": minted["workloadAccessToken"],
            "resourceCredentialProviderName": "ledgerline", "scopes": [], "oauth2Flow": "M2M",
        })
        .to_string();
        for path in ["/identities/oauth2/token", "/identities/api-key"] {
            for _ in 0..ALLOWED {
                let (status, _) = world.signed(&thief, "bedrock-agentcore", path, &stolen).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
            }
        }
        assert_eq!(answered(&world, &key, mint, &workload, 12).await, ALLOWED - 1);
        world.close().await;
    }
}
