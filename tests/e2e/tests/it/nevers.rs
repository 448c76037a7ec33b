//! What each role may never do (design chapter 2), tried with its own credentials against the running system, and
//! explained by `countersign policy simulate`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_api::{Credentials, sigv4};
use e2e::{
    System,
    cli::{Ran, countersign},
};
use reqwest::header::{CONTENT_TYPE, HOST};
use serde_json::{Value, json};

/// Whose credentials sign: the first part of the variables that name them.
const ADMIN: &str = "AWS";
const AGENT: &str = "COUNTERSIGN_AGENT";
const BINDING: &str = "COUNTERSIGN_BINDING";

/// A signed call of the identity API: status and answer.
async fn call(system: &System, caller: &str, path: &str, body: &Value) -> (u16, Value) {
    let variable = |name: &str| system.variable(&format!("{caller}_{name}")).to_owned();
    let credentials = Credentials {
        access_key_id: variable("ACCESS_KEY_ID"),
        secret_access_key: variable("SECRET_ACCESS_KEY").into(),
        session_token: None,
    };
    let url = system.url(1, path);
    let mut request = http::Request::post(url.as_str())
        .header(HOST, format!("localhost:{}", system.port_base + 1))
        .header(CONTENT_TYPE, "application/json")
        .body(bytes::Bytes::from(body.to_string()))
        .expect("a request");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_secs()).expect("before 2262");
    sigv4::sign(&credentials, "us-east-1", "bedrock-agentcore", &mut request, now).expect("signed");
    let (parts, body) = request.into_parts();
    let answer = reqwest::Client::new()
        .post(url)
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

async fn denied(system: &System, caller: &str, path: &str, body: Value) {
    let (status, answer) = call(system, caller, path, &body).await;
    assert_eq!(status, 403, "{caller} {path}: {answer}");
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("no identity-based policy allows"),
        "{caller} {path}: {answer}"
    );
}

/// What `policy simulate` says of `principal` and `action`.
fn simulate(system: &System, principal: &str, action: &str) -> String {
    let workload = system.variable("COUNTERSIGN_WORKLOAD");
    let provider = system.variable("COUNTERSIGN_PROVIDER");
    let ran = admin(
        system,
        &[
            "policy",
            "simulate",
            principal,
            action,
            "--workload",
            workload,
            "--provider",
            provider,
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

fn admin(system: &System, arguments: &[&str]) -> Ran {
    let environment: &BTreeMap<String, String> = system.environment();
    countersign(arguments, environment)
}

/// That the explanation sets what was asked for against what the policy allows.
fn assert_explained(said: &str, action: &str) {
    assert!(said.starts_with("denied"), "{said}");
    assert!(said.contains("    Action fails\n"), "{said}");
    assert!(
        said.contains(&format!("      the request has  {action}\n")),
        "{said}"
    );
}

#[tokio::test]
async fn the_agent_never_completes_a_binding() {
    let system = System::start();
    let body = json!({
        "sessionUri": format!("urn:ietf:params:oauth:request_uri:{}", "A".repeat(48)),
        "userIdentifier": { "userId": "alice" },
    });
    denied(&system, AGENT, "/identities/CompleteResourceTokenAuth", body).await;
    let action = "bedrock-agentcore:CompleteResourceTokenAuth";
    assert_explained(&simulate(&system, "dev-agent", action), action);
}

#[tokio::test]
async fn the_binding_service_never_gets_a_workload_access_token() {
    let system = System::start();
    let workload = system.variable("COUNTERSIGN_WORKLOAD");
    for (operation, body) in [
        ("GetWorkloadAccessToken", json!({ "workloadName": workload })),
        (
            "GetWorkloadAccessTokenForUserId",
            json!({ "workloadName": workload, "userId": "alice" }),
        ),
    ] {
        denied(&system, BINDING, &format!("/identities/{operation}"), body).await;
    }
    for operation in ["", "ForUserId", "ForJWT"] {
        let action = format!("bedrock-agentcore:GetWorkloadAccessToken{operation}");
        assert_explained(&simulate(&system, "dev-binding", &action), &action);
    }
}

#[tokio::test]
async fn the_binding_service_never_gets_a_resource_token() {
    let system = System::start();
    // Even with the very token that an agent was given.
    let input = json!({ "workloadName": system.variable("COUNTERSIGN_WORKLOAD"), "userId": "alice" });
    let (status, answer) = call(
        &system,
        ADMIN,
        "/identities/GetWorkloadAccessTokenForUserId",
        &input,
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let stolen = answer["workloadAccessToken"].as_str().expect("a token");
    let body = json!({
        "workloadIdentityToken": stolen,
        "resourceCredentialProviderName": system.variable("COUNTERSIGN_PROVIDER"),
        "scopes": ["issues:read"],
        "oauth2Flow": "USER_FEDERATION",
        "resourceOauth2ReturnUrl": system.account("/oauth2/session-binding"),
    });
    let (status, answer) = call(&system, AGENT, "/identities/oauth2/token", &body).await;
    assert_eq!(status, 200, "the agent's own use of it works: {answer}");
    denied(&system, BINDING, "/identities/oauth2/token", body).await;
    for action in [
        "bedrock-agentcore:GetResourceOauth2Token",
        "bedrock-agentcore:GetResourceApiKey",
    ] {
        assert_explained(&simulate(&system, "dev-binding", action), action);
    }
}

#[tokio::test]
async fn a_policy_that_joins_asking_with_completing_is_refused_without_break_glass() {
    let system = System::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.json");
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock-agentcore:*","Resource":"*"}]}"#;
    std::fs::write(&file, document).expect("written");
    let file = file.to_str().expect("text");
    let update = |more: &[&str]| {
        let arguments = [&["policy", "update", "dev-agent", "--file", file], more].concat();
        admin(&system, &arguments)
    };
    let refused = update(&[]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("break"), "{}", refused.stderr);
    let kept = simulate(
        &system,
        "dev-agent",
        "bedrock-agentcore:CompleteResourceTokenAuth",
    );
    assert!(kept.starts_with("denied"), "a refusal changes nothing: {kept}");
    let meant = update(&["--break-glass"]);
    assert_eq!(meant.code, 0, "{}", meant.stderr);
}

#[tokio::test]
async fn a_policy_document_that_says_one_thing_twice_is_refused() {
    let system = System::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.json");
    std::fs::write(&file, r#"{"Version":"2012-10-17","Statement":[],"Statement":[]}"#).expect("written");
    let ran = admin(
        &system,
        &[
            "policy",
            "update",
            "dev-agent",
            "--file",
            file.to_str().expect("text"),
        ],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("repeated"), "{}", ran.stderr);
}
