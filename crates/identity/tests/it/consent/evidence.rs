//! What the trail answers about a flow that happened: reports, the stream for collectors, the binding page's refusals.

use http::StatusCode;
use serde_json::{Value, json};

use super::System;

#[tokio::test]
async fn a_report_of_a_flow_names_token_scopes_account_and_revocation() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    alice.connects(pending.link()).await;
    let wat = agent.wat(&alice).await;
    let token = agent.polls(&wat, pending.session_uri()).await;
    assert!(token.token().is_some(), "{token:?}");

    let report = system
        .admin("GetAuditReport", json!({"workloadName": "agent"}))
        .await["report"]
        .take();
    assert_eq!(report["releases"].as_array().map(Vec::len), Some(1), "{report}");
    let release = report["releases"][0].clone();
    assert_eq!(release["workload"], "agent");
    assert_eq!(release["flow"], "USER_FEDERATION");
    assert_eq!(release["scopes"], token.body["grantedScopes"], "{release}");
    assert_eq!(release["account"]["state"], "known", "{release}");
    assert_eq!(release["validity"]["state"], "valid", "{release}");
    assert_eq!(release["revocation"], Value::Null);
    // The same by person, by provider and by grant; nothing for another.
    let grant = release["grant"].clone();
    for asked in [
        json!({"user": alice.published_id()}),
        json!({"credentialProviderName": release["provider"]}),
        json!({"grantId": grant}),
    ] {
        let found = system.admin("GetAuditReport", asked.clone()).await;
        assert_eq!(
            found["report"]["releases"][0]["record"], release["record"],
            "{asked}"
        );
    }
    for asked in [
        json!({"user": system.person("bob").published_id()}),
        json!({"workloadName": "other"}),
        json!({"from": 0, "to": 1}),
    ] {
        let found = system.admin("GetAuditReport", asked.clone()).await;
        assert_eq!(found["report"]["releases"], json!([]), "{asked}");
    }
    // A table cannot say itself that it has not all.
    let again = agent.polls(&wat, pending.session_uri()).await;
    assert!(again.token().is_some(), "{again:?}");
    for (most, truncated) in [(1, true), (1000, false)] {
        let table = system
            .admin("GetAuditReport", json!({"format": "csv", "maxResults": most}))
            .await;
        assert_eq!(table["truncated"], truncated, "{table}");
    }
    let page = system
        .admin("GetAuditReport", json!({"grantId": grant, "format": "html"}))
        .await;
    assert!(
        page["report"]
            .as_str()
            .is_some_and(|page| page.contains("<!doctype html>")),
        "{page}"
    );
    // Who asked, and about what, is on record.
    let asked = system.last_record("GetAuditReport").await;
    assert_eq!(
        (&asked["grant"], &asked["detail"]["releases"]),
        (&grant, &json!(2))
    );

    let bad = system
        .call(
            &system.admin,
            "/countersign/GetAuditReport",
            &json!({"from": 5, "to": 5}),
        )
        .await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let refused = system
        .call(&system.agent, "/countersign/GetAuditReport", &json!({}))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "an agent reads no report");
}

#[tokio::test]
async fn a_collector_gets_every_record_once_in_the_form_it_asks_for() {
    let system = System::start().await;
    system.assert_nothing_happened().await;
    let first = system
        .admin("ExportAuditRecords", json!({"format": "ocsf", "maxResults": 2}))
        .await;
    let cursor = first["cursor"].as_str().expect("a cursor").to_owned();
    for record in first["records"].as_array().expect("records") {
        assert_eq!(record["metadata"]["version"], "1.5.0");
    }
    let next = system
        .admin("ExportAuditRecords", json!({"cursor": cursor}))
        .await;
    let again = system
        .admin("ExportAuditRecords", json!({"cursor": cursor}))
        .await;
    let ids = |page: &Value| -> Vec<String> {
        let records = page["records"].as_array().expect("records").iter();
        records
            .map(|record| record["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert!(ids(&again).starts_with(&ids(&next)), "a cursor stays good");
    let bad = system
        .call(
            &system.admin,
            "/countersign/ExportAuditRecords",
            &json!({"cursor": "0.x.1"}),
        )
        .await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(bad.error().0, "ValidationException");
    let refused = system
        .call(&system.agent, "/countersign/ExportAuditRecords", &json!({}))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_the_binding_page_refuses_is_on_the_chain_under_its_own_reason() {
    let system = System::start().await;
    let alice = system.person("alice");
    let body = json!({
        "reason": "invalid_csrf_token", "pageRequestId": "019c-1", "suppressed": 7,
        "userIdentifier": {"userToken": alice.token("binding")},
    });
    let path = "/countersign/RecordBindingRefusal";
    let recorded = system.call(&system.binding, path, &body).await;
    assert_eq!(recorded.status, StatusCode::OK, "{recorded:?}");
    let record = system.last_record("RecordBindingRefusal").await;
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (&json!("refused"), &json!("invalid_csrf_token"))
    );
    assert_eq!(
        record["detail"],
        json!({"pageRequestId": "019c-1", "suppressed": 7})
    );
    assert!(
        record["person"].is_string() && record["sid"].is_string(),
        "{record}"
    );

    // Nobody can be named whom no token proves, and nobody else may write such records.
    let mut other = body.clone();
    other["userIdentifier"]["userToken"] = alice.token("agent").into();
    assert_eq!(
        system.call(&system.binding, path, &other).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        system.call(&system.agent, path, &body).await.status,
        StatusCode::FORBIDDEN
    );
    other["reason"] = "made_up".into();
    assert_eq!(
        system.call(&system.binding, path, &other).await.status,
        StatusCode::BAD_REQUEST
    );
}
