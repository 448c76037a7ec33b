//! People as a load balancer vouches for them: rows F1, F6, F8 and F11 of the attack matrix, and the genuine token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use countersign_crypto::alb::{self, AlbError, AlbHeader};
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{ExposeSecret as _, SharedClock, SigningKey, Timestamp, UserKey};
use countersign_outbound::{Client, Policy};
use countersign_web::person::{AlbConfig, OIDC_DATA, OIDC_IDENTITY};
use countersign_web::{Inbound, Person, PersonError, PersonVerifier, ServeOptions};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::json;
use tower::ServiceExt as _;

use crate::Server;

const NOW: i64 = 1_800_000_000;
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";
const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "client";
const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";
/// `AwsAlbTokenTest` of smallrye-jwt (Apache-2.0): of a real load balancer, expired in 2023.
const GENUINE: &str = include_str!("genuine_alb_token.txt");
const GENUINE_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjPHY1j9umvc8nZEswOzs+lPpLKLn\nqCBqvyZGJfBlXapmtGiqYEwpIqh/lZdkr4wDii7CP1DzIUSHONbc+jufiQ==\n-----END PUBLIC KEY-----\n";

/// How the place with the keys answers.
#[derive(Clone)]
enum KeyHost {
    Pem(String),
    Status(StatusCode),
    Slow,
    Redirect(String),
    Huge,
}

struct World {
    server: Server,
    key: SigningKey,
    fetches: Arc<AtomicUsize>,
    host: Arc<std::sync::Mutex<KeyHost>>,
    manual: Arc<ManualClock>,
    clock: SharedClock,
    verifier: Arc<PersonVerifier>,
}

impl World {
    async fn start() -> Self {
        let key = key(KID);
        let host = Arc::new(std::sync::Mutex::new(KeyHost::Pem(key.public_pem())));
        let fetches: Arc<AtomicUsize> = Arc::default();
        let (answers, count) = (Arc::clone(&host), Arc::clone(&fetches));
        let router = Router::new().route(
            "/keys/{kid}",
            get(async move |Path(kid): Path<String>| {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                let answer = answers.lock().expect("not poisoned").clone();
                answer.respond(&kid).await
            }),
        );
        let server = Server::start(router, ServeOptions::default()).await;
        let policy = Policy {
            allow: vec![server.address.to_string().parse().expect("host:port")],
            timeout: Duration::from_millis(300),
            ..Policy::default()
        };
        let client = Client::new(policy).expect("TLS");
        let (manual, clock) = crate::clock();
        let key_url = format!("http://{}/keys", server.address).parse().expect("a URL");
        let config = AlbConfig::new(vec![SIGNER.to_owned()], ISSUER, CLIENT, Some(key_url)).expect("an ARN");
        let verifier = Arc::new(PersonVerifier::new(vec![Inbound::Alb(config)], &client, &clock));
        Self {
            server,
            key,
            fetches,
            host,
            manual,
            clock,
            verifier,
        }
    }

    fn answers(&self, with: KeyHost) {
        *self.host.lock().expect("not poisoned") = with;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    async fn verify(&self, headers: &HeaderMap) -> Result<Person, PersonError> {
        self.verifier.verify(headers).await
    }

    /// The status of an application that is only for people.
    async fn status(&self, headers: HeaderMap) -> u16 {
        let router = Router::new()
            .route(
                "/",
                get(async |State(App(_)): State<App>, person: Person| person.subject),
            )
            .with_state(App(Arc::clone(&self.verifier)));
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = headers;
        router
            .oneshot(request)
            .await
            .expect("an answer")
            .status()
            .as_u16()
    }
}

#[derive(Clone)]
struct App(Arc<PersonVerifier>);

impl FromRef<App> for Arc<PersonVerifier> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.0)
    }
}

impl KeyHost {
    async fn respond(self, kid: &str) -> Response {
        match self {
            Self::Pem(pem) if kid == KID => pem.into_response(),
            Self::Pem(_) => StatusCode::NOT_FOUND.into_response(),
            Self::Status(status) => status.into_response(),
            Self::Slow => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                StatusCode::OK.into_response()
            }
            Self::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
            Self::Huge => "x".repeat(1 << 20).into_response(),
        }
    }
}

fn key(kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(kid, SigningKey::generate_pkcs8().expose_secret()).expect("a P-256 key")
}

