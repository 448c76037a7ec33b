//! Principals and their access keys.

use countersign_api::admin::AccessKeyStatus;
use countersign_api::{EpochSeconds, ErrorCode, admin, control};
use countersign_crypto::Clock as _;
use countersign_identity::AccessKey;

use crate::world::{World, allow, call, code, worlds};

async fn works(world: &World, key: &AccessKey) -> Result<(), ErrorCode> {
    let input = control::get_workload_identity::Input {
        name: "dev-agent".to_owned(),
    };
    let result = call::<control::GetWorkloadIdentity>(&world.client(key), input).await;
    result
        .map(drop)
        .map_err(|error| error.code().expect("an error of the API"))
}

#[tokio::test]
async fn what_is_taken_away_is_gone_at_once() {
    for world in worlds().await {
        let admin = world.admin();
        let key = world
            .principal("reader", allow(&["bedrock-agentcore:Get*"]))
            .await;
        assert_eq!(works(&world, &key).await, Ok(()));
        let principal_name = "reader".to_owned();

        let input = admin::delete_principal_policy::Input {
            principal_name: principal_name.clone(),
        };
        call::<admin::DeletePrincipalPolicy>(&admin, input)
            .await
            .expect("removed");
        assert_eq!(works(&world, &key).await, Err(ErrorCode::AccessDenied));
        let input = admin::get_principal_policy::Input {
            principal_name: principal_name.clone(),
        };
        assert_eq!(
            code(call::<admin::GetPrincipalPolicy>(&admin, input).await),
            ErrorCode::ResourceNotFound
        );

        let input = admin::list_access_keys::Input {
            principal_name: principal_name.clone(),
        };
        let listed = call::<admin::ListAccessKeys>(&admin, input)
            .await
            .expect("keys")
            .access_keys;
        assert_eq!(listed.len(), 1);
        let input = admin::delete_access_key::Input {
            access_key_id: key.access_key_id.clone(),
        };
        call::<admin::DeleteAccessKey>(&admin, input.clone())
            .await
            .expect("removed");
        assert_eq!(works(&world, &key).await, Err(ErrorCode::UnrecognizedClient));
        assert_eq!(
            code(call::<admin::DeleteAccessKey>(&admin, input).await),
            ErrorCode::ResourceNotFound
        );

        let input = admin::create_access_key::Input {
            principal_name: principal_name.clone(),
        };
        let made = call::<admin::CreateAccessKey>(&admin, input)
            .await
            .expect("a key");
        let second = AccessKey {
            access_key_id: made.access_key.access_key_id,
            secret_access_key: made.secret_access_key.into_secret(),
        };
        assert_eq!(
            works(&world, &second).await,
            Err(ErrorCode::AccessDenied),
            "known, and may do nothing"
        );
        let input = admin::delete_principal::Input {
            principal_name: principal_name.clone(),
        };
        call::<admin::DeletePrincipal>(&admin, input)
            .await
            .expect("removed");
        assert_eq!(works(&world, &second).await, Err(ErrorCode::UnrecognizedClient));
        let input = admin::get_principal::Input { principal_name };
        assert_eq!(
            code(call::<admin::GetPrincipal>(&admin, input).await),
            ErrorCode::ResourceNotFound
        );
        world.close().await;
    }
}

#[tokio::test]
async fn an_inactive_access_key_signs_nothing_until_it_is_active_again() {
    for world in worlds().await {
        let admin = world.admin();
        let key = world
            .principal("rotated", allow(&["bedrock-agentcore:*Identity"]))
            .await;
        assert_eq!(works(&world, &key).await, Ok(()));
        let to = |status| admin::update_access_key::Input {
            access_key_id: key.access_key_id.clone(),
            status,
        };
        call::<admin::UpdateAccessKey>(&admin, to(AccessKeyStatus::Inactive))
            .await
            .expect("made inactive");
        assert_eq!(works(&world, &key).await, Err(ErrorCode::UnrecognizedClient));
        world.refusal("GetWorkloadIdentity", "unknown_access_key").await;
        let input = admin::list_access_keys::Input {
            principal_name: "rotated".to_owned(),
        };
        let listed = call::<admin::ListAccessKeys>(&admin, input).await.expect("keys");
        assert_eq!(listed.access_keys[0].status, AccessKeyStatus::Inactive);
        call::<admin::UpdateAccessKey>(&admin, to(AccessKeyStatus::Active))
            .await
            .expect("made active");
        assert_eq!(works(&world, &key).await, Ok(()));
        let theirs = admin::update_access_key::Input {
            access_key_id: world.other_admin.access_key_id.clone(),
            status: AccessKeyStatus::Inactive,
        };
        assert_eq!(
            code(call::<admin::UpdateAccessKey>(&admin, theirs).await),
            ErrorCode::ResourceNotFound
        );
        world.close().await;
    }
}

