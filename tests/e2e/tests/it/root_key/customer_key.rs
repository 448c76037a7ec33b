//! `SetTokenVaultCMK` and `ResetTokenVaultKeyMaterial` against moto's KMS, which is disabled, throttled and lost.

use std::time::{Duration, Instant};

use axum::{Router, http::StatusCode, response::IntoResponse as _};
use e2e::{
    oidc_provider::{OidcProvider, free_port},
    replicas::Caller,
    served::Served,
    switch::Switch,
};
use serde_json::{Value, json};

use super::{KEY_ID, Kms, Role, SECRET, end};

const ACCOUNT: &str = "000000000000";
/// Long, so that nothing is refreshed behind the test's back.
const LIFETIME: u32 = 3600;

/// KMS as it answers whoever asks too often.
async fn throttling() -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let refuse = || async {
        let body = r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#;
        let kind = [("content-type", "application/x-amz-json-1.1")];
        (StatusCode::BAD_REQUEST, kind, body).into_response()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse)).await });
    port
}

struct Vault<'a> {
    role: Role<'a>,
    caller: Caller,
    keys: String,
    outbound: String,
}

impl Vault<'_> {
    fn config(&self) -> String {
        let more = format!(
            "{}\ncustomer_key_check_seconds = 1\n[identity.database]",
            self.outbound
        );
        self.role.config(&self.keys).replace("[identity.database]", &more)
    }

    fn start(&self) -> Served {
        let through = self.role.kms.through();
        let through: Vec<&str> = through.iter().map(String::as_str).collect();
        let directory = tempfile::tempdir().expect("a directory");
        Served::start_in(directory, "identity", &self.config(), &through)
    }

    /// `SetTokenVaultCMK`: status, and what was answered.
    async fn set(&self, arn: Option<&str>) -> (u16, Value) {
        let configuration = match arn {
            Some(arn) => json!({"keyType": "CustomerManagedKey", "kmsKeyArn": arn}),
            None => json!({"keyType": "ServiceManagedKey"}),
        };
        let body = json!({"tokenVaultId": "default", "kmsConfiguration": configuration});
        self.call("/identities/set-token-vault-cmk", body).await
    }

    async fn reset(&self) -> (u16, Value) {
        let body = json!({"tokenVaultId": "default"});
        self.call("/identities/reset-token-vault-key-material", body)
            .await
    }

    /// The key that `GetTokenVault` names.
    async fn key(&self) -> Option<String> {
        let vault = self.caller.must("/identities/get-token-vault", json!({})).await;
        let arn = vault["kmsConfiguration"]["kmsKeyArn"].as_str();
        assert_eq!(
            vault["kmsConfiguration"]["keyType"] == "CustomerManagedKey",
            arn.is_some(),
            "{vault}"
        );
        arn.map(str::to_owned)
    }

    async fn call(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.caller.call(0, path, &body).await.expect("an answer");
        (answer.status.as_u16(), answer.body)
    }

    async fn token(&self, wat: &Value) -> (u16, Value) {
        let answer = self.caller.token(0, wat).await.expect("an answer");
        (answer.status.as_u16(), answer.body)
    }

    async fn api_key(&self, wat: &Value) -> Value {
        let body = json!({"workloadIdentityToken": wat, "resourceCredentialProviderName": "weather"});
        self.caller.must("/identities/api-key", body).await["apiKey"].take()
    }

    /// The token's answer, once it has this status.
    async fn token_is(&self, wat: &Value, status: u16) -> Value {
        let began = Instant::now();
        loop {
            let (is, body) = self.token(wat).await;
            if is == status {
                return body;
            }
            assert!(began.elapsed() < Duration::from_mins(1), "{is} {body}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn refused((status, body): (u16, Value), words: &str) {
    assert_eq!(status, 400, "{body}");
    let told = body.to_string();
    assert!(told.contains(words), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_goes_under_a_customers_key_and_is_emptied_only_when_that_key_is_lost() {
    let moto = Kms::start();
    let (first, second, foreign) = (
        moto.create_key().await,
        moto.create_key().await,
        moto.create_key().await,
    );
    let moto_port = moto
        .endpoint
        .rsplit(':')
        .next()
        .expect("a port")
        .parse()
        .expect("a number");
    let switch = Switch::start(moto_port);
    let kms = Kms::at(switch.port);
    let directory = tempfile::tempdir().expect("a directory");
    let role = Role {
        kms: &kms,
        directory: directory.path(),
        api: free_port(),
        front: free_port(),
        operations: free_port(),
    };
    let provider = free_port();
    let issuer = format!("http://127.0.0.1:{provider}");
    let _provider = OidcProvider::start_rotating(provider, &issuer, LIFETIME);
    let file = directory.path().join("identity.key").display().to_string();
    let vault = Vault {
        caller: Caller::of(vec![role.api], KEY_ID, SECRET),
        keys: format!(
            "identity = \"{file}\"\n[[keys.customer_managed]]\naccount = \"{ACCOUNT}\"\n\
             key_arns = [\"{first}\", \"{second}\"]"
        ),
        outbound: format!("outbound_allow = [\"127.0.0.1:{provider}\"]"),
        role,
    };

    let served = vault.start();
    vault.caller.registers(&issuer).await;
    let api_key = json!({"name": "weather", "apiKey": "key of the weather"});
    vault
        .caller
        .must("/identities/CreateApiKeyCredentialProvider", api_key)
        .await;
    let wat = vault.caller.wat("alice").await;
    let connected = vault.caller.connects("alice", &wat).await;
    let grant = connected["grantId"].clone();
    refused(vault.set(Some(&foreign)).await, "customer_managed");
    refused(vault.reset().await, "not lost");
    assert_eq!(vault.key().await, None);

    under_the_customers_key(&vault, &moto, &first, &wat, &grant).await;
    throttled(&vault, &switch, moto_port, &second, &wat).await;

    // Back to the installation's key, and nothing asks KMS any more.
    assert_eq!(vault.set(None).await.0, 200);
    assert_eq!(vault.key().await, None);
    refused(vault.reset().await, "not lost");
    assert_eq!(vault.set(Some(&second)).await.0, 200);
    end(served);
    let served = vault.start();
    assert_eq!(vault.token_is(&wat, 200).await["grantId"], grant);

    // moto forgets everything: the key is gone. A server starts all the same, and serves what it can.
    let forget = reqwest::Client::new().post(format!("{}/moto-api/reset", moto.endpoint));
    assert!(forget.send().await.expect("moto answers").status().is_success());
    vault.token_is(&wat, 503).await;
    end(served);
    let served = vault.start();
    assert_eq!(vault.token(&wat).await.0, 503);
    refused(vault.set(None).await, "does not exist any more");
    assert_eq!(vault.api_key(&wat).await, "key of the weather");
    lost(&vault, &wat, &grant).await;
    end(served);
}

/// Rows stay as they are, a disabled key closes the vault and nothing else, and opens it again.
async fn under_the_customers_key(vault: &Vault<'_>, moto: &Kms, first: &str, wat: &Value, grant: &Value) {
    let (status, set) = vault.set(Some(first)).await;
    assert_eq!(
        (status, &set["kmsConfiguration"]["kmsKeyArn"]),
        (200, &json!(first))
    );
    assert_eq!(vault.key().await.as_deref(), Some(first));
    assert_eq!(vault.token(wat).await.1["grantId"], *grant, "as before");
    vault.role.works(&["key", "rotate", "vault", "--wait"]);
    assert_eq!(vault.token(wat).await.1["grantId"], *grant, "rotated under it");
    refused(vault.reset().await, "not lost");

    let (_, id) = first.split_once('/').expect("an id");
    moto.ask("DisableKey", json!({"KeyId": id})).await;
    vault.token_is(wat, 503).await;
    refused(vault.reset().await, "exists and refuses");
    refused(vault.set(None).await, "exists and refuses");
    assert!(vault.role.works(&["workload", "list"]).contains("agent"));
    let grant_id = grant.as_str().expect("an id");
    assert!(
        vault.role.works(&["grant", "list"]).contains(grant_id),
        "whose account it is there is hidden, and nothing else"
    );
    assert_eq!(vault.api_key(wat).await, "key of the weather");
    moto.ask("EnableKey", json!({"KeyId": id})).await;
    let again = vault.token_is(wat, 200).await;
    assert_eq!(again["grantId"], *grant, "nothing is lost");
}

/// A KMS that throttles changes nothing and stops nothing.
async fn throttled(vault: &Vault<'_>, switch: &Switch, moto: u16, second: &str, wat: &Value) {
    let before = vault.key().await;
    switch.to(throttling().await);
    let (status, answer) = vault.set(Some(second)).await;
    assert_eq!(status, 503, "{answer}");
    let rotated = vault.role.command(&["key", "rotate", "vault"]);
    assert!(
        rotated.code == 1 && rotated.stderr.contains("ServiceUnavailable"),
        "{}",
        rotated.stderr
    );
    assert_eq!(vault.key().await, before);
    assert_eq!(vault.token(wat).await.0, 200, "the vault stays open");
    switch.to(moto);
    assert_eq!(vault.set(Some(second)).await.0, 200);
    assert_eq!(vault.key().await.as_deref(), Some(second));
    assert_eq!(vault.token(wat).await.0, 200);
}

/// A new key: connections need consent again, providers stay, and all of it is on record.
async fn lost(vault: &Vault<'_>, wat: &Value, grant: &Value) {
    let (status, reset) = vault.reset().await;
    assert_eq!(status, 200, "{reset}");
    assert_eq!(reset["kmsConfiguration"]["keyType"], "ServiceManagedKey");
    let shown = vault
        .role
        .works(&["grant", "show", grant.as_str().expect("an id")]);
    assert!(
        shown.contains("NEEDS_CONSENT") && shown.contains("key_material_reset"),
        "{shown}"
    );
    let pending = vault.token_is(wat, 200).await;
    assert!(pending["authorizationUrl"].is_string(), "{pending}");
    assert_eq!(vault.api_key(wat).await, "key of the weather");
    let again = vault.caller.connects("alice", wat).await;
    assert_ne!(again["grantId"], *grant);
    refused(vault.reset().await, "not lost");
    let (status, set) = vault.set(None).await;
    assert_eq!(status, 200, "what the lost key wrapped is in nobody's way: {set}");
    let records = vault.role.works(&["audit", "tail", "--output", "json"]);
    for action in ["SetTokenVaultCMK", "ResetTokenVaultKeyMaterial"] {
        assert!(records.contains(action), "{records}");
    }
    let config = vault.role.directory.join("config.toml");
    std::fs::write(&config, vault.config()).expect("written");
    let config = config.display().to_string();
    vault.role.works(&["audit", "verify", "--config", &config]);
    let doctor = vault.role.works(&["doctor", "--deep", "--config", &config]);
    assert!(!doctor.contains("error:"), "{doctor}");
}
