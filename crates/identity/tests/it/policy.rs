//! What policies permit, from outside.

use countersign_api::{ErrorCode, admin, control};
use serde_json::{Value, json};

use crate::world::{World, allow, call, code, worlds, worlds_with};

async fn get(world: &World, key: &countersign_identity::AccessKey, name: &str) -> Result<(), ErrorCode> {
    let input = control::get_workload_identity::Input {
        name: name.to_owned(),
    };
    let result = call::<control::GetWorkloadIdentity>(&world.client(key), input).await;
    result
        .map(drop)
        .map_err(|error| error.code().expect("an error of the API"))
}

#[tokio::test]
async fn policies_decide_by_action_and_resource() {
    for world in worlds().await {
        let directory =
            "arn:aws:bedrock-agentcore:us-east-1:000000000000:workload-identity-directory/default";
        let workload = |name: &str| format!("{directory}/workload-identity/{name}");
        let one = |resources: Value| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "bedrock-agentcore:GetWorkloadIdentity", "Resource": resources},
            ]})
        };
        let both = world
            .principal("both", one(json!([directory, workload("dev-*")])))
            .await;
        assert_eq!(get(&world, &both, "dev-agent").await, Ok(()));
        assert_eq!(get(&world, &both, "other").await, Err(ErrorCode::AccessDenied));
        let half = world.principal("half", one(json!(workload("dev-agent")))).await;
        assert_eq!(
            get(&world, &half, "dev-agent").await,
            Err(ErrorCode::AccessDenied),
            "the directory is missing"
        );
        let elsewhere = world
            .principal(
                "elsewhere",
                one(json!("arn:aws:bedrock-agentcore:us-east-1:111111111111:*")),
            )
            .await;
        assert_eq!(
            get(&world, &elsewhere, "dev-agent").await,
            Err(ErrorCode::AccessDenied)
        );
        let mut document = allow(&["*"]);
        let deny =
            json!({"Effect": "Deny", "Action": "bedrock-agentcore:Get*", "Resource": workload("dev-agent")});
        document["Statement"]
            .as_array_mut()
            .expect("statements")
            .push(deny);
        let denied = world.principal("denied", document).await;
        assert_eq!(
            get(&world, &denied, "dev-agent").await,
            Err(ErrorCode::AccessDenied),
            "an explicit deny wins"
        );
        assert_eq!(
            get(&world, &denied, "dev-agent-2").await,
            Err(ErrorCode::ResourceNotFound)
        );

        let record = &world.records("GetWorkloadIdentity").await[1];
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&json!("refused"), &json!("not_authorized"))
        );
        assert_eq!(record["principal"], "arn:aws:iam::000000000000:user/denied");
        assert_eq!(record["workload"], "dev-agent");
        world.close().await;
    }
}

#[tokio::test]
async fn aws_wildcards_do_not_reach_our_extension() {
    for world in worlds().await {
        let key = world.principal("aws", allow(&["bedrock-agentcore:*"])).await;
        let client = world.client(&key);
        assert_eq!(get(&world, &key, "dev-agent").await, Ok(()));
        let stops = call::<admin::ListStops>(&client, admin::list_stops::Input::default()).await;
        assert_eq!(code(stops), ErrorCode::AccessDenied);
        let principals =
            call::<admin::ListPrincipals>(&client, admin::list_principals::Input::default()).await;
        assert_eq!(code(principals), ErrorCode::AccessDenied);
        world.close().await;
    }
}

#[tokio::test]
async fn a_policy_that_would_not_be_enforced_is_not_stored() {
    for world in worlds().await {
        let admin = world.admin();
        let mut conditional = allow(&["bedrock-agentcore:Get*"]);
        conditional["Statement"][0]["Condition"] = json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}});
        for (document, reason) in [
            (conditional, "invalid_policy"),
            (
                json!({"Statement": [{"Effect": "Allow", "NotAction": "x:y", "Resource": "*"}]}),
                "joins_asking_and_completing",
            ),
            (
                allow(&[
                    "bedrock-agentcore:GetResourceOauth2Token",
                    "bedrock-agentcore:CompleteResourceTokenAuth",
                ]),
                "joins_asking_and_completing",
            ),
            (allow(&["*"]), "joins_asking_and_completing"),
        ] {
            let input = admin::put_principal_policy::Input {
                principal_name: "dev-agent".to_owned(),
                document: document.clone(),
                break_glass: None,
            };
            let refused = call::<admin::PutPrincipalPolicy>(&admin, input).await;
            assert_eq!(code(refused), ErrorCode::Validation, "{document}");
            assert_eq!(world.records("PutPrincipalPolicy").await[0]["reason"], reason);
        }
        let input = admin::get_principal_policy::Input {
            principal_name: "dev-agent".to_owned(),
        };
        let stored = call::<admin::GetPrincipalPolicy>(&admin, input)
            .await
            .expect("a policy");
        assert!(!stored.break_glass, "a refusal changes nothing");
        assert!(!stored.document.to_string().contains("CompleteResourceTokenAuth"));
        let input = admin::put_principal_policy::Input {
            principal_name: "dev-agent".to_owned(),
            document: allow(&["*"]),
            break_glass: Some(true),
        };
        call::<admin::PutPrincipalPolicy>(&admin, input)
            .await
            .expect("meant");
        assert_eq!(
            world.records("PutPrincipalPolicy").await[0]["detail"]["breakGlass"],
            true
        );
        world.close().await;
    }
}

