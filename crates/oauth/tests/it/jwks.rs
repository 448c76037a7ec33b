use std::time::Duration;

use countersign_crypto::{Algorithm, JwtError, JwtPolicy, SigningKey};
use countersign_oauth::jwks::VerifyError;
use countersign_oauth::{DocumentError, JwksCache};
use futures_util::future::join_all;
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, ResponseTemplate};

use crate::{World, key_set, signing_key};

const POLICY: JwtPolicy<'_> = JwtPolicy {
    issuer: "https://as.example",
    audiences: &["client"],
    algorithms: &[Algorithm::Es256],
    leeway_secs: 0,
    typ: None,
};

fn token(key: &SigningKey) -> String {
    let claims = json!({ "iss": "https://as.example", "aud": "client", "exp": 1_900_000_000 });
    key.sign_jwt(serde_json::Map::new(), &claims).expect("an object")
}

#[tokio::test]
async fn keys_rotate_and_strangers_cannot_cause_more_than_one_fetch_in_a_while() {
    let world = World::new().await;
    let (old, new, foreign) = (signing_key("old"), signing_key("new"), signing_key("foreign"));
    let cache = JwksCache::new(world.client.clone(), world.clock.clone());
    let uri = world.url("/jwks");
    let now = || countersign_crypto::Clock::now(&*world.clock);

    let before = Mock::given(path("/jwks"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(key_set(&[&old]))
                .set_delay(Duration::from_millis(100)),
        )
        .expect(1)
        .mount_as_scoped(&world.server)
        .await;
    let old_token = token(&old);
    for verified in join_all((0..20).map(|_| cache.verify(&uri, &old_token, &POLICY, now()))).await {
        verified.expect("the key is there");
    }
    drop(before);

    let after = Mock::given(path("/jwks"))
        .respond_with(ResponseTemplate::new(200).set_body_json(key_set(&[&old, &new])))
        .expect(2)
        .mount_as_scoped(&world.server)
        .await;
    world.clock.advance(Duration::from_secs(6));
    let (new_token, foreign_token) = (token(&new), token(&foreign));
    for verified in join_all((0..20).map(|_| cache.verify(&uri, &new_token, &POLICY, now()))).await {
        verified.expect("one of them fetched the new key");
    }
    for _ in 0..20 {
        let refused = cache.verify(&uri, &foreign_token, &POLICY, now()).await;
        assert_eq!(refused.err(), Some(VerifyError::Token(JwtError::UnknownKey)));
    }
    world.clock.advance(Duration::from_secs(6));
    cache
        .verify(&uri, &foreign_token, &POLICY, now())
        .await
        .expect_err("still unknown, after one more fetch");
    drop(after);
}

#[tokio::test]
async fn without_keys_nothing_is_verified() {
    let world = World::new().await;
    let cache = JwksCache::new(world.client.clone(), world.clock.clone());
    Mock::given(path("/jwks"))
        .respond_with(ResponseTemplate::new(200).set_body_string("<html>"))
        .mount(&world.server)
        .await;
    assert_eq!(
        cache.get(&world.url("/jwks")).await.err(),
        Some(DocumentError::Malformed)
    );
    let beyond = cache
        .get(&"http://169.254.169.254/jwks".parse().expect("a URL"))
        .await;
    assert!(matches!(beyond, Err(DocumentError::Unreachable(_))), "{beyond:?}");
}
