//! Damaged rows: each is found and named, and what is beside it goes on.

use countersign_api::{ErrorCode, admin, control, data};

use crate::world::{World, allow, call, code, worlds};

async fn api_key_provider(world: &World, name: &str) {
    let input = control::create_api_key_credential_provider::Input {
        name: name.to_owned(),
        api_key: Some(format!("sk-the-key-of-{name}").into()),
        ..Default::default()
    };
    call::<control::CreateApiKeyCredentialProvider>(&world.admin(), input)
        .await
        .expect("a provider");
}

#[tokio::test]
async fn what_is_damaged_is_named_and_what_is_beside_it_goes_on() {
    for world in worlds().await {
        for name in ["moved", "sound", "truncated"] {
            api_key_provider(&world, name).await;
        }
        let document = allow(&["bedrock-agentcore:*"]);
        let key = world.principal("reader", document).await;
        let input = control::create_workload_identity::Input {
            name: "unreadable".to_owned(),
            ..Default::default()
        };
        call::<control::CreateWorkloadIdentity>(&world.admin(), input)
            .await
            .expect("a workload identity");

        let (world, found) = Box::pin(world.damaged(&[])).await;
        assert_eq!(found, [], "{}: nothing is wrong before", world.engine);
        let (world, found) = Box::pin(world.damaged(&[
            "UPDATE api_key_provider SET api_key = (SELECT api_key FROM api_key_provider WHERE name = 'sound') \
             WHERE name = 'moved'",
            "UPDATE api_key_provider SET api_key = substr(api_key, 1, 30) WHERE name = 'truncated'",
            "UPDATE workload_identity SET allowed_return_urls = '{not a list' WHERE name = 'unreadable'",
        ]))
        .await;
        let mut places: Vec<_> = found
            .iter()
            .map(|damage| (damage.table, damage.column, damage.fault.as_str()))
            .collect();
        places.sort_unstable();
        let moved = "the sealed value is not authentic here";
        let truncated = "not a sealed value of a known version";
        let unreadable = "is not what this program writes";
        assert_eq!(
            places,
            [
                ("api_key_provider", "api_key", truncated),
                ("api_key_provider", "api_key", moved),
                ("workload_identity", "allowed_return_urls", unreadable),
            ],
            "{}",
            world.engine
        );

        let reader = world.client(&key);
        let wat = data::get_workload_access_token::Input {
            workload_name: "dev-agent".to_owned(),
        };
        let token = call::<data::GetWorkloadAccessToken>(&reader, wat)
            .await
            .expect("the workload beside it works")
            .workload_access_token;
        for (name, damaged) in [("sound", false), ("moved", true), ("truncated", true)] {
            let input = data::get_resource_api_key::Input {
                resource_credential_provider_name: name.to_owned(),
                workload_identity_token: token.clone(),
            };
            let answer = call::<data::GetResourceApiKey>(&reader, input).await;
            if damaged {
                assert_eq!(
                    code(answer),
                    ErrorCode::InternalServer,
                    "{}: {name}",
                    world.engine
                );
                assert_eq!(world.records("GetResourceApiKey").await[0]["outcome"], "failed");
            } else {
                answer.expect("the sound one");
            }
        }
        let all = admin::list_principals::Input::default();
        let listed = call::<admin::ListPrincipals>(&world.admin(), all).await;
        assert!(!listed.expect("principals").principals.is_empty());
        world.close().await;
    }
}
