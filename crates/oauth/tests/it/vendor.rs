use countersign_crypto::SecretString;
use countersign_oauth::userinfo::{UserinfoError, fetch};
use countersign_oauth::vendor::{Dialect, account_identity, vendor};
use countersign_oauth::{
    AccountIdentity, ClientAuthentication, IdTokenClaims, ServerMetadata, TokenEndpoint, TokenSet,
};
use serde_json::{Value, json};
use wiremock::matchers::{body_string, header, method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::World;

async fn serve(world: &World, body: &Value) {
    Mock::given(path("/userinfo"))
        .and(header("authorization", "Bearer access"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&world.server)
        .await;
}

fn claims(value: &Value) -> IdTokenClaims {
    IdTokenClaims {
        issuer: "https://as.example".into(),
        subject: value["sub"].as_str().expect("a subject").into(),
        auth_time: None,
        expires_at: countersign_crypto::Timestamp::from_secs(0),
        claims: value.as_object().expect("an object").clone(),
    }
}

async fn identity(world: &World, id_token: Option<&IdTokenClaims>) -> Option<AccountIdentity> {
    identity_at(world, "CustomOauth2", id_token, r#"{"access_token":"access"}"#).await
}

/// The account at `/userinfo`, when the token endpoint answered `raw`.
async fn identity_at(
    world: &World,
    name: &str,
    id_token: Option<&IdTokenClaims>,
    raw: &str,
) -> Option<AccountIdentity> {
    let mut server = ServerMetadata::new("https://as.example", world.url("/a"), world.url("/t"));
    server.userinfo_endpoint = Some(world.url("/userinfo"));
    let endpoint = TokenEndpoint {
        client: &world.client,
        url: &server.token_endpoint,
        client_id: "client",
        authentication: &ClientAuthentication::Post("secret".into()),
        dialect: &Dialect::STANDARD,
    };
    let tokens = TokenSet {
        access_token: "access".into(),
        refresh_token: None,
        id_token: None,
        token_type: "Bearer".into(),
        expires_in: None,
        scope: None,
        raw: raw.into(),
    };
    account_identity(
        vendor(name).expect("known"),
        &endpoint,
        &server,
        id_token,
        &tokens,
    )
    .await
}

#[tokio::test]
async fn the_account_comes_from_the_id_token_or_from_userinfo() {
    let named = claims(&json!({ "sub": "7", "preferred_username": "alice" }));
    let silent = claims(&json!({ "sub": "7" }));
    let account = |name: Option<&str>| {
        Some(AccountIdentity {
            id: "7".into(),
            name: name.map(str::to_owned),
            scopes: None,
        })
    };

    let unreachable = World::new().await;
    assert_eq!(identity(&unreachable, Some(&named)).await, account(Some("alice")));
    assert_eq!(identity(&unreachable, Some(&silent)).await, account(None));
    assert_eq!(identity(&unreachable, None).await, None);

    let world = World::new().await;
    serve(&world, &json!({ "sub": "7", "email": "alice@example.com" })).await;
    assert_eq!(identity(&world, None).await, account(Some("alice@example.com")));
    assert_eq!(
        identity(&world, Some(&silent)).await,
        account(Some("alice@example.com"))
    );
}

#[tokio::test]
async fn userinfo_about_somebody_else_is_refused() {
    let world = World::new().await;
    serve(&world, &json!({ "sub": "8", "name": "Mallory" })).await;
    let access_token = SecretString::from("access");
    let url = world.url("/userinfo");
    assert_eq!(
        fetch(&world.client, &url, &access_token, Some("7")).await,
        Err(UserinfoError::Subject)
    );
    let silent = claims(&json!({ "sub": "7" }));
    let account = identity(&world, Some(&silent))
        .await
        .expect("the ID token stands");
    assert_eq!(
        account,
        AccountIdentity {
            id: "7".into(),
            name: None,
            scopes: None,
        }
    );
}

fn account(id: &str, name: Option<&str>) -> AccountIdentity {
    AccountIdentity {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        scopes: None,
    }
}

/// The account that vendor `name`'s recipe finds where `expected` is answered with `body`.
async fn called(name: &str, expected: wiremock::MockBuilder, body: Value) -> Option<AccountIdentity> {
    let world = World::new().await;
    expected
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&world.server)
        .await;
    identity_at(&world, name, None, r#"{"access_token":"access"}"#).await
}

#[tokio::test]
async fn facebook_tells_which_scopes_were_declined() {
    let get = || Mock::given(method("GET")).and(header("authorization", "Bearer access"));
    let permissions = json!([
        {"permission": "email", "status": "granted"},
        {"permission": "user_friends", "status": "declined"},
        {"permission": "user_posts", "status": "expired"},
        {"permission": "public_profile", "status": "granted"},
    ]);
    let body = |permissions: &Value| json!({"id": "10", "name": "Alice", "permissions": permissions});
    let found = called("FacebookOauth2", get(), body(&json!({ "data": permissions }))).await;
    let expected = AccountIdentity {
        scopes: Some(vec!["email".to_owned(), "public_profile".to_owned()]),
        ..account("10", Some("Alice"))
    };
    assert_eq!(found, Some(expected));
    // What is no list of permissions tells nothing: the scopes are then as requested.
    for odd in [
        json!(null),
        json!({"data": {}}),
        json!({"data": [{"status": "granted"}]}),
    ] {
        let found = called("FacebookOauth2", get(), body(&odd)).await;
        assert_eq!(found, Some(account("10", Some("Alice"))), "{odd}");
    }
}

#[tokio::test]
async fn numbers_nested_members_and_several_keys_identify_accounts() {
    let get = || Mock::given(method("GET")).and(header("authorization", "Bearer access"));
    let found = called("GithubOauth2", get(), json!({"id": 583_231, "login": "octocat"})).await;
    assert_eq!(found, Some(account("583231", Some("octocat"))));
    let found = called(
        "XOauth2",
        get(),
        json!({"data": {"id": "1", "username": "alice"}}),
    )
    .await;
    assert_eq!(found, Some(account("1", Some("alice"))));
    // A user id is a workspace's own at Slack.
    let slack = json!({"ok": true, "team_id": "T1", "user_id": "U1", "user": "alice"});
    assert_eq!(
        called("SlackOauth2", get(), slack).await,
        Some(account("T1:U1", Some("alice")))
    );
    let failed = json!({"ok": false, "error": "invalid_auth", "team_id": "T1", "user_id": "U1"});
    assert_eq!(called("SlackOauth2", get(), failed).await, None);
    // Half a key is none.
    assert_eq!(
        called("SlackOauth2", get(), json!({"ok": true, "user_id": "U1"})).await,
        None
    );
}

#[tokio::test]
async fn account_calls_are_made_the_vendors_way() {
    let client_id = Mock::given(method("GET"))
        .and(header("authorization", "Bearer access"))
        .and(header("client-id", "client"));
    let found = called(
        "TwitchOauth2",
        client_id,
        json!({"data": [{"id": "9", "login": "a"}]}),
    )
    .await;
    assert_eq!(found, Some(account("9", Some("a"))));
    let scheme = Mock::given(method("GET")).and(header("authorization", "OAuth access"));
    let found = called("YandexOauth2", scheme, json!({"id": "2", "login": "b"})).await;
    assert_eq!(found, Some(account("2", Some("b"))));
    let post = Mock::given(method("POST"))
        .and(header("authorization", "Bearer access"))
        .and(body_string(""));
    let found = called("DropboxOauth2", post, json!({"account_id": "dbid:1"})).await;
    assert_eq!(found, Some(account("dbid:1", None)));
    let introspection =
        Mock::given(method("POST")).and(body_string("token=access&client_id=client&client_secret=secret"));
    let body = json!({"active": true, "hub_id": 5, "user_id": 6, "user": "a@example.com"});
    let found = called("HubspotOauth2", introspection, body).await;
    assert_eq!(found, Some(account("5:6", Some("a@example.com"))));
}

#[tokio::test]
async fn accounts_named_by_the_token_answer_need_no_call() {
    let nowhere = World::new().await;
    let notion = json!({
        "access_token": "access", "workspace_id": "w1", "workspace_name": "Acme",
        "owner": {"type": "user", "user": {"id": "u1", "person": {"email": "a@example.com"}}},
    });
    let found = identity_at(&nowhere, "NotionOauth2", None, &notion.to_string()).await;
    assert_eq!(found, Some(account("w1:u1", Some("a@example.com"))));
    let salesforce = json!({"access_token": "access", "id": "https://login.salesforce.com/id/00D/005"});
    let found = identity_at(&nowhere, "SalesforceOauth2", None, &salesforce.to_string()).await;
    assert_eq!(
        found,
        Some(account("https://login.salesforce.com/id/00D/005", None))
    );
}

/// Nothing that the account's endpoint can do harms the consent, or leads anywhere.
#[tokio::test]
async fn hostile_account_endpoints_tell_nothing() {
    let id = r#"{"id": 1, "login": "x", "padding": ""#;
    for answer in [
        ResponseTemplate::new(200).set_body_raw("<html>{\"id\": 1}</html>", "text/html"),
        ResponseTemplate::new(200).set_body_string(format!("{id}{}\"}}", "x".repeat(200_000))),
        ResponseTemplate::new(200).set_body_string(r#"{"id": 1, "id": 2}"#),
        ResponseTemplate::new(200).set_body_string(r#"[{"id": 1}]"#),
        ResponseTemplate::new(200).set_body_json(json!({"id": {"sub": 1}, "login": "x"})),
        ResponseTemplate::new(200).set_body_json(json!({"id": "\u{0}\u{1b}", "login": "x"})),
        ResponseTemplate::new(302).insert_header("location", "/userinfo?again"),
        ResponseTemplate::new(401).set_body_json(json!({"id": 1})),
        ResponseTemplate::new(200)
            .set_delay(std::time::Duration::from_secs(2))
            .set_body_json(json!({"id": 1})),
    ] {
        let world = World::new().await;
        Mock::given(path("/userinfo"))
            .respond_with(answer)
            .mount(&world.server)
            .await;
        let found = identity_at(&world, "GithubOauth2", None, r#"{"access_token":"access"}"#).await;
        assert_eq!(found, None);
        assert_eq!(
            world.server.received_requests().await.expect("kept").len(),
            1,
            "nothing is followed"
        );
    }
}
