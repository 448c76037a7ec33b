//! Attack rows C3 and C8: what a policy names, and whose account it is.

use axum::body::Body;
use countersign_api::Credentials;
use http::header::ORIGIN;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Ask, FRONT, OTHER_GATEWAY, Person, System, assert_invalid_session, credentials, text};
use countersign_identity::AccessKey;

const OTHER: &str = "111111111111";
const OTHER_SECRET: &str = "the secret of the other account's admin";

fn other_admin() -> Credentials {
    credentials(&AccessKey {
        access_key_id: "AKIAOTHERACCOUNT0000".to_owned(),
        secret_access_key: OTHER_SECRET.to_owned().into(),
    })
}

fn other_account() -> Value {
    let admin = json!({"access_key_id": "AKIAOTHERACCOUNT0000", "secret_access_key": OTHER_SECRET});
    json!([{"id": OTHER, "initial_admin": admin}])
}

/// The same workload and provider names in the other account.
async fn the_same_names(system: &System, other: &Credentials) {
    let workload = json!({"name": "agent", "allowedResourceOauth2ReturnUrls": [super::RETURN_URL]});
    for (path, body) in [
        ("/identities/CreateWorkloadIdentity", workload),
        (
            "/identities/CreateOauth2CredentialProvider",
            system.provider_config("vendor", "client"),
        ),
    ] {
        let made = system.call(other, path, &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{path}");
    }
}

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
    let system = System::start_with(json!({"other_accounts": other_account()})).await;
    let other = other_admin();
    let (alice, agent) = (system.person("alice"), system.workload("agent"));

    // And a principal that may do everything there.
    the_same_names(&system, &other).await;

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

/// One that says of its people what it likes: their issuer, their subject and their groups.
fn through_the_other_gateway<'s>(system: &'s System, subject: &str) -> Person<'s> {
    let mut person = system.person(subject);
    person.gateway = OTHER_GATEWAY;
    person.groups.push("platform");
    person
}

/// The connections that the list shows.
async fn connections(person: &Person<'_>) -> Vec<String> {
    let page = person.opens("/connections").await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let links = page.body.split("href=\"").skip(1);
    links
        .filter_map(|rest| rest.split_once('"'))
        .map(|(href, _)| href.to_owned())
        .filter(|href| href.starts_with("/connections/") && !href.ends_with("/records"))
        .collect()
}

#[tokio::test]
async fn a_gateway_serves_the_pages_of_its_own_account_alone() {
    let members = json!({"other_accounts": other_account(), "console": {"admins": ["platform"]}});
    let system = System::start_with(members)
        .await
        .restarted_with(|config| config.gateways[1].account = Some(OTHER.to_owned()))
        .await;
    let other = other_admin();
    the_same_names(&system, &other).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let ours = connections(&alice).await.remove(0);
    let again = Ask {
        force: true,
        ..Ask::default()
    };
    let pending = agent.asks(&agent.wat(&alice).await, &again).await;

    // Neither our console, nor the link of our agent, nor what our person has connected.
    let claimed = through_the_other_gateway(&system, "alice");
    let console = claimed.opens("/console").await;
    assert_eq!(console.status, StatusCode::FORBIDDEN, "{console:?}");
    system
        .assert_recorded("OpenConsole", "refused", "other_account")
        .await;
    let start = claimed.opens(pending.link()).await;
    assert_eq!(start.status, StatusCode::FORBIDDEN, "{start:?}");
    system
        .assert_recorded("StartAuthorization", "refused", "wrong_person")
        .await;
    assert_eq!(connections(&claimed).await, Vec::<String>::new());
    let records = claimed.opens("/connections/records").await;
    let records: Value = serde_json::from_str(&records.body).expect("JSON");
    assert_eq!(records["connections"], json!([]));
    assert_eq!(claimed.opens(&ours).await.status, StatusCode::NOT_FOUND);
    let form = alice.opens(&ours).await.hidden("csrf_token");
    *claimed.cookies.lock().expect("not poisoned") = alice.cookies.lock().expect("not poisoned").clone();
    let request = claimed
        .request(Method::POST, &format!("{ours}/disconnect"))
        .header("x-countersign-user-token", claimed.token("identity"))
        .header(ORIGIN, FRONT)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf_token={form}")));
    let cut = claimed.send(request.expect("a request")).await;
    assert_eq!(cut.status, StatusCode::NOT_FOUND, "{cut:?}");
    assert_eq!(system.grants().await[0]["state"], "ACTIVE");

    // In their own account they are who their gateway says, and ours is nobody.
    let mut theirs = system.workload("agent");
    theirs.credentials = other.clone();
    let minted = json!({"workloadName": "agent", "userId": alice.published_id()});
    let minted = system
        .call(&other, "/identities/GetWorkloadAccessTokenForUserId", &minted)
        .await;
    let wat = text(&minted.body["workloadAccessToken"]);
    let pending = theirs.asks(wat, &Ask::default()).await;
    assert_eq!(alice.opens(pending.link()).await.status, StatusCode::FORBIDDEN);
    let handle = claimed.consents(pending.link()).await;
    let completion = json!({"sessionUri": handle, "userIdentifier": {"userId": alice.published_id()}});
    let done = system
        .call(&other, "/identities/CompleteResourceTokenAuth", &completion)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let (theirs, mine) = (connections(&claimed).await, connections(&alice).await);
    assert_eq!((theirs.len(), mine), (1, vec![ours]));
}