#[tokio::test]
async fn the_roles_that_dev_ships_keep_their_trust_lines() {
    use countersign_api::data;
    for world in worlds().await {
        let (agent, binding) = (world.client(&world.dev.agent), world.client(&world.dev.binding));
        let wat = data::get_workload_access_token::Input {
            workload_name: "dev-agent".to_owned(),
        };
        call::<data::GetWorkloadAccessToken>(&agent, wat.clone())
            .await
            .expect("the agent's own");
        assert_eq!(
            code(call::<data::GetWorkloadAccessToken>(&binding, wat).await),
            ErrorCode::AccessDenied
        );
        let for_user = data::get_workload_access_token_for_user_id::Input {
            workload_name: "dev-agent".to_owned(),
            user_id: "alice".to_owned(),
        };
        for client in [&agent, &binding] {
            let refused = call::<data::GetWorkloadAccessTokenForUserId>(client, for_user.clone()).await;
            assert_eq!(code(refused), ErrorCode::AccessDenied);
        }
        let completion = data::complete_resource_token_auth::Input {
            session_uri: "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy"
                .to_owned(),
            user_identifier: data::UserIdentifier::UserId("alice".to_owned()),
        };
        let refused = call::<data::CompleteResourceTokenAuth>(&agent, completion).await;
        assert_eq!(
            code(refused),
            ErrorCode::AccessDenied,
            "the agent cannot complete a binding"
        );
        for client in [&agent, &binding] {
            let input = control::create_workload_identity::Input {
                name: "mine".to_owned(),
                ..Default::default()
            };
            assert_eq!(
                code(call::<control::CreateWorkloadIdentity>(client, input).await),
                ErrorCode::AccessDenied
            );
            let grants = call::<admin::ListGrants>(client, admin::list_grants::Input::default()).await;
            assert_eq!(code(grants), ErrorCode::AccessDenied);
        }
        world.close().await;
    }
}

/// Neither role may do the other's part, and the simulation says why.
#[tokio::test]
async fn the_simulation_says_why_the_trust_lines_hold() {
    use countersign_api::admin::simulate_policy::{ContextEntry, Input, PolicyDecision};
    for world in worlds().await {
        let admin = world.admin();
        let simulate = async |principal: &str, action: &str| {
            let input = Input {
                principal_name: principal.to_owned(),
                action: format!("bedrock-agentcore:{action}"),
                workload_name: Some("dev-agent".to_owned()),
                credential_provider_name: Some("ledgerline".to_owned()),
                ..Input::default()
            };
            call::<admin::SimulatePolicy>(&admin, input)
                .await
                .expect("a decision")
        };
        for (principal, action, decision) in [
            (
                "dev-agent",
                "GetWorkloadAccessTokenForJWT",
                PolicyDecision::Allowed,
            ),
            ("dev-agent", "GetResourceOauth2Token", PolicyDecision::Allowed),
            (
                "dev-agent",
                "CompleteResourceTokenAuth",
                PolicyDecision::ImplicitDeny,
            ),
            (
                "dev-binding",
                "CompleteResourceTokenAuth",
                PolicyDecision::Allowed,
            ),
            (
                "dev-binding",
                "GetWorkloadAccessToken",
                PolicyDecision::ImplicitDeny,
            ),
            (
                "dev-binding",
                "GetWorkloadAccessTokenForJWT",
                PolicyDecision::ImplicitDeny,
            ),
            (
                "dev-binding",
                "GetWorkloadAccessTokenForUserId",
                PolicyDecision::ImplicitDeny,
            ),
            (
                "dev-binding",
                "GetResourceOauth2Token",
                PolicyDecision::ImplicitDeny,
            ),
            ("dev-binding", "GetResourceApiKey", PolicyDecision::ImplicitDeny),
        ] {
            let simulated = simulate(principal, action).await;
            assert_eq!(simulated.decision, decision, "{principal} {action}");
            for statement in simulated.results.iter().flat_map(|result| &result.statements) {
                let of_action = &statement.elements[0];
                assert_eq!(of_action.element, "Action");
                // Denied for the action alone: every resource is one of theirs.
                assert_eq!(of_action.holds, statement.applies, "{principal} {action}");
            }
        }
        let capped = Input {
            principal_name: "dev-agent".to_owned(),
            document: Some(json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "bedrock-agentcore:GetResourceOauth2Token", "Resource": "*",
                 "Condition": {"ForAllValues:StringEquals": {"countersign:scopes": "issues:read"}}},
            ]})),
            action: "bedrock-agentcore:GetResourceOauth2Token".to_owned(),
            context: Some(vec![ContextEntry {
                key: "countersign:scopes".to_owned(),
                values: vec!["issues:read".to_owned(), "issues:write".to_owned()],
            }]),
            ..Input::default()
        };
        let simulated = call::<admin::SimulatePolicy>(&admin, capped)
            .await
            .expect("a decision");
        assert_eq!(simulated.decision, PolicyDecision::ImplicitDeny);
        let condition = &simulated.results[0].statements[0].elements[2];
        assert_eq!(condition.key.as_deref(), Some("countersign:scopes"));
        assert!(!condition.holds);
        world.close().await;
    }
}

