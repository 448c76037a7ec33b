//! Attack rows C3 and C8: what a policy names, and whose account it is.

use http::StatusCode;
use serde_json::json;

use super::{Ask, System, assert_invalid_session, credentials, text};
use countersign_identity::AccessKey;

#[tokio::test]
async fn c03_a_provider_serves_only_the_workloads_whose_principals_may_use_it() {
    let system = System::start().await;
    system.add_workload("other-agent").await;
    system.add_provider("theirs").await;
    let actions = [
        "bedrock-agentcore:GetWorkloadAccessTokenForJWT",
        "bedrock-agentcore:GetResourceOauth2Token",
    ];
    let mut other = system.workload("other-agent");
    other.credentials = system
        .principal("other-agent", &actions, "other-agent", "theirs")
        .await;
    let alice = system.person("alice");
    let wat = other.wat(&alice).await;
    let refused = other.asks(&wat, &Ask::default()).await;
    assert_eq!(
        (refused.status, refused.error().0),
        (StatusCode::FORBIDDEN, "AccessDeniedException")
    );
    system
        .assert_recorded("GetResourceOauth2Token", "refused", "not_authorized")
        .await;
    system.assert_nothing_happened().await;
    // A provider that does not exist is refused alike: the policy speaks first.
    let unknown = other
        .asks(
            &wat,
            &Ask {
                provider: "nothing",
                ..Ask::default()
            },
        )
        .await;
    let (code, message) = refused.error();
    let message = message.replace(
        "oauth2credentialprovider/vendor",
        "oauth2credentialprovider/nothing",
    );
    assert_eq!(unknown.error(), (code, &*message));
    let allowed = other
        .asks(
            &wat,
            &Ask {
                provider: "theirs",
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(allowed.session_status(), "IN_PROGRESS");
}

#[tokio::test]
async fn c08_an_account_cannot_complete_or_use_anothers_session() {
    const OTHER: &str = "111111111111";
    let key = AccessKey {
        access_key_id: "AKIAOTHERACCOUNT0000".to_owned(),
        secret_access_key: "the secret of the other account's admin".to_owned().into(),
    };
    let initial_admin = json!({
        "access_key_id": key.access_key_id,
        "secret_access_key": "the secret of the other account's admin",
    });
    let system =
        System::start_with(json!({"other_accounts": [{"id": OTHER, "initial_admin": initial_admin}]})).await;
    let other = credentials(&key);
    let (alice, agent) = (system.person("alice"), system.workload("agent"));

    // The same workload and provider names there, and a principal that may do everything there.
    let workload = json!({"name": "agent", "allowedResourceOauth2ReturnUrls": [super::RETURN_URL]});
    let made = system
        .call(&other, "/identities/CreateWorkloadIdentity", &workload)
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let provider = system.provider_config("vendor", "client");
    let made = system
        .call(&other, "/identities/CreateOauth2CredentialProvider", &provider)
        .await;
    assert_eq!(made.status, StatusCode::CREATED);

    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let handle = alice.consents(pending.link()).await;
    let completion = json!({"sessionUri": handle, "userIdentifier": {"userToken": alice.token("binding")}});
    assert_invalid_session(
        &system
            .call(&other, "/identities/CompleteResourceTokenAuth", &completion)
            .await,
    );
    let mut intruder = system.workload("agent");
    intruder.credentials = other.clone();
    let refused = intruder.asks(&wat, &Ask::default()).await;
    assert_eq!(
        (refused.status, refused.error().0),
        (StatusCode::UNAUTHORIZED, "UnauthorizedException")
    );
    system.assert_nothing_happened().await;

    // Not even with what names the person in both accounts alike.
    let wat_by_id = agent.wat_for_user_id("bob").await;
    let browser = system.person("bob");
    let on = browser
        .opens_anonymously(agent.asks(&wat_by_id, &Ask::default()).await.link())
        .await;
    let by_id = browser.agrees(on.location(), "bob").await.handle();
    let completion = json!({"sessionUri": by_id, "userIdentifier": {"userId": "bob"}});
    let path = "/identities/CompleteResourceTokenAuth";
    assert_invalid_session(&system.call(&other, path, &completion).await);
    system.assert_nothing_happened().await;
    let own = system.call(&system.binding, path, &completion).await;
    assert_eq!(own.status, StatusCode::OK, "it was left as it was");

    assert_eq!(
        alice.completes(&handle).await.status,
        StatusCode::OK,
        "it was left as it was"
    );
    let refused = intruder
        .mint("ForJWT", json!({"userToken": alice.token("agent")}))
        .await;
    assert_eq!(
        refused.status,
        StatusCode::UNAUTHORIZED,
        "our gateway is believed in our account alone"
    );
    let there = json!({"workloadName": "agent", "userId": alice.published_id()});
    let minted = system
        .call(&other, "/identities/GetWorkloadAccessTokenForUserId", &there)
        .await;
    let theirs = intruder
        .asks(text(&minted.body["workloadAccessToken"]), &Ask::default())
        .await;
    assert_eq!(
        (theirs.token(), theirs.session_status()),
        (None, "IN_PROGRESS"),
        "the same names, another vault"
    );
    let grants = system.call(&other, "/countersign/ListGrants", &json!({})).await;
    assert_eq!(
        grants.body["grants"],
        json!([]),
        "{}",
        text(&grants.body["message"])
    );
}