#[tokio::test]
async fn access_keys_are_few_and_belong_to_their_account() {
    for world in worlds().await {
        let admin = world.admin();
        let input = admin::create_access_key::Input {
            principal_name: "dev-agent".to_owned(),
        };
        call::<admin::CreateAccessKey>(&admin, input.clone())
            .await
            .expect("the second, to roll over to");
        assert_eq!(
            code(call::<admin::CreateAccessKey>(&admin, input).await),
            ErrorCode::ResourceLimitExceeded
        );
        let theirs = admin::delete_access_key::Input {
            access_key_id: world.other_admin.access_key_id.clone(),
        };
        assert_eq!(
            code(call::<admin::DeleteAccessKey>(&admin, theirs).await),
            ErrorCode::ResourceNotFound
        );
        let input = admin::list_principals::Input {
            max_results: Some(2),
            next_token: None,
        };
        let page = call::<admin::ListPrincipals>(&admin, input)
            .await
            .expect("a page");
        let names: Vec<_> = page
            .principals
            .iter()
            .map(|principal| principal.principal_name.as_str())
            .collect();
        assert_eq!(names, ["dev-admin", "dev-agent"]);
        assert!(page.next_token.is_some());
        let input = admin::create_principal::Input {
            principal_name: "dev-agent".to_owned(),
            tags: None,
            trust_policy: None,
        };
        assert_eq!(
            code(call::<admin::CreatePrincipal>(&admin, input).await),
            ErrorCode::Validation
        );
        world.close().await;
    }
}

#[tokio::test]
async fn bootstrap_repeated_keeps_keys_that_are_given() {
    for world in worlds().await {
        let again = countersign_identity::Bootstrap {
            admin: Some(world.dev.admin.clone()),
            agent: Some(world.dev.agent.clone()),
            binding: None,
            ..crate::world::bootstrap()
        };
        let second = world.identity.bootstrap(again).await.expect("in place");
        assert_eq!(second.callback_url, world.dev.callback_url);
        assert_eq!(second.agent.access_key_id, world.dev.agent.access_key_id);
        assert_eq!(works(&world, &world.dev.admin).await, Ok(()));
        assert_eq!(
            works(&world, &world.dev.binding).await,
            Err(ErrorCode::UnrecognizedClient),
            "its older key is gone"
        );
        assert_eq!(works(&world, &second.binding).await, Err(ErrorCode::AccessDenied));
        world.close().await;
    }
}

#[tokio::test]
async fn an_access_key_says_when_it_was_last_used() {
    for world in worlds().await {
        let key = world
            .principal("reader", allow(&["bedrock-agentcore:Get*"]))
            .await;
        let forged = AccessKey {
            secret_access_key: "wrong".to_owned().into(),
            ..key.clone()
        };
        world.clock.advance(std::time::Duration::from_mins(5));
        let used_at = world.clock.now();
        assert_eq!(works(&world, &key).await, Ok(()));
        world.clock.advance(std::time::Duration::from_mins(5));
        assert_eq!(works(&world, &forged).await, Err(ErrorCode::InvalidSignature));
        let world = Box::pin(world.restarted()).await;
        let input = admin::list_access_keys::Input {
            principal_name: "reader".to_owned(),
        };
        let listed = call::<admin::ListAccessKeys>(&world.admin(), input)
            .await
            .expect("keys")
            .access_keys;
        assert_eq!(
            listed[0].last_used_time,
            Some(EpochSeconds::from_micros(used_at.as_micros())),
            "{}",
            world.engine
        );
        world.close().await;
    }
}