/// A policy that names just what its operation asks about is simulated as it is enforced.
#[tokio::test]
async fn the_simulation_agrees_with_what_is_enforced() {
    use countersign_api::admin::simulate_policy::{Input, PolicyDecision};
    use countersign_api::data;
    for world in worlds().await {
        let admin = world.admin();
        let base = "arn:aws:bedrock-agentcore:us-east-1:000000000000:";
        let directory = format!("{base}workload-identity-directory/default");
        let workload = format!("{directory}/workload-identity/dev-agent");
        let vault = format!("{base}token-vault/default");
        let key_provider = format!("{vault}/apikeycredentialprovider/weather");
        for name in ["weather", "other"] {
            let input = control::create_api_key_credential_provider::Input {
                name: name.to_owned(),
                api_key: Some("sk-one".into()),
                ..Default::default()
            };
            call::<control::CreateApiKeyCredentialProvider>(&admin, input)
                .await
                .expect("created");
        }
        let narrow = |action: &str, resources: &[&String]| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": format!("bedrock-agentcore:{action}"), "Resource": resources},
            ]})
        };
        let minter = narrow("GetWorkloadAccessToken", &[&directory, &workload]);
        let minter = world.principal("minter", minter).await;
        let reader = narrow(
            "GetResourceApiKey",
            &[&directory, &workload, &vault, &key_provider],
        );
        let reader = world.principal("reader", reader).await;
        let simulated = async |principal: &str, action: &str, workload: &str, provider: Option<&str>| {
            let input = Input {
                principal_name: principal.to_owned(),
                action: format!("bedrock-agentcore:{action}"),
                workload_name: Some(workload.to_owned()),
                credential_provider_name: provider.map(str::to_owned),
                ..Input::default()
            };
            let simulated = call::<admin::SimulatePolicy>(&admin, input).await;
            simulated.expect("a decision").decision == PolicyDecision::Allowed
        };
        let mint = async |key: &countersign_identity::AccessKey, name: &str| {
            let input = data::get_workload_access_token::Input {
                workload_name: name.to_owned(),
            };
            call::<data::GetWorkloadAccessToken>(&world.client(key), input).await
        };
        for (name, expected) in [("dev-agent", true), ("another", false)] {
            let enforced = mint(&minter, name).await.is_ok();
            let told = simulated("minter", "GetWorkloadAccessToken", name, None).await;
            assert_eq!((enforced, told), (expected, expected), "{name}");
        }
        let wat = mint(&world.dev.admin, "dev-agent").await.expect("a token");
        for (name, expected) in [("weather", true), ("other", false)] {
            let input = data::get_resource_api_key::Input {
                workload_identity_token: wat.workload_access_token.clone(),
                resource_credential_provider_name: name.to_owned(),
            };
            let enforced = call::<data::GetResourceApiKey>(&world.client(&reader), input)
                .await
                .is_ok();
            let told = simulated("reader", "GetResourceApiKey", "dev-agent", Some(name)).await;
            assert_eq!((enforced, told), (expected, expected), "{name}");
        }
        world.close().await;
    }
}

