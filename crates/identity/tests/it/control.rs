//! The control plane through the signed client.

use countersign_api::control::oauth2_provider_config::{
    AuthorizationServerMetadata, CustomOauth2ProviderConfigInput, Oauth2Discovery, Oauth2ProviderConfigInput,
    Oauth2ProviderConfigOutput,
};
use countersign_api::control::{self, CredentialProviderVendor};
use countersign_api::{ClientError, ErrorCode, Sensitive};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{call, code, worlds, worlds_with};

pub(crate) fn custom(discovery: Oauth2Discovery) -> Oauth2ProviderConfigInput {
    Oauth2ProviderConfigInput::Custom(Box::new(CustomOauth2ProviderConfigInput {
        oauth_discovery: discovery,
        client_id: Some("client".to_owned()),
        client_secret: Some(Sensitive::from("canary-client-secret")),
        client_secret_config: None,
        client_secret_source: None,
        client_authentication_method: None,
        on_behalf_of_token_exchange_config: None,
        private_key_jwt_config: None,
        private_endpoint: None,
        private_endpoint_overrides: None,
        certificate_configurations: None,
    }))
}

fn explicit(token_endpoint: &str) -> Oauth2ProviderConfigInput {
    custom(Oauth2Discovery::AuthorizationServerMetadata(
        AuthorizationServerMetadata {
            issuer: "https://as.example".to_owned(),
            authorization_endpoint: "https://as.example/authorize".to_owned(),
            token_endpoint: token_endpoint.to_owned(),
            response_types: None,
            token_endpoint_auth_methods: None,
        },
    ))
}

fn provider(
    name: &str,
    config: Oauth2ProviderConfigInput,
) -> control::create_oauth2_credential_provider::Input {
    control::create_oauth2_credential_provider::Input {
        name: name.to_owned(),
        credential_provider_vendor: CredentialProviderVendor::CustomOauth2,
        oauth2_provider_config_input: config,
        tags: None,
    }
}

