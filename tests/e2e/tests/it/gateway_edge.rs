//! The gateway in front of the real roles: what it lets through, what it adds, what it publishes.

use e2e::{Person, System};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn keys_are_published_where_the_issuer_says() {
    let system = System::start();
    let client = reqwest::Client::new();
    let issuer = format!("http://localhost:{}/default", system.port_base + 2);
    let document: Value = client
        .get(format!("{issuer}/.well-known/openid-configuration"))
        .send()
        .await
        .expect("it answers")
        .json()
        .await
        .expect("JSON");
    assert_eq!(document["issuer"], issuer);
    let keys: Value = client
        .get(document["jwks_uri"].as_str().expect("a URL"))
        .send()
        .await
        .expect("it answers")
        .json()
        .await
        .expect("JSON");
    let kid = keys["keys"][0]["kid"].as_str().expect("a key");
    assert!(keys["keys"][0].get("d").is_none(), "public keys only");
    let pem = client
        .get(format!("{issuer}/{kid}"))
        .send()
        .await
        .expect("it answers")
        .text()
        .await
        .expect("text");
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "{pem}");
}

#[tokio::test]
async fn invocations_refuses_what_is_not_the_pages_own() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let url = system.app("/invocations");
    let origin = url.origin().ascii_serialization();
    let client = alice.browser.client();
    let body = json!({ "message": "hello", "sessionId": "s" }).to_string();
    let post = |origin: &str, kind: &str, body: String| {
        client
            .post(url.clone())
            .header("origin", origin)
            .header("content-type", kind)
            .body(body)
    };
    let foreign = post("http://127.0.0.1:1", "application/json", body.clone())
        .send()
        .await
        .expect("an answer");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let text = post(&origin, "text/plain", body.clone())
        .send()
        .await
        .expect("an answer");
    assert_eq!(text.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let broken = post(&origin, "application/json", "{".to_owned())
        .send()
        .await
        .expect("an answer");
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    let bad_id = json!({ "message": "hello", "sessionId": "../other" }).to_string();
    let answer = post(&origin, "application/json", bad_id)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let huge = json!({ "message": "x".repeat(1_000_000), "sessionId": "s" }).to_string();
    let answer = post(&origin, "application/json", huge)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let answer = client.get(url.clone()).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut events = alice.asks("hello", "s").await;
    assert!(
        !events.answer().await.is_empty(),
        "the page's own request still works"
    );
}
