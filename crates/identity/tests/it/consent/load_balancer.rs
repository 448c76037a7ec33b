//! The front channel behind an Application Load Balancer: `x-amzn-oidc-data` says who the person is, and only that of the
//! load balancer that is configured.

use axum::body::Body;
use countersign_crypto::alb::{self, AlbHeader};
use countersign_crypto::{Clock as _, ExposeSecret as _, SigningKey, published_user_id};
use http::header::HOST;
use http::{Request, StatusCode};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::actors::{Ask, Page};
use super::{IDP, System};

const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";
const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";
const ANOTHER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/lb/0123456789abcdef";

/// A load balancer, and where its region has the keys.
struct LoadBalancer {
    key: SigningKey,
    _keys: MockServer,
}

async fn behind_a_load_balancer() -> (System, LoadBalancer) {
    let key = SigningKey::from_pkcs8(KID, SigningKey::generate_pkcs8().expose_secret()).expect("a key");
    let keys = MockServer::start().await;
    Mock::given(path(format!("/{KID}")))
        .respond_with(ResponseTemplate::new(200).set_body_string(key.public_pem()))
        .mount(&keys)
        .await;
    let system = System::start_with(json!({
        "load_balancers": [{"signers": [ARN], "issuer": IDP, "client": "client", "key_url": keys.uri()}],
        "outbound_allow": [keys.address().to_string()],
        "start_login": "required",
    }))
    .await;
    (system, LoadBalancer { key, _keys: keys })
}

impl LoadBalancer {
    /// What it adds to a request of `subject`'s, if it is the one with this ARN.
    fn vouches(&self, system: &System, arn: &str, subject: &str) -> String {
        let header = AlbHeader {
            iss: IDP.to_owned(),
            client: "client".to_owned(),
            signer: arn.to_owned(),
            exp: system.clock.now().as_secs() + 120,
        };
        let claims = json!({"sub": subject, "name": subject});
        alb::mint(&self.key, &header, claims.as_object().expect("an object"))
    }
}

async fn visits(system: &System, address: &str, header: Option<&str>) -> Page {
    let url = url::Url::parse(address).expect("a URL");
    let target = &url[url::Position::BeforePath..];
    let mut request = Request::get(target)
        .header(HOST, "account.test")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate");
    if let Some(header) = header {
        request = request.header("x-amzn-oidc-data", header);
    }
    system
        .front_channel(request.body(Body::empty()).expect("a request"))
        .await
}

#[tokio::test]
async fn the_start_page_is_for_the_person_whom_the_agent_named() {
    let (system, balancer) = behind_a_load_balancer().await;
    let agent = system.workload("agent");
    let wat = agent.wat_for_user_id(&published_user_id(IDP, "alice")).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let link = pending.link().to_owned();

    let bob = balancer.vouches(&system, ARN, "bob");
    let refused = visits(&system, &link, Some(&bob)).await;
    assert_ne!(refused.status, StatusCode::OK, "{refused:?}");
    assert!(!refused.body.contains("alice"), "it says for whom it is");

    let alice = balancer.vouches(&system, ARN, "alice");
    let page = visits(&system, &link, Some(&alice)).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("name=\"decision\""), "{page:?}");
    assert_eq!(
        visits(&system, "https://account.test/connections", Some(&alice))
            .await
            .status,
        StatusCode::OK
    );
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn another_load_balancer_of_the_region_vouches_for_nobody() {
    let (system, balancer) = behind_a_load_balancer().await;
    let foreign = balancer.vouches(&system, ANOTHER, "alice");
    for header in [None, Some(foreign.as_str()), Some("x.y.z")] {
        let page = visits(&system, "https://account.test/connections", header).await;
        assert_ne!(page.status, StatusCode::OK, "{header:?}: {page:?}");
    }
}
