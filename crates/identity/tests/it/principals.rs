//! Principals and their access keys.

use countersign_api::admin::AccessKeyStatus;
use countersign_api::{EpochSeconds, ErrorCode, admin, control};
use countersign_crypto::Clock as _;
use countersign_identity::AccessKey;

use crate::world::{World, allow, call, code, worlds, worlds_with};

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

#[tokio::test]
async fn whoever_joins_asking_and_completing_is_listed() {
    for world in worlds().await {
        let before = world.break_glass().await;
        assert!(before.contains(&"dev-admin".to_owned()), "{before:?}");
        for (name, actions) in [
            ("asks", &["bedrock-agentcore:GetResource*"][..]),
            ("completes", &["bedrock-agentcore:Complete*"][..]),
            (
                "joins",
                &["bedrock-agentcore:GetResource*", "bedrock-agentcore:Complete*"][..],
            ),
        ] {
            world.principal(name, allow(actions)).await;
        }
        let mut after = world.break_glass().await;
        after.retain(|name| !before.contains(name));
        assert_eq!(after, ["joins"], "{}", world.engine);
        world.close().await;
    }
}

#[tokio::test]
async fn the_first_call_from_an_address_is_recorded_once_and_seen_in_the_health() {
    for world in worlds().await {
        let admin = world.admin();
        let mut records = Vec::new();
        // It is written beside the calls.
        for _ in 0..100 {
            let input = admin::list_principals::Input::default();
            call::<admin::ListPrincipals>(&admin, input)
                .await
                .expect("principals");
            records = world.records("NewPrincipalAddress").await;
            if !records.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(records.len(), 1, "{}: {records:?}", world.engine);
        assert_eq!(records[0]["source"], "127.0.0.1");
        assert_eq!(records[0]["detail"]["otherAddresses"], 0);
        let health = call::<admin::DescribeHealth>(&admin, admin::describe_health::Input {})
            .await
            .expect("health");
        assert_eq!(health.callers.len(), 1, "{health:?}");
        assert_eq!(health.callers[0].address, "127.0.0.1");
        assert!(health.keys_readable && health.change_feed_fresh, "{health:?}");
        assert!(
            health.audit.unanchored_records > 0,
            "no checkpoint covers it yet: {health:?}"
        );
        world.close().await;
    }
}

#[tokio::test]
async fn of_two_changes_at_once_none_takes_the_other_back() {
    let cluster: countersign_identity::WorkloadIssuerConfig =
        serde_json::from_value(serde_json::json!({"issuer": "https://cluster.test"})).expect("an issuer");
    for world in worlds_with(|config| config.workload_issuers = vec![cluster.clone()]).await {
        let admin = world.admin();
        world.principal("role", allow(&["bedrock-agentcore:Get*"])).await;
        let update = |tags: Option<&str>, trust: Option<i64>| admin::update_principal::Input {
            principal_name: "role".to_owned(),
            tags: tags.map(|team| [("team".to_owned(), team.to_owned())].into()),
            trust_policy: trust.map(|max_session_duration| admin::TrustPolicy {
                trusted: Vec::new(),
                max_session_duration,
            }),
        };
        for round in 0..20_u16 {
            let (team, duration) = (format!("team-{round}"), 900 + i64::from(round));
            let (tags, trust) = (update(Some(&team), None), update(None, Some(duration)));
            let (tags, trust) = tokio::join!(
                call::<admin::UpdatePrincipal>(&admin, tags),
                call::<admin::UpdatePrincipal>(&admin, trust)
            );
            tags.and(trust).expect("both changed");
            let input = admin::get_principal::Input {
                principal_name: "role".to_owned(),
            };
            let stands = call::<admin::GetPrincipal>(&admin, input).await.expect("there");
            let stands = stands.principal;
            assert_eq!(stands.tags["team"], team, "{}", world.engine);
            let trust = stands.trust_policy.expect("a role");
            assert_eq!(trust.max_session_duration, duration, "{}", world.engine);
        }
        world.close().await;
    }
}
