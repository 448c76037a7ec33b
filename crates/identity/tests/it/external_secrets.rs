//! External secrets, read from moto's Secrets Manager: the operator's list, the cache, rotation.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign_api::control::oauth2_provider_config::{
    AuthorizationServerMetadata, Oauth2Discovery, Oauth2ProviderConfigInput,
};
use countersign_api::control::{self, SecretReference, SecretSource};
use countersign_api::{ClientError, ErrorCode, Sensitive, data};
use countersign_identity::{Config, SecretsManagerConfig};
use countersign_outbound as outbound;
use http::{HeaderName, HeaderValue};
use moto::Moto;
use serde_json::{Value, json};
use url::Url;
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::control::custom;
use crate::world::{ACCOUNT, World, call, code, worlds_with};

/// moto's Secrets Manager.
struct SecretsManager {
    _moto: Moto,
    endpoint: Url,
}

impl SecretsManager {
    fn start() -> Self {
        let moto = Moto::start();
        Self {
            endpoint: Url::parse(moto.url()).expect("a URL"),
            _moto: moto,
        }
    }

    async fn ask(&self, operation: &str, input: Value) {
        let policy = outbound::Policy {
            allow: vec![outbound::HostPort::of(&self.endpoint).expect("host and port")],
            ..outbound::Policy::default()
        };
        let client = outbound::Client::new(policy).expect("a client");
        let target = HeaderValue::from_str(&format!("secretsmanager.{operation}")).expect("text");
        let request = outbound::Request::post(self.endpoint.clone())
            .header(HeaderName::from_static("x-amz-target"), target)
            .header(
                http::header::AUTHORIZATION,
                HeaderValue::from_static(
                    "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, \
                     Signature=0",
                ),
            )
            .body(
                HeaderValue::from_static("application/x-amz-json-1.1"),
                Bytes::from(input.to_string()),
            );
        let answer = client.send(request).await.expect("an answer");
        assert!(answer.status.is_success(), "{operation}: {answer:?}");
    }

    async fn create(&self, name: &str, value: &Value) {
        let input =
            json!({"Name": name, "SecretString": value.to_string(), "ClientRequestToken": token(name)});
        self.ask("CreateSecret", input).await;
    }

    async fn rotate(&self, name: &str, value: &Value) {
        let input = json!({"SecretId": name, "SecretString": value.to_string(), "ClientRequestToken": token(&ROTATIONS.fetch_add(1, Ordering::Relaxed).to_string())});
        self.ask("PutSecretValue", input).await;
    }

    fn configure(&self, config: &mut Config) {
        let manager: SecretsManagerConfig = serde_json::from_value(json!({
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "secret",
            "cache_seconds": 300,
            "allow": [{"account": ACCOUNT, "secrets": ["partners/*"]}],
        }))
        .expect("a configuration");
        config.secrets_manager = Some(manager);
        config
            .outbound_allow
            .push(outbound::HostPort::of(&self.endpoint).expect("host and port"));
    }
}

/// Each rotation makes a version of its own: a request token that was used before changes nothing.
static ROTATIONS: AtomicU32 = AtomicU32::new(0);

/// 32 characters, as Secrets Manager wants them.
fn token(of: &str) -> String {
    let digits: Vec<String> = of.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{:0<32}", digits.concat())
        .chars()
        .rev()
        .take(32)
        .collect()
}

fn reference(secret_id: &str, json_key: &str) -> SecretReference {
    SecretReference {
        secret_id: secret_id.to_owned(),
        json_key: json_key.to_owned(),
    }
}

fn external_key(name: &str, at: SecretReference) -> control::create_api_key_credential_provider::Input {
    control::create_api_key_credential_provider::Input {
        name: name.to_owned(),
        api_key_secret_config: Some(at),
        api_key_secret_source: Some(SecretSource::External),
        ..Default::default()
    }
}

async fn wat(world: &World) -> Sensitive {
    let input = data::get_workload_access_token::Input {
        workload_name: "dev-agent".to_owned(),
    };
    let minted = call::<data::GetWorkloadAccessToken>(&world.admin(), input).await;
    minted.expect("a workload access token").workload_access_token
}