fn message<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.expect_err("a refusal") {
        ClientError::Api(error) => error.message,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_workload_identity_lives_and_dies() {
    for world in worlds().await {
        let admin = world.admin();
        let input = control::create_workload_identity::Input {
            name: "agent-1".to_owned(),
            allowed_resource_oauth2_return_urls: Some(vec!["https://app.example/back".to_owned()]),
            tags: None,
        };
        let created = call::<control::CreateWorkloadIdentity>(&admin, input.clone())
            .await
            .expect("created");
        let arn = "arn:aws:bedrock-agentcore:us-east-1:000000000000:workload-identity-directory/default/workload-identity/agent-1";
        assert_eq!(created.workload_identity_arn, arn);
        let again = call::<control::CreateWorkloadIdentity>(&admin, input).await;
        assert_eq!(
            message(again),
            "Workload identity with name: agent-1 already exists"
        );

        let update = control::update_workload_identity::Input {
            name: "agent-1".to_owned(),
            ..Default::default()
        };
        world.clock.advance(std::time::Duration::from_millis(1500));
        let updated = call::<control::UpdateWorkloadIdentity>(&admin, update)
            .await
            .expect("updated");
        assert_eq!(
            updated.allowed_resource_oauth2_return_urls,
            Some(Vec::new()),
            "the list is replaced as a whole"
        );
        let get = control::get_workload_identity::Input {
            name: "agent-1".to_owned(),
        };
        let found = call::<control::GetWorkloadIdentity>(&admin, get.clone())
            .await
            .expect("found");
        let age = found.last_updated_time.as_secs_f64() - found.created_time.as_secs_f64();
        assert!((age - 1.5).abs() < 0.001, "{age}");

        let delete = control::delete_workload_identity::Input {
            name: "agent-1".to_owned(),
        };
        call::<control::DeleteWorkloadIdentity>(&admin, delete.clone())
            .await
            .expect("deleted");
        assert_eq!(
            code(call::<control::DeleteWorkloadIdentity>(&admin, delete).await),
            ErrorCode::ResourceNotFound
        );
        assert_eq!(
            code(call::<control::GetWorkloadIdentity>(&admin, get).await),
            ErrorCode::ResourceNotFound
        );
        let record = &world.records("CreateWorkloadIdentity").await[1];
        assert_eq!(
            (&record["outcome"], &record["workload"]),
            (&json!("done"), &json!("agent-1"))
        );
        assert_eq!(record["principal"], "arn:aws:iam::000000000000:user/dev-admin");
        world.close().await;
    }
}

#[tokio::test]
async fn pages_are_complete_and_their_tokens_are_bound() {
    for world in worlds().await {
        let admin = world.admin();
        for index in 0..5 {
            let input = control::create_workload_identity::Input {
                name: format!("agent-{index}"),
                ..Default::default()
            };
            call::<control::CreateWorkloadIdentity>(&admin, input)
                .await
                .expect("created");
        }
        let mut names = Vec::new();
        let mut input = control::list_workload_identities::Input {
            max_results: Some(2),
            next_token: None,
        };
        let token = loop {
            let page = call::<control::ListWorkloadIdentities>(&admin, input.clone())
                .await
                .expect("a page");
            names.extend(page.workload_identities.into_iter().map(|item| item.name));
            match page.next_token {
                Some(token) => input.next_token = Some(token),
                None => break input.next_token.expect("more than one page"),
            }
        };
        assert_eq!(
            names,
            ["agent-0", "agent-1", "agent-2", "agent-3", "agent-4", "dev-agent"]
        );

        let elsewhere = control::list_oauth2_credential_providers::Input {
            next_token: Some(token.clone()),
            max_results: None,
        };
        let refused = call::<control::ListOauth2CredentialProviders>(&admin, elsewhere).await;
        assert_eq!(code(refused), ErrorCode::Validation, "another operation's token");
        let own = control::list_workload_identities::Input {
            next_token: Some(token),
            max_results: None,
        };
        let other = world.client(&world.other_admin);
        let refused = call::<control::ListWorkloadIdentities>(&other, own).await;
        assert_eq!(code(refused), ErrorCode::Validation, "another account's token");
        let forged = control::list_workload_identities::Input {
            next_token: Some("YWdlbnQtMw".to_owned()),
            max_results: None,
        };
        assert_eq!(
            code(call::<control::ListWorkloadIdentities>(&admin, forged).await),
            ErrorCode::Validation
        );
        world.close().await;
    }
}

#[tokio::test]
async fn a_provider_by_explicit_metadata_lives_and_dies() {
    for world in worlds().await {
        let admin = world.admin();
        let input = provider("hub", explicit("https://as.example/token"));
        let created = call::<control::CreateOauth2CredentialProvider>(&admin, input.clone())
            .await
            .expect("created");
        let callback = created.callback_url.expect("a callback URL");
        assert!(
            callback.starts_with("http://localhost:8407/identities/oauth2/callback/"),
            "{callback}"
        );
        assert!(
            created
                .client_secret_arn
                .secret_arn
                .contains("bedrock-agentcore-identity!default/oauth2/hub-")
        );
        let again = call::<control::CreateOauth2CredentialProvider>(&admin, input.clone()).await;
        assert_eq!(
            message(again),
            "Credential provider with name: hub already exists"
        );

        let get = control::get_oauth2_credential_provider::Input {
            name: "hub".to_owned(),
        };
        let found = call::<control::GetOauth2CredentialProvider>(&admin, get.clone())
            .await
            .expect("found");
        assert!(!format!("{:?}", serde_json::to_value(&found)).contains("canary-client-secret"));
        let Oauth2ProviderConfigOutput::Custom(config) = found.oauth2_provider_config_output else {
            panic!("another vendor")
        };
        assert_eq!(config.client_id.as_deref(), Some("client"));

        let update = control::update_oauth2_credential_provider::Input {
            name: "hub".to_owned(),
            credential_provider_vendor: CredentialProviderVendor::CustomOauth2,
            oauth2_provider_config_input: explicit("https://as.example/token2"),
        };
        let updated = call::<control::UpdateOauth2CredentialProvider>(&admin, update)
            .await
            .expect("updated");
        assert_eq!(
            updated.callback_url.as_deref(),
            Some(callback.as_str()),
            "an update keeps the callback URL"
        );

        let delete = control::delete_oauth2_credential_provider::Input {
            name: "hub".to_owned(),
        };
        call::<control::DeleteOauth2CredentialProvider>(&admin, delete)
            .await
            .expect("deleted");
        assert_eq!(
            code(call::<control::GetOauth2CredentialProvider>(&admin, get).await),
            ErrorCode::ResourceNotFound
        );
        let recreated = call::<control::CreateOauth2CredentialProvider>(&admin, input)
            .await
            .expect("created again");
        assert_ne!(
            recreated.callback_url.as_deref(),
            Some(callback.as_str()),
            "another provider, another URL"
        );
        world.close().await;
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
async fn a_discovery_url_is_read_when_it_is_registered() {
    let server = MockServer::start().await;
    let issuer = server.uri();
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
    });
    let answer =
        |template: ResponseTemplate, at: &str| Mock::given(path(at.to_owned())).respond_with(template);
    let ok = ResponseTemplate::new(200).set_body_json(&document);
    server
        .register(answer(ok.clone(), "/.well-known/openid-configuration"))
        .await;
    server
        .register(answer(ok, "/other/.well-known/openid-configuration"))
        .await;
    server
        .register(answer(
            ResponseTemplate::new(404),
            "/gone/.well-known/openid-configuration",
        ))
        .await;
    let html = ResponseTemplate::new(200).set_body_raw("<!doctype html><title>Sign in</title>", "text/html");
    let mut huge = document.clone();
    huge["issuer"] = json!(format!("{issuer}/huge"));
    huge["x"] = json!("x".repeat(5_000_000));
    let away = "https://169.254.169.254/.well-known/openid-configuration";
    for (template, at) in [
        (html, "html"),
        (ResponseTemplate::new(200).set_body_json(&huge), "huge"),
        (
            ResponseTemplate::new(302).insert_header("location", away),
            "moved",
        ),
        (
            ResponseTemplate::new(200).set_body_raw("[[[[", "application/json"),
            "broken",
        ),
    ] {
        let at = format!("/{at}/.well-known/openid-configuration");
        server.register(answer(template, &at)).await;
    }
    let allow = server.address().to_string().parse().expect("host and port");
    for world in worlds_with(|config| config.outbound_allow = vec![std::clone::Clone::clone(&allow)]).await {
        let admin = world.admin();
        let by_url = |name: &str, url: String| provider(name, custom(Oauth2Discovery::DiscoveryUrl(url)));
        let good = by_url("good", format!("{issuer}/.well-known/openid-configuration"));
        call::<control::CreateOauth2CredentialProvider>(&admin, good)
            .await
            .expect("created");
        for (url, words) in [
            (
                format!("{issuer}/other/.well-known/openid-configuration"),
                "issuer",
            ),
            (
                format!("{issuer}/gone/.well-known/openid-configuration"),
                "must answer 200",
            ),
            (
                format!("{issuer}/html/.well-known/openid-configuration"),
                "must answer 200",
            ),
            (
                format!("{issuer}/huge/.well-known/openid-configuration"),
                "could not be fetched",
            ),
            (
                format!("{issuer}/moved/.well-known/openid-configuration"),
                "must answer 200",
            ),
            (
                format!("{issuer}/broken/.well-known/openid-configuration"),
                "must answer 200",
            ),
            (
                "https://127.0.0.1:1/.well-known/openid-configuration".to_owned(),
                "may reach",
            ),
            (
                "http://as.example/.well-known/openid-configuration".to_owned(),
                "may reach",
            ),
            (
                "https://169.254.169.254/.well-known/openid-configuration".to_owned(),
                "may reach",
            ),
            ("https://as.example/metadata".to_owned(), "must match"),
        ] {
            let refused =
                call::<control::CreateOauth2CredentialProvider>(&admin, by_url("bad", url.clone())).await;
            let message = message(refused);
            assert!(message.contains(words), "{url}: {message}");
        }
        let get = control::get_oauth2_credential_provider::Input {
            name: "bad".to_owned(),
        };
        let nothing = call::<control::GetOauth2CredentialProvider>(&admin, get).await;
        assert_eq!(
            code(nothing),
            ErrorCode::ResourceNotFound,
            "a refusal stores nothing"
        );
        assert_eq!(
            world.records("CreateOauth2CredentialProvider").await[0]["outcome"],
            "refused"
        );
        world.close().await;
    }
}

#[tokio::test]
async fn d09_endpoints_must_be_https_or_the_operators_exception() {
    for world in worlds().await {
        let admin = world.admin();
        for endpoint in [
            "http://as.example/token",
            "https://127.0.0.1/token",
            "https://169.254.169.254/latest",
            "https://[::1]/token",
            "https://user@as.example/token",
            "ftp://as.example/token",
            "as.example",
        ] {
            let refused =
                call::<control::CreateOauth2CredentialProvider>(&admin, provider("hub", explicit(endpoint)));
            assert_eq!(code(refused.await), ErrorCode::Validation, "{endpoint}");
        }
        world.close().await;
    }
}

#[tokio::test]
async fn d02_return_urls_that_run_or_leak_are_not_registered() {
    for world in worlds().await {
        let admin = world.admin();
        for url in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://app.example/x",
            "http://app.example/back",
            "http://localhost.evil.example/back",
            "https://app.example/back#fragment",
            "https://ok@evil.example/back",
            "https://APP.example/back",
            "https://app.example:443/back",
            "https://app.example/a/../b",
            "https://app.example\\@evil.example/",
            "https://app.example/ back",
            "//app.example/back",
            "",
        ] {
            let urls = Some(vec!["https://app.example/good".to_owned(), url.to_owned()]);
            let input = control::create_workload_identity::Input {
                name: "agent-1".to_owned(),
                allowed_resource_oauth2_return_urls: urls.clone(),
                tags: None,
            };
            assert_eq!(
                code(call::<control::CreateWorkloadIdentity>(&admin, input).await),
                ErrorCode::Validation,
                "{url}"
            );
            let input = control::update_workload_identity::Input {
                name: "dev-agent".to_owned(),
                allowed_resource_oauth2_return_urls: urls,
            };
            assert_eq!(
                code(call::<control::UpdateWorkloadIdentity>(&admin, input).await),
                ErrorCode::Validation,
                "{url}"
            );
        }
        let get = control::get_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        let found = call::<control::GetWorkloadIdentity>(&admin, get)
            .await
            .expect("found");
        let urls = found.allowed_resource_oauth2_return_urls.expect("a list");
        assert_eq!(
            urls,
            ["http://localhost:8407/oauth2/session-binding"],
            "a refusal changes nothing"
        );
        let none = control::get_workload_identity::Input {
            name: "agent-1".to_owned(),
        };
        assert_eq!(
            code(call::<control::GetWorkloadIdentity>(&admin, none).await),
            ErrorCode::ResourceNotFound
        );
        assert_eq!(
            world.records("UpdateWorkloadIdentity").await[0]["reason"],
            "invalid_input"
        );
        world.close().await;
    }
}

