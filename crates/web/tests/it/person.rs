use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::routing::get;
use axum::{Json, Router};
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{ExposeSecret as _, JwkSet, JwtError, SigningKey, UserKey};
use countersign_outbound::{Client, Policy};
use countersign_web::person::USER_TOKEN;
use countersign_web::{Inbound, Person, PersonError, PersonVerifier, ServeOptions};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use crate::{Server, clock, status};

const NOW: i64 = 1_800_000_000;

/// A gateway's key endpoints, which count how often they are asked.
struct Gateway {
    server: Server,
    keys: Arc<std::sync::Mutex<Vec<SigningKey>>>,
    fetches: Arc<AtomicUsize>,
}

impl Gateway {
    async fn start() -> Self {
        let keys: Arc<std::sync::Mutex<Vec<SigningKey>>> = Arc::default();
        let fetches: Arc<AtomicUsize> = Arc::default();
        let (serve_keys, count) = (Arc::clone(&keys), Arc::clone(&fetches));
        let router = Router::new()
            .route(
                "/default/.well-known/openid-configuration",
                get(async |headers: HeaderMap| {
                    let issuer = format!("http://{}/default", headers["host"].to_str().expect("ASCII"));
                    Json(json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json") }))
                }),
            )
            .route(
                "/default/jwks.json",
                get(async move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    let keys = serve_keys.lock().expect("not poisoned");
                    Json(JwkSet {
                        keys: keys.iter().map(SigningKey::public_jwk).collect(),
                    })
                }),
            );
        let server = Server::start(router, ServeOptions::default()).await;
        let gateway = Self {
            server,
            keys,
            fetches,
        };
        gateway.add_key("k1");
        gateway
    }

    fn add_key(&self, kid: &str) {
        self.keys.lock().expect("not poisoned").push(signing_key(kid));
    }

    fn issuer(&self) -> String {
        format!("http://{}/default", self.server.address)
    }

    /// A token of the newest key with one claim changed; `Null` removes it.
    fn token(&self, name: &str, value: Value) -> String {
        let keys = self.keys.lock().expect("not poisoned");
        sign(keys.last().expect("a key"), &self.issuer(), name, value)
    }

    fn verifier(&self) -> (Arc<ManualClock>, PersonVerifier) {
        let allow = vec![self.server.address.to_string().parse().expect("host:port")];
        let client = Client::new(Policy {
            allow,
            ..Policy::default()
        })
        .expect("TLS");
        let (manual, clock) = clock();
        let inbound = Inbound::UserToken {
            issuer: self.issuer(),
            audience: "binding".into(),
            jwks_uri: None,
        };
        (manual, PersonVerifier::new(vec![inbound], &client, &clock))
    }
}

fn signing_key(kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(kid, SigningKey::generate_pkcs8().expose_secret()).expect("a fresh key")
}

fn sign(key: &SigningKey, issuer: &str, name: &str, value: Value) -> String {
    let mut claims = json!({
        "iss": issuer, "sub": "s", "aud": "binding", "exp": NOW + 300, "iat": NOW, "sid": "session", "auth_time": NOW - 5,
        "idp_iss": "https://idp.example", "idp_sub": "1001", "name": "Alice",
    });
    claims[name] = value;
    let members = claims.as_object_mut().expect("an object");
    members.retain(|_, value| !value.is_null());
    key.sign_jwt(Map::new(), members).expect("an object")
}

fn headers(tokens: &[&str]) -> HeaderMap {
    let values = tokens
        .iter()
        .map(|token| HeaderValue::from_str(token).expect("ASCII"));
    values
        .map(|value| (http::HeaderName::from_static(USER_TOKEN), value))
        .collect()
}

#[tokio::test]
async fn the_person_is_whom_the_token_proves() {
    let gateway = Gateway::start().await;
    let (_, verifier) = gateway.verifier();
    let token = gateway.token("sid", json!("session"));
    let person = verifier.verify(&headers(&[&token])).await.expect("valid");
    assert_eq!(person.user_key, UserKey::jwt("https://idp.example", "1001"));
    assert_eq!(
        (person.display_name(), person.sid.as_deref()),
        ("Alice", Some("session"))
    );
    assert_eq!(person.gateway_issuer, gateway.issuer());
    assert_eq!(person.token.expose_secret(), token);
    assert!(!format!("{person:?}").contains("Alice"));
}