async fn key(world: &World, name: &str) -> Result<String, ClientError> {
    let input = data::get_resource_api_key::Input {
        workload_identity_token: wat(world).await,
        resource_credential_provider_name: name.to_owned(),
    };
    let output = call::<data::GetResourceApiKey>(&world.admin(), input).await?;
    Ok(output.api_key.expose().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_api_key_is_read_cached_and_picked_up_after_rotation() {
    let manager = SecretsManager::start();
    manager
        .create("partners/weather", &json!({"key": "sk-first"}))
        .await;
    for world in worlds_with(|config| manager.configure(config)).await {
        manager
            .rotate("partners/weather", &json!({"key": "sk-first"}))
            .await;
        let input = external_key("weather", reference("partners/weather", "key"));
        let made = call::<control::CreateApiKeyCredentialProvider>(&world.admin(), input).await;
        let made = made.expect("created");
        assert_eq!(made.secret.api_key_secret_json_key.as_deref(), Some("key"));
        assert_eq!(made.secret.api_key_secret_source, Some(SecretSource::External));
        assert_eq!(key(&world, "weather").await.expect("the key"), "sk-first");
        manager
            .rotate("partners/weather", &json!({"key": "sk-second"}))
            .await;
        assert_eq!(key(&world, "weather").await.expect("the kept key"), "sk-first");
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(key(&world, "weather").await.expect("the new key"), "sk-second");
        let released = &world.records("GetResourceApiKey").await[0];
        assert_eq!(
            (&released["outcome"], &released["provider"]),
            (&json!("done"), &json!("weather"))
        );
        assert!(!released.to_string().contains("sk-"), "{released}");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_secrets_on_the_accounts_list_are_read_and_ours_never() {
    let manager = SecretsManager::start();
    for name in [
        "elsewhere/key",
        "countersign/database",
        "bedrock-agentcore-identity!default/x",
    ] {
        manager.create(name, &json!({"key": "ours"})).await;
    }
    manager.create("partners/number", &json!({"key": 7})).await;
    for world in worlds_with(|config| manager.configure(config)).await {
        let admin = world.admin();
        for secret in [
            "elsewhere/key",
            "countersign/database",
            "bedrock-agentcore-identity!default/x",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:countersign/database",
            // Allowed by its name, and not there.
            "partners/absent",
        ] {
            let input = external_key("refused", reference(secret, "key"));
            let refused = call::<control::CreateApiKeyCredentialProvider>(&admin, input).await;
            let Err(ClientError::Api(error)) = refused else {
                panic!("{secret}: {refused:?}")
            };
            assert_eq!(error.code, ErrorCode::AccessDenied, "{secret}");
            assert!(
                error.message.starts_with("Access denied when retrieving secret"),
                "{}",
                error.message
            );
        }
        for json_key in ["other", "key"] {
            let input = external_key("refused", reference("partners/number", json_key));
            let refused = call::<control::CreateApiKeyCredentialProvider>(&admin, input).await;
            assert_eq!(code(refused), ErrorCode::Validation, "{json_key}");
        }
        let other = world.client(&world.other_admin);
        let input = external_key("refused", reference("partners/number", "key"));
        let refused = call::<control::CreateApiKeyCredentialProvider>(&other, input).await;
        assert_eq!(code(refused), ErrorCode::AccessDenied, "another account's list");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_client_secret_is_read_again_once_when_the_provider_refuses_the_old_one() {
    let manager = SecretsManager::start();
    manager.create("partners/as", &json!({"secret": "old"})).await;
    let server = MockServer::start().await;
    // Accepts the new secret alone: `client:new` in Basic.
    let answer = |request: &Request| {
        let basic = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if basic == Some("Basic Y2xpZW50Om5ldw==") {
            let token = json!({"access_token": "m2m", "token_type": "Bearer", "expires_in": 3600});
            ResponseTemplate::new(200).set_body_json(token)
        } else {
            ResponseTemplate::new(401).set_body_json(json!({"error": "invalid_client"}))
        }
    };
    let token = Mock::given(method("POST"))
        .and(path("/token"))
        .and(header_exists("authorization"));
    token.respond_with(answer).mount(&server).await;
    let configure = |config: &mut Config| {
        manager.configure(config);
        config
            .outbound_allow
            .push(server.address().to_string().parse().expect("host and port"));
    };
    for world in Box::pin(worlds_with(configure)).await {
        manager.rotate("partners/as", &json!({"secret": "old"})).await;
        let admin = world.admin();
        let metadata = AuthorizationServerMetadata {
            issuer: server.uri(),
            authorization_endpoint: format!("{}/authorize", server.uri()),
            token_endpoint: format!("{}/token", server.uri()),
            response_types: None,
            token_endpoint_auth_methods: None,
        };
        let mut config = custom(Oauth2Discovery::AuthorizationServerMetadata(metadata));
        if let Oauth2ProviderConfigInput::Custom(custom) = &mut config {
            custom.client_secret = None;
            custom.client_secret_source = Some(SecretSource::External);
            custom.client_secret_config = Some(reference("partners/as", "secret"));
        }
        let input = control::create_oauth2_credential_provider::Input {
            name: "rotating".to_owned(),
            credential_provider_vendor: control::CredentialProviderVendor::CustomOauth2,
            oauth2_provider_config_input: config,
            tags: None,
        };
        let made = call::<control::CreateOauth2CredentialProvider>(&admin, input)
            .await
            .expect("created");
        assert_eq!(made.client_secret_source, Some(SecretSource::External));
        assert_eq!(made.client_secret_json_key.as_deref(), Some("secret"));
        manager.rotate("partners/as", &json!({"secret": "new"})).await;
        // Old enough to be read again on refusal, and young enough to be used first.
        world.clock.advance(Duration::from_mins(1));
        let before = server.received_requests().await.expect("recorded").len();
        let input = data::get_resource_oauth2_token::Input {
            workload_identity_token: wat(&world).await,
            resource_credential_provider_name: "rotating".to_owned(),
            oauth2_flow: data::Oauth2Flow::M2m,
            ..Default::default()
        };
        let output = call::<data::GetResourceOauth2Token>(&admin, input)
            .await
            .expect("a token");
        assert_eq!(output.access_token, Some(Sensitive::from("m2m")));
        let after = server.received_requests().await.expect("recorded").len();
        assert_eq!(after - before, 2, "refused once, then accepted");
        world.close().await;
    }
}
