//! A policy that caps scopes caps what reaches the provider, however a request writes it.

use http::StatusCode;
use serde_json::{Value, json};

use super::actors::Ask;
use super::{Answer, System, Workload};

/// The recipe of the documentation, which permits `issues:read`.
fn recipe() -> Value {
    let page = include_str!("../../../../../docs/policies.md");
    let (_, section) = page
        .split_once("## Capping what a workload may ask for")
        .expect("the section");
    let (_, from) = section.split_once("```json").expect("a document");
    serde_json::from_str(from.split_once("```").expect("its end").0).expect("JSON")
}

/// Everything but the scope `admin`.
fn without_admin() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock-agentcore:GetResourceOauth2Token", "Resource": "*"},
        {"Effect": "Deny", "Action": "bedrock-agentcore:GetResourceOauth2Token", "Resource": "*",
         "Condition": {"ForAnyValue:StringEquals": {"countersign:scopes": "admin"}}},
    ]})
}

/// Every scope below `issues:`.
fn issues() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock-agentcore:GetResourceOauth2Token", "Resource": "*",
         "Condition": {"ForAllValues:StringLike": {"countersign:scopes": "issues:*"}}},
    ]})
}

/// What each of the three policies answers to each request for a token of alice's.
async fn assert_refused(requests: &[(&[&'static str], Value)], permitted: &[(&[&'static str], Value)]) {
    let system = System::start().await;
    let alice = system.person("alice");
    let wat = system.workload("agent").wat(&alice).await;
    for (name, document) in [
        ("recipe", recipe()),
        ("without-admin", without_admin()),
        ("issues", issues()),
    ] {
        let capped = Workload {
            credentials: system.principal_with(name, &document).await,
            ..system.workload("agent")
        };
        for (expected, requests) in [(StatusCode::FORBIDDEN, requests), (StatusCode::OK, permitted)] {
            for (scopes, custom_parameters) in requests {
                let ask = Ask {
                    scopes: scopes.to_vec(),
                    more: json!({ "customParameters": custom_parameters }),
                    ..Ask::default()
                };
                let answer: Answer = capped.asks(&wat, &ask).await;
                assert_eq!(
                    answer.status, expected,
                    "{name}: {scopes:?} {custom_parameters}: {answer:?}"
                );
            }
        }
    }
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn a_scope_behind_a_space_is_a_scope() {
    let refused: &[(&[&str], Value)] = &[
        (&["issues:read admin"], json!({})),
        (&["issues:read\tadmin"], json!({})),
        // No space to RFC 6749, and one to many a server.
        (&["issues:read\u{a0}admin"], json!({})),
        (&["issues:read\u{b}admin"], json!({})),
    ];
    assert_refused(refused, &[(&["issues:read issues:read"], json!({}))]).await;
}

/// Slack and Facebook separate by commas, GitHub and Reddit take them too.
#[tokio::test]
async fn a_scope_behind_a_comma_is_a_scope() {
    let refused: &[(&[&str], Value)] = &[
        (&["issues:read,admin"], json!({})),
        (&["admin,issues:read", "issues:read"], json!({})),
    ];
    assert_refused(refused, &[(&["issues:read"], json!({}))]).await;
}

#[tokio::test]
async fn a_scope_in_a_custom_parameter_is_a_scope() {
    let mut refused: Vec<(&[&str], Value)> = Vec::new();
    for name in [
        "user_scope",
        "optional_scope",
        "Optional_Scope",
        "connection_scope",
    ] {
        refused.push((&["issues:read"], json!({name: "admin"})));
        refused.push((&["issues:read"], json!({name: "issues:read admin"})));
        refused.push((&["issues:read"], json!({name: "issues:read,admin"})));
    }
    let details = r#"[{"type":"repository","actions":["admin"]}]"#;
    refused.push((&["issues:read"], json!({"authorization_details": details})));
    let permitted = json!({"user_scope": "issues:read", "prompt": "admin"});
    assert_refused(&refused, &[(&["issues:read"], permitted)]).await;
}

/// `ForAllValues` holds of no scope at all, and a request for none is answered by any grant.
#[tokio::test]
async fn the_documented_cap_refuses_a_request_for_no_scope() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let wide = Ask {
        scopes: vec!["issues:read", "admin"],
        ..Ask::default()
    };
    alice.connects(agent.asks(&wat, &wide).await.link()).await;
    let none = Ask {
        scopes: Vec::new(),
        ..Ask::default()
    };
    assert!(
        agent.asks(&wat, &none).await.token().is_some(),
        "a wider grant answers"
    );
    let capped = Workload {
        credentials: system.principal_with("capped", &recipe()).await,
        ..system.workload("agent")
    };
    let answer = capped.asks(&wat, &none).await;
    assert_eq!(
        (answer.status, answer.token()),
        (StatusCode::FORBIDDEN, None),
        "{answer:?}"
    );
    system
        .assert_recorded("GetResourceOauth2Token", "refused", "not_authorized")
        .await;
}