#[tokio::test]
async fn tokens_that_do_not_fit_are_refused() {
    let gateway = Gateway::start().await;
    let (clock, verifier) = gateway.verifier();
    let verify = async |tokens: &[&str]| verifier.verify(&headers(tokens)).await.err();
    let good = gateway.token("sid", json!("session"));
    assert_eq!(verify(&[]).await, Some(PersonError::Missing));
    assert_eq!(verify(&[&good, &good]).await, Some(PersonError::Repeated));
    assert_eq!(
        verify(&["x"]).await,
        Some(PersonError::Token(JwtError::Malformed))
    );
    for (name, value, error) in [
        ("aud", json!("dev-agent"), PersonError::Token(JwtError::Audience)),
        ("iss", json!("https://evil.example"), PersonError::UnknownIssuer),
        (
            "idp_sub",
            Value::Null,
            PersonError::Token(JwtError::Claim("idp_sub")),
        ),
        (
            "idp_iss",
            json!(""),
            PersonError::Token(JwtError::Claim("idp_iss")),
        ),
        ("exp", json!(NOW - 11), PersonError::Token(JwtError::Expired)),
    ] {
        assert_eq!(
            verify(&[&gateway.token(name, value.clone())]).await,
            Some(error),
            "{name} = {value}"
        );
    }
    let imposter = sign(&signing_key("k1"), &gateway.issuer(), "sid", json!("session"));
    assert_eq!(
        verify(&[&imposter]).await,
        Some(PersonError::Token(JwtError::Signature))
    );
    clock.advance(Duration::from_secs(311));
    assert_eq!(
        verify(&[&good]).await,
        Some(PersonError::Token(JwtError::Expired))
    );
}

#[tokio::test]
async fn one_door_does_not_open_another() {
    let gateway = Gateway::start().await;
    let (_, verifier) = gateway.verifier();
    let token = gateway.token("aud", json!("identity"));
    let refused = verifier.verify_token(&token, None).await.err();
    assert_eq!(refused, Some(PersonError::Token(JwtError::Audience)));
    verifier
        .verify_token(&token, Some(&["identity"]))
        .await
        .expect("its own door");
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_and_again_for_a_new_one() {
    let gateway = Gateway::start().await;
    let (clock, verifier) = gateway.verifier();
    let fetches = || gateway.fetches.load(Ordering::SeqCst);
    let verify_many = async |token: &str| {
        let tokens = headers(&[token]);
        join_all((0..20).map(|_| verifier.verify(&tokens)))
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
    };
    verify_many(&gateway.token("sid", json!("session")))
        .await
        .expect("valid");
    assert_eq!(fetches(), 1);
    gateway.add_key("k2");
    clock.advance(Duration::from_secs(6));
    verify_many(&gateway.token("sid", json!("session")))
        .await
        .expect("valid under the new key");
    assert_eq!(fetches(), 2);
    let foreign = sign(&signing_key("k9"), &gateway.issuer(), "sid", json!("session"));
    let refused = verify_many(&foreign).await.err();
    assert_eq!(
        (refused, fetches()),
        (Some(PersonError::Token(JwtError::UnknownKey)), 2)
    );
}

#[tokio::test]
async fn without_keys_nobody_is_recognised() {
    let gateway = Gateway::start().await;
    let token = gateway.token("sid", json!("session"));
    let (clock, verifier) = gateway.verifier();
    verifier.verify_token(&token, None).await.expect("valid");
    gateway.server.signal.drain();
    gateway.server.done.await.expect("no panic").expect("served");
    clock.advance(Duration::from_mins(4));
    let soon = verifier.verify_token(&token, None).await.map(|_| ());
    assert_eq!(soon, Ok(()), "keys are kept for a while");
    clock.advance(Duration::from_hours(1));
    assert_eq!(
        verifier.verify_token(&token, None).await.err(),
        Some(PersonError::KeysUnavailable)
    );
}

#[derive(Clone)]
struct App(Arc<PersonVerifier>);

impl FromRef<App> for Arc<PersonVerifier> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.0)
    }
}

#[tokio::test]
async fn a_handler_gets_a_person_or_the_client_a_401_page() {
    let gateway = Gateway::start().await;
    let (_, verifier) = gateway.verifier();
    let router = Router::new()
        .route(
            "/",
            get(async |State(App(_)): State<App>, person: Person| person.subject),
        )
        .with_state(App(Arc::new(verifier)));
    let server = Server::start(router, ServeOptions::default()).await;
    let token = gateway.token("sid", json!("session"));
    let get = async |header: &str| {
        server
            .exchange(&format!(
                "GET / HTTP/1.1\r\nhost: a\r\n{header}connection: close\r\n\r\n"
            ))
            .await
    };
    assert!(get(&format!("{USER_TOKEN}: {token}\r\n")).await.ends_with("1001"));
    for header in [
        "",
        "x-countersign-user-token: forged\r\n",
        "x-amzn-oidc-identity: 1001\r\n",
    ] {
        let answer = get(header).await;
        assert_eq!(status(&answer), 401);
        assert!(answer.contains("Please log in"), "{answer}");
    }
}