/// A valid body for every operation that can be asked for without a secret.
const BODIES: [(&str, &str); 33] = [
    ("identities/CreateWorkloadIdentity", r#"{"name":"new"}"#),
    ("identities/GetWorkloadIdentity", r#"{"name":"dev-agent"}"#),
    ("identities/UpdateWorkloadIdentity", r#"{"name":"dev-agent"}"#),
    ("identities/DeleteWorkloadIdentity", r#"{"name":"dev-agent"}"#),
    ("identities/ListWorkloadIdentities", "{}"),
    (
        "identities/GetOauth2CredentialProvider",
        r#"{"name":"ledgerline"}"#,
    ),
    (
        "identities/DeleteOauth2CredentialProvider",
        r#"{"name":"ledgerline"}"#,
    ),
    ("identities/ListOauth2CredentialProviders", "{}"),
    (
        "identities/GetWorkloadAccessToken",
        r#"{"workloadName":"dev-agent"}"#,
    ),
    (
        "identities/GetWorkloadAccessTokenForUserId",
        r#"{"workloadName":"dev-agent","userId":"alice"}"#,
    ),
    ("countersign/CreatePrincipal", r#"{"principalName":"new"}"#),
    ("countersign/GetPrincipal", r#"{"principalName":"dev-agent"}"#),
    ("countersign/ListPrincipals", "{}"),
    ("countersign/DeletePrincipal", r#"{"principalName":"dev-agent"}"#),
    (
        "countersign/PutPrincipalPolicy",
        r#"{"principalName":"dev-agent","document":{}}"#,
    ),
    (
        "countersign/GetPrincipalPolicy",
        r#"{"principalName":"dev-agent"}"#,
    ),
    (
        "countersign/DeletePrincipalPolicy",
        r#"{"principalName":"dev-agent"}"#,
    ),
    ("countersign/CreateAccessKey", r#"{"principalName":"dev-agent"}"#),
    ("countersign/ListAccessKeys", r#"{"principalName":"dev-agent"}"#),
    ("countersign/UpdatePrincipal", r#"{"principalName":"dev-agent"}"#),
    (
        "countersign/SimulatePolicy",
        r#"{"principalName":"dev-agent","action":"bedrock-agentcore:GetWorkloadAccessToken"}"#,
    ),
    (
        "countersign/UpdateAccessKey",
        r#"{"accessKeyId":"AKIAOTHERACCOUNT0000","status":"Inactive"}"#,
    ),
    (
        "countersign/DeleteAccessKey",
        r#"{"accessKeyId":"AKIAOTHERACCOUNT0000"}"#,
    ),
    (
        "countersign/PutReturnHandle",
        r#"{"workloadName":"dev-agent","returnHandle":"session-uri"}"#,
    ),
    (
        "countersign/Stop",
        r#"{"subjectKind":"account","subject":"000000000000"}"#,
    ),
    (
        "countersign/Start",
        r#"{"subjectKind":"account","subject":"000000000000"}"#,
    ),
    ("countersign/ListStops", "{}"),
    ("countersign/ListGrants", "{}"),
    ("countersign/ListUsers", r#"{"user":"alice"}"#),
    ("countersign/ListAuthorizationSessions", "{}"),
    ("countersign/DescribeHealth", "{}"),
    ("countersign/ListAuditRecords", "{}"),
    ("countersign/VerifyAudit", "{}"),
];

#[tokio::test]
async fn without_a_policy_nothing_is_permitted_and_everything_is_recorded() {
    for world in worlds().await {
        let nobody = world.principal("nobody", allow(&["s3:*"])).await;
        for (path, body) in BODIES {
            let (service, operation) = path.split_once('/').expect("service and operation");
            let service = if service == "identities" {
                "bedrock-agentcore"
            } else {
                service
            };
            let (status, code) = world.signed(&nobody, service, path, body).await;
            assert_eq!(
                (status.as_u16(), code),
                (403, Some(ErrorCode::AccessDenied)),
                "{}: {path}",
                world.engine
            );
            let record = &world.refusal(operation, "not_authorized").await;
            assert_eq!(
                record["principal"], "arn:aws:iam::000000000000:user/nobody",
                "{path}"
            );
        }
        assert_eq!(
            get(&world, &world.dev.admin, "dev-agent").await,
            Ok(()),
            "nothing was stopped or deleted"
        );
        world.close().await;
    }
}

#[tokio::test]
async fn secure_transport_is_what_the_listener_has_itself() {
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock-agentcore:GetWorkloadIdentity", "Resource": "*",
         "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ]});
    for (tls, expected) in [
        (Value::Null, Err(ErrorCode::AccessDenied)),
        (json!("self-signed"), Ok(())),
    ] {
        let adjust = |config: &mut countersign_identity::Config| {
            config.api_tls = serde_json::from_value(tls.clone()).expect("a setting");
        };
        for world in worlds_with(adjust).await {
            let key = world.principal("careful", document.clone()).await;
            assert_eq!(get(&world, &key, "dev-agent").await, expected, "{tls}");
            world.close().await;
        }
    }
}
