use countersign_oauth::{Discovery, DocumentError};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use wiremock::matchers::path;
use wiremock::{Mock, ResponseTemplate};

use crate::World;

const OPENID: &str = "/.well-known/openid-configuration";

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

async fn serve(world: &World, at: &str, body: Value) {
    Mock::given(path(at))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&world.server)
        .await;
}

async fn outcome(body: impl FnOnce(String) -> Value) -> Result<(), DocumentError> {
    let world = World::new().await;
    serve(&world, OPENID, body(world.server.uri())).await;
    let discovery = Discovery::new(world.client.clone(), world.clock.clone());
    discovery.fetch(&world.url(OPENID)).await.map(|_| ())
}

#[tokio::test]
async fn both_path_rules_and_the_metadata() {
    let world = World::new().await;
    let issuer = format!("{}/tenant", world.server.uri());
    serve(
        &world,
        "/tenant/.well-known/openid-configuration",
        document(&issuer),
    )
    .await;
    serve(
        &world,
        "/.well-known/oauth-authorization-server/tenant",
        document(&issuer),
    )
    .await;
    let discovery = Discovery::new(world.client.clone(), world.clock.clone());
    for at in [
        "/tenant/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant",
    ] {
        let metadata = discovery.fetch(&world.url(at)).await.expect(at);
        assert_eq!(metadata.issuer, issuer);
        assert_eq!(metadata.token_endpoint.as_str(), format!("{issuer}/token"));
        assert_eq!(
            metadata.code_challenge_methods_supported,
            Some(vec!["S256".to_owned()])
        );
        assert!(metadata.authorization_response_iss_parameter_supported);
    }
    assert_eq!(
        discovery.fetch(&world.url("/tenant")).await.err(),
        Some(DocumentError::Url)
    );
}

#[tokio::test]
async fn another_issuer_is_refused() {
    let refused = outcome(|_| document("https://evil.example")).await;
    assert_eq!(
        refused,
        Err(DocumentError::Issuer {
            found: "https://evil.example".into()
        })
    );
    assert!(matches!(
        outcome(|uri| document(&format!("{uri}/other"))).await,
        Err(DocumentError::Issuer { .. })
    ));
    assert!(matches!(
        outcome(|uri| document(&format!("{uri}//"))).await,
        Err(DocumentError::Issuer { .. })
    ));
    // Auth0's issuers end in a slash.
    assert_eq!(
        outcome(|uri| {
            let mut body = document(&uri);
            body["issuer"] = format!("{uri}/").into();
            body
        })
        .await,
        Ok(())
    );
}

#[tokio::test]
async fn endpoints_the_guard_would_refuse_are_refused() {
    for (name, value) in [
        ("token_endpoint", json!("http://as.example/token")),
        ("token_endpoint", json!("https://127.0.0.1:1/token")),
        ("token_endpoint", json!("https://169.254.169.254/token")),
        ("token_endpoint", json!("/token")),
        ("token_endpoint", json!("https://as.example/token#x")),
        ("token_endpoint", json!("https://u:p@as.example/token")),
        ("token_endpoint", json!("javascript:alert(1)")),
        ("token_endpoint", Value::Null),
        ("jwks_uri", json!(7)),
        ("authorization_endpoint", json!("data:text/html,x")),
        ("code_challenge_methods_supported", json!("S256")),
    ] {
        let refused = outcome(|uri| {
            let mut body = document(&uri);
            body[name] = value.clone();
            body
        });
        assert_eq!(refused.await, Err(DocumentError::Member(name)), "{value}");
    }
}

#[tokio::test]
async fn one_fetch_for_all_then_none_while_young() {
    let world = World::new().await;
    let response = ResponseTemplate::new(200)
        .set_body_json(document(&world.server.uri()))
        .set_delay(Duration::from_millis(100));
    Mock::given(path(OPENID))
        .respond_with(response)
        .expect(2)
        .mount(&world.server)
        .await;
    let discovery = Discovery::new(world.client.clone(), world.clock.clone());
    let url = world.url(OPENID);
    for fetched in join_all((0..20).map(|_| discovery.fetch(&url))).await {
        fetched.expect("metadata");
    }
    world.clock.advance(Duration::from_mins(9));
    discovery.fetch(&url).await.expect("kept");
    world.clock.advance(Duration::from_mins(2));
    discovery.fetch(&url).await.expect("fetched again");
}

#[tokio::test]
async fn failures_are_not_repeated_at_once_and_old_metadata_serves_meanwhile() {
    let world = World::new().await;
    let discovery = Discovery::new(world.client.clone(), world.clock.clone());
    let url = world.url(OPENID);
    let broken = Mock::given(path(OPENID))
        .respond_with(ResponseTemplate::new(503))
        .expect(1)
        .mount_as_scoped(&world.server)
        .await;
    for _ in 0..5 {
        assert_eq!(
            discovery.fetch(&url).await.err(),
            Some(DocumentError::Status(503))
        );
    }
    drop(broken);
    world.clock.advance(Duration::from_secs(3));
    let working = Mock::given(path(OPENID))
        .respond_with(ResponseTemplate::new(200).set_body_json(document(&world.server.uri())))
        .mount_as_scoped(&world.server)
        .await;
    discovery.fetch(&url).await.expect("works again");
    drop(working);
    world.clock.advance(Duration::from_hours(2));
    discovery
        .fetch(&url)
        .await
        .expect("the old serves while the server is gone");
    world.clock.advance(Duration::from_hours(23));
    assert_eq!(
        discovery.fetch(&url).await.err(),
        Some(DocumentError::Status(404))
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = World::new().await;
    let elsewhere = world.url("/elsewhere");
    Mock::given(path(OPENID))
        .respond_with(ResponseTemplate::new(302).insert_header("location", elsewhere.as_str()))
        .mount(&world.server)
        .await;
    Mock::given(path("/elsewhere"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&world.server)
        .await;
    let discovery = Discovery::new(world.client.clone(), world.clock.clone());
    assert_eq!(
        discovery.fetch(&world.url(OPENID)).await.err(),
        Some(DocumentError::Status(302))
    );
}
