//! API keys, tags, quotas and what is not offered, through the signed client on both engines.

use countersign_api::control::{self, not_offered};
use countersign_api::{ErrorCode, Sensitive, admin, data};
use serde_json::json;

use crate::world::{World, allow, call, code, worlds, worlds_with};

fn api_key(name: &str, key: &str) -> control::create_api_key_credential_provider::Input {
    control::create_api_key_credential_provider::Input {
        name: name.to_owned(),
        api_key: Some(Sensitive::from(key)),
        ..Default::default()
    }
}

async fn released(world: &World, name: &str) -> Result<String, ErrorCode> {
    let admin = world.admin();
    let input = data::get_workload_access_token::Input {
        workload_name: "dev-agent".to_owned(),
    };
    let minted = call::<data::GetWorkloadAccessToken>(&admin, input).await;
    let input = data::get_resource_api_key::Input {
        workload_identity_token: minted.expect("a token").workload_access_token,
        resource_credential_provider_name: name.to_owned(),
    };
    match call::<data::GetResourceApiKey>(&admin, input).await {
        Ok(output) => Ok(output.api_key.expose().to_owned()),
        Err(error) => Err(error.code().expect("an error of the API")),
    }
}

#[tokio::test]
async fn an_api_key_is_released_replaced_stopped_and_gone() {
    for world in worlds().await {
        let admin = world.admin();
        call::<control::CreateApiKeyCredentialProvider>(&admin, api_key("weather", "sk-one"))
            .await
            .expect("created");
        assert_eq!(released(&world, "weather").await.as_deref(), Ok("sk-one"));
        let input = control::update_api_key_credential_provider::Input {
            name: "weather".to_owned(),
            api_key: Some(Sensitive::from("sk-two")),
            ..Default::default()
        };
        call::<control::UpdateApiKeyCredentialProvider>(&admin, input)
            .await
            .expect("updated");
        assert_eq!(released(&world, "weather").await.as_deref(), Ok("sk-two"));
        let stop = admin::stop::Input {
            subject_kind: admin::SubjectKind::Provider,
            subject: "weather".to_owned(),
            reason: None,
            revoke_tokens: None,
        };
        call::<admin::Stop>(&admin, stop).await.expect("stopped");
        assert_eq!(released(&world, "weather").await, Err(ErrorCode::AccessDenied));
        let refusal = &world.records("GetResourceApiKey").await[0];
        assert_eq!(refusal["reason"], "provider_stopped");
        let delete = control::delete_api_key_credential_provider::Input {
            name: "weather".to_owned(),
        };
        call::<control::DeleteApiKeyCredentialProvider>(&admin, delete)
            .await
            .expect("deleted");
        world.close().await;
    }
}

/// The model has lengths for a key and no pattern.
#[tokio::test]
async fn an_api_key_of_several_lines_is_kept_as_it_is() {
    for world in worlds().await {
        let key = "-----BEGIN KEY-----\r\nYWJj\n-----END KEY-----\n";
        call::<control::CreateApiKeyCredentialProvider>(&world.admin(), api_key("lines", key))
            .await
            .expect("created");
        assert_eq!(released(&world, "lines").await.as_deref(), Ok(key));
        world.close().await;
    }
}

#[tokio::test]
async fn tags_belong_to_an_account_and_are_seen_by_policies() {
    for world in worlds().await {
        let admin = world.admin();
        let arn = "arn:aws:bedrock-agentcore:us-east-1:000000000000:workload-identity-directory/default/workload-identity/dev-agent";
        let tag = |arn: &str, key: &str, value: &str| control::tag_resource::Input {
            resource_arn: arn.to_owned(),
            tags: [(key.to_owned(), value.to_owned())].into(),
        };
        let of = |arn: &str| control::list_tags_for_resource::Input {
            resource_arn: arn.to_owned(),
        };
        call::<control::TagResource>(&admin, tag(arn, "team", "blue"))
            .await
            .expect("tagged");
        let other = world.client(&world.other_admin);
        assert_eq!(
            code(call::<control::ListTagsForResource>(&other, of(arn)).await),
            ErrorCode::ResourceNotFound,
            "another account's"
        );
        // Only what is tagged blue, and no tag but `team` may be given.
        let key = world
            .principal(
                "blue-team",
                json!({"Version": "2012-10-17", "Statement": [
                    {"Effect": "Allow", "Action": "bedrock-agentcore:GetWorkloadIdentity", "Resource": arn,
                     "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}},
                    {"Effect": "Allow", "Action": "bedrock-agentcore:GetWorkloadIdentity",
                     "Resource": "arn:aws:bedrock-agentcore:us-east-1:000000000000:workload-identity-directory/default"},
                ]}),
            )
            .await;
        let blue = world.client(&key);
        let get = || control::get_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        call::<control::GetWorkloadIdentity>(&blue, get())
            .await
            .expect("blue");
        call::<control::TagResource>(&admin, tag(arn, "team", "red"))
            .await
            .expect("tagged again");
        assert_eq!(
            code(call::<control::GetWorkloadIdentity>(&blue, get()).await),
            ErrorCode::AccessDenied,
            "red now"
        );
        let full = control::tag_resource::Input {
            resource_arn: arn.to_owned(),
            tags: (0..50).map(|n| (format!("k{n}"), String::new())).collect(),
        };
        assert_eq!(
            code(call::<control::TagResource>(&admin, full).await),
            ErrorCode::ServiceQuotaExceeded,
            "50 and the one it has"
        );
        world.close().await;
    }
}

#[tokio::test]
async fn an_account_has_its_quotas() {
    let limited = |config: &mut countersign_identity::Config| {
        config.quotas.workload_identities = 2;
        config.quotas.api_key_credential_providers = 1;
        config.quotas.oauth2_credential_providers = 1;
    };
    for world in worlds_with(limited).await {
        let admin = world.admin();
        let workload = |name: &str| control::create_workload_identity::Input {
            name: name.to_owned(),
            ..Default::default()
        };
        // `dev-agent` is the first.
        call::<control::CreateWorkloadIdentity>(&admin, workload("second"))
            .await
            .expect("the second");
        assert_eq!(
            code(call::<control::CreateWorkloadIdentity>(&admin, workload("third")).await),
            ErrorCode::ServiceQuotaExceeded
        );
        call::<control::CreateApiKeyCredentialProvider>(&admin, api_key("first", "k"))
            .await
            .expect("the first");
        assert_eq!(
            code(call::<control::CreateApiKeyCredentialProvider>(&admin, api_key("more", "k")).await),
            ErrorCode::ServiceQuotaExceeded
        );
        world.close().await;
    }
}

#[tokio::test]
async fn what_is_not_offered_says_so_to_those_who_may_ask() {
    for world in worlds().await {
        let input = not_offered::Input::default();
        let answer = call::<not_offered::CreateConsentPortal>(&world.admin(), input.clone()).await;
        let error = answer.expect_err("not offered");
        assert_eq!(error.code(), Some(ErrorCode::Validation));
        assert!(error.to_string().contains("not offered"), "{error}");
        let nobody = world
            .principal("nobody", allow(&["bedrock-agentcore:GetTokenVault"]))
            .await;
        let answer = call::<not_offered::CreateConsentPortal>(&world.client(&nobody), input).await;
        assert_eq!(code(answer), ErrorCode::AccessDenied);
        let records = world.records("CreateConsentPortal").await;
        assert_eq!(records[1]["reason"], "not_offered");
        world.close().await;
    }
}