#[tokio::test]
async fn accounts_do_not_see_each_other() {
    for world in worlds().await {
        let (admin, other) = (world.admin(), world.client(&world.other_admin));
        let get = control::get_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        assert_eq!(
            code(call::<control::GetWorkloadIdentity>(&other, get.clone()).await),
            ErrorCode::ResourceNotFound,
            "the other account's administrator may do everything there and nothing here"
        );
        let input = control::create_workload_identity::Input {
            name: "dev-agent".to_owned(),
            ..Default::default()
        };
        let theirs = call::<control::CreateWorkloadIdentity>(&other, input)
            .await
            .expect("their own of the same name");
        assert!(theirs.workload_identity_arn.contains(":111111111111:"));
        let delete = control::delete_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        call::<control::DeleteWorkloadIdentity>(&other, delete)
            .await
            .expect("theirs is gone");
        let ours = call::<control::GetWorkloadIdentity>(&admin, get)
            .await
            .expect("ours stays");
        assert_eq!(
            ours.allowed_resource_oauth2_return_urls.map(|urls| urls.len()),
            Some(1)
        );
        let audit = countersign_api::admin::list_audit_records::Input::default();
        let refused = call::<countersign_api::admin::ListAuditRecords>(&other, audit).await;
        assert_eq!(
            code(refused),
            ErrorCode::AccessDenied,
            "the trail is the operator's"
        );
        world.close().await;
    }
}