fn token(key: &SigningKey, signer: &str, subject: &str) -> String {
    let header = AlbHeader {
        iss: ISSUER.into(),
        client: CLIENT.into(),
        signer: signer.into(),
        exp: NOW + 60,
    };
    let claims = json!({ "sub": subject, "name": "Alice" });
    alb::mint(key, &header, claims.as_object().expect("an object"))
}

fn headers(tokens: &[&str]) -> HeaderMap {
    let values = tokens
        .iter()
        .map(|token| (OIDC_DATA, HeaderValue::from_str(token).expect("ASCII")));
    values.collect()
}

fn named(mut headers: HeaderMap, identity: &str) -> HeaderMap {
    headers.append(OIDC_IDENTITY, HeaderValue::from_str(identity).expect("ASCII"));
    headers
}

#[tokio::test]
async fn f01_exactly_one_header_of_bearable_size() {
    let world = World::start().await;
    let good = token(&world.key, SIGNER, "alice");
    assert_eq!(world.status(headers(&[&good])).await, 200);
    assert_eq!(world.status(HeaderMap::new()).await, 401);
    assert_eq!(world.status(headers(&[""])).await, 401);
    assert_eq!(world.status(headers(&[&good, &good])).await, 400);
    assert_eq!(world.status(headers(&[&good, ""])).await, 400);
    assert_eq!(world.status(headers(&[&"a".repeat(17 * 1024)])).await, 431);
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn the_genuine_token_of_a_load_balancer_is_accepted_at_its_time() {
    let world = World::start().await;
    let signers = vec![
        "arn:aws:elasticloadbalancing:eu-central-1:197280958225:loadbalancer/app/ecs-with-cognito-lb/6284be65b827c598"
            .to_owned(),
    ];
    let issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MyRrOCHQw";
    let genuine = Router::new().route("/c2f80c8b-c05c-4068-af14-17299f7896b1", get(async || GENUINE_PEM));
    let server = Server::start(genuine, ServeOptions::default()).await;
    let key_url = format!("http://{}", server.address).parse().expect("a URL");
    let config =
        AlbConfig::new(signers, issuer, "4fmvht22tjrgd7d3k3tghttct7", Some(key_url)).expect("an ARN");
    let policy = Policy {
        allow: vec![server.address.to_string().parse().expect("host:port")],
        ..Policy::default()
    };
    let verifier = PersonVerifier::new(
        vec![Inbound::Alb(config)],
        &Client::new(policy).expect("TLS"),
        &world.clock,
    );
    let headers = headers(&[GENUINE.trim()]);
    world.manual.set(Timestamp::from_secs(1_687_748_000));
    let person = verifier.verify(&headers).await.expect("genuine");
    assert_eq!((person.issuer.as_str(), person.display_name()), (issuer, "duke"));
    assert_eq!(
        person.user_key,
        UserKey::jwt(issuer, "23d498b2-3031-70d2-8a15-49dd886a087b")
    );
    world.manual.set(Timestamp::from_secs(1_687_748_045 + 11));
    let expired = verifier
        .verify(&headers)
        .await
        .expect_err("it was good for a minute");
    assert_eq!(expired, PersonError::Alb(AlbError::Expired));
}

#[tokio::test]
async fn f06_a_key_id_is_a_uuid_before_it_is_asked_for() {
    let world = World::start().await;
    for kid in [
        "../default",
        "..%2f",
        "https://evil.example/key",
        "//evil.example",
        "",
        "9c0e2d3a5b1f4c8d9e7a0123456789ab",
        "{9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab}",
        "9C0E2D3A-5B1F-4C8D-9E7A-0123456789AB",
        "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab/..",
    ] {
        let refused = world
            .verify(&headers(&[&token(&key(kid), SIGNER, "alice")]))
            .await;
        assert_eq!(
            refused.expect_err(kid),
            PersonError::Alb(AlbError::KeyId),
            "{kid}"
        );
    }
    assert_eq!(world.fetches(), 0, "nothing was asked for");
    // An id that no key has is asked for once, however many bring it.
    let unknown = token(&key("00000000-5b1f-4c8d-9e7a-0123456789ab"), SIGNER, "alice");
    let unknown = headers(&[&unknown]);
    for refused in join_all((0..20).map(|_| world.verify(&unknown))).await {
        assert_eq!(refused.expect_err("unknown"), PersonError::Alb(AlbError::KeyId));
    }
    assert_eq!(world.fetches(), 1);
    assert_eq!(world.status(unknown.clone()).await, 401);
    world.manual.advance(Duration::from_secs(61));
    world.verify(&unknown).await.expect_err("still unknown");
    assert_eq!(world.fetches(), 2, "it may be a new key by now");
    // Nor do many ids make a flood; and who is known already is not hurt by it.
    let good = headers(&[&token(&world.key, SIGNER, "alice")]);
    world.verify(&good).await.expect("a person");
    let before = world.fetches();
    for at in 0..100 {
        let kid = format!("{at:08x}-5b1f-4c8d-9e7a-ffffffffffff");
        let forged = token(&key(&kid), SIGNER, "alice");
        world.verify(&headers(&[&forged])).await.expect_err("unknown");
    }
    assert!(
        world.fetches() - before <= 10,
        "{} fetches",
        world.fetches() - before
    );
    world.verify(&good).await.expect("a person still");
}

#[tokio::test]
async fn f08_a_key_host_that_fails_lets_nobody_in_and_is_not_stormed() {
    let other_curve = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PUBLIC KEY-----\n";
    let two = format!("{GENUINE_PEM}{GENUINE_PEM}");
    let elsewhere = "http://127.0.0.1:1/key".to_owned();
    for (host, status) in [
        (KeyHost::Slow, 503),
        (KeyHost::Status(StatusCode::NOT_FOUND), 401),
        (KeyHost::Status(StatusCode::FORBIDDEN), 401),
        (KeyHost::Status(StatusCode::INTERNAL_SERVER_ERROR), 503),
        (KeyHost::Pem("<html>Please log in</html>".to_owned()), 503),
        (KeyHost::Pem(other_curve.to_owned()), 503),
        (KeyHost::Pem(two), 503),
        (KeyHost::Pem(String::new()), 503),
        (KeyHost::Redirect(elsewhere), 503),
        (KeyHost::Huge, 503),
    ] {
        let world = World::start().await;
        world.answers(host);
        let headers = headers(&[&token(&world.key, SIGNER, "alice")]);
        let statuses = join_all((0..10).map(|_| world.status(headers.clone()))).await;
        assert!(
            statuses.iter().all(|found| *found == status),
            "{statuses:?} for {status}"
        );
        assert_eq!(world.fetches(), 1, "one for all of them");
    }
    // A key that is known serves on while its host is down, and no other does.
    let world = World::start().await;
    let known = headers(&[&token(&world.key, SIGNER, "alice")]);
    world.verify(&known).await.expect("a person");
    world.answers(KeyHost::Status(StatusCode::BAD_GATEWAY));
    let header = AlbHeader {
        iss: ISSUER.into(),
        client: CLIENT.into(),
        signer: SIGNER.into(),
        exp: NOW + 7_300,
    };
    world.manual.advance(Duration::from_hours(2));
    let claims = json!({ "sub": "alice" });
    let later = alb::mint(&world.key, &header, claims.as_object().expect("an object"));
    world
        .verify(&headers(&[&later]))
        .await
        .expect("by the key that is there");
    assert_eq!(world.fetches(), 2);
    assert!(world.server.address.port() > 0);
}

#[tokio::test]
async fn f11_the_unsigned_header_names_nobody() {
    let world = World::start().await;
    let data = headers(&[&token(&world.key, SIGNER, "mallory")]);
    let person = world
        .verify(&named(data.clone(), "mallory"))
        .await
        .expect("both agree");
    assert_eq!(person.subject, "mallory");
    for identity in ["victim", "", "Mallory", "mallory "] {
        let refused = world.verify(&named(data.clone(), identity)).await;
        assert!(
            matches!(refused, Err(PersonError::Alb(AlbError::Subject))),
            "{identity:?}"
        );
        assert_eq!(world.status(named(data.clone(), identity)).await, 401);
    }
    let twice = named(named(data, "mallory"), "victim");
    assert_eq!(world.status(twice).await, 400);
    assert_eq!(
        world.status(named(HeaderMap::new(), "victim")).await,
        401,
        "it is no proof by itself"
    );
}

#[tokio::test]
async fn f03_another_load_balancers_token_is_refused_before_its_key_is_asked_for() {
    let world = World::start().await;
    let stranger = SIGNER.replace("000000000000", "111111111111");
    let refused = world
        .verify(&headers(&[&token(&world.key, &stranger, "alice")]))
        .await;
    assert_eq!(refused.expect_err("ALBeast"), PersonError::Alb(AlbError::Signer));
    assert_eq!(world.fetches(), 0);
}
