use countersign_crypto::SecretString;
use countersign_oauth::userinfo::{UserinfoError, fetch};
use countersign_oauth::vendor::{account_identity, vendor};
use countersign_oauth::{AccountIdentity, IdTokenClaims, ServerMetadata};
use serde_json::{Value, json};
use wiremock::matchers::{header, path};
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
    let mut server = ServerMetadata::new("https://as.example", world.url("/a"), world.url("/t"));
    server.userinfo_endpoint = Some(world.url("/userinfo"));
    let custom = vendor("CustomOauth2").expect("known");
    account_identity(
        custom,
        &world.client,
        &server,
        id_token,
        &SecretString::from("access"),
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
            name: None
        }
    );
}
