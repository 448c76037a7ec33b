//! Beside AgentCore, behind an Application Load Balancer: the start page, its cookie, and the completion that requires it.

use std::collections::BTreeMap;

use countersign_api::IdentityApi;
use countersign_crypto::alb::{self, AlbHeader};
use countersign_crypto::{Clock as _, ExposeSecret as _, SigningKey, published_user_id};
use countersign_outbound::Response;
use countersign_web::person::{AlbConfig, InboundKind};
use http::{Method, StatusCode};
use serde_json::json;
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{
    ACCOUNT_ORIGIN, Binding, COMPLETE, DESCRIBE, HANDLE, PATH, at, denied, encode, fields, text,
};

const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";
const IDP: &str = "https://idp.example";
const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";
const OTHER_HANDLE: &str =
    "urn:ietf:params:oauth:request_uri:MMMMNNNNOOOOPPPPQQQQRRRRSSSSTTTTUUUUVVVVWWWWXXXX";

struct Beside {
    binding: Binding,
    key: SigningKey,
}

impl Beside {
    async fn start() -> Self {
        let binding = Binding::with(|config, identity| {
            let keys = identity.join("/elb-keys/").expect("a URL");
            config.inbound = InboundKind::Alb;
            config.gateway_issuer = None;
            config.gateway_jwks_uri = None;
            config.audience = None;
            config.alb =
                Some(AlbConfig::new(vec![SIGNER.to_owned()], IDP, "client", Some(keys)).expect("an ARN"));
            config.identity.api = IdentityApi::AgentCore;
            let aws = "https://bedrock-agentcore.us-east-1.amazonaws.com/identities/oauth2/authorize";
            config.authorize_url = Some(aws.parse().expect("a URL"));
        })
        .await;
        let pkcs8 = SigningKey::generate_pkcs8();
        let key = SigningKey::from_pkcs8(KID, pkcs8.expose_secret()).expect("a key");
        Mock::given(method("GET"))
            .and(path(format!("/elb-keys/{KID}")))
            .respond_with(ResponseTemplate::new(200).set_body_string(key.public_pem()))
            .mount(&binding.identity)
            .await;
        Self { binding, key }
    }

    /// A request of `subject`'s browser as the load balancer passes it on.
    async fn send(
        &self,
        subject: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let header = AlbHeader {
            iss: IDP.to_owned(),
            client: "client".to_owned(),
            signer: SIGNER.to_owned(),
            exp: self.binding.clock.now().as_secs() + 120,
        };
        let claims = json!({ "sub": subject, "email": format!("{subject}@example.com") });
        let token = alb::mint(&self.key, &header, claims.as_object().expect("an object"));
        let mut all = vec![
            ("x-amzn-oidc-data", token.as_str()),
            ("x-amzn-oidc-identity", subject),
        ];
        all.extend_from_slice(headers);
        self.binding.send_bare(method, path, &all, body).await
    }

    /// Follows the consent card's link: the answer, and the cookie as a browser sends it back.
    async fn begins(&self, subject: &str, request_uri: &str) -> (Response, String) {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("request_uri", request_uri)
            .finish();
        let answer = self
            .send(subject, Method::GET, &format!("{PATH}/start?{query}"), &[], "")
            .await;
        let set = answer
            .headers
            .get("set-cookie")
            .map(|value| value.to_str().expect("text").to_owned());
        let cookie = set
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        (answer, cookie)
    }

    async fn shows(&self, subject: &str, handle: &str, cookie: &str) -> Response {
        self.send(subject, Method::GET, &at(handle), &[("cookie", cookie)], "")
            .await
    }

    async fn submits(&self, subject: &str, form: &BTreeMap<String, String>, cookie: &str) -> Response {
        let headers = [
            ("origin", ACCOUNT_ORIGIN),
            ("sec-fetch-site", "same-origin"),
            ("cookie", cookie),
        ];
        self.send(subject, Method::POST, PATH, &headers, &encode(form))
            .await
    }
}

#[tokio::test]
async fn the_start_page_remembers_the_browser_and_leads_to_aws() {
    let beside = Beside::start().await;
    let (answer, cookie) = beside.begins("alice", HANDLE).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let to = Url::parse(answer.headers["location"].to_str().expect("text")).expect("a URL");
    assert_eq!(to.host_str(), Some("bedrock-agentcore.us-east-1.amazonaws.com"));
    assert_eq!(to.path(), "/identities/oauth2/authorize");
    assert_eq!(to.query_pairs().next().expect("a pair").1, HANDLE);
    let set = answer.headers["set-cookie"].to_str().expect("text");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Max-Age=900"),
        "{set}"
    );

    // Back from AWS: who is signed in, and the question, which no script answers.
    let answer = beside.shows("alice", HANDLE, &cookie).await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = text(&answer);
    assert!(
        page.contains("alice@example.com") && page.contains("id=\"confirm-binding\""),
        "{page}"
    );
    assert!(!page.contains("<script"), "{page}");

    beside.binding.identity_answers(COMPLETE, 200, json!({})).await;
    let answer = beside.submits("alice", &fields(&page), &cookie).await;
    assert_eq!(answer.status, StatusCode::OK);
    let done = text(&answer);
    assert!(
        done.contains("Connected") && !done.contains("/connections"),
        "{done}"
    );
    let set = answer.headers["set-cookie"].to_str().expect("text");
    assert!(
        set.starts_with(cookie.split('=').next().expect("a name")) && set.contains("Max-Age=0"),
        "{set}"
    );
    let expected = json!({
        "userIdentifier": { "userId": published_user_id(IDP, "alice") }, "sessionUri": HANDLE,
    });
    assert_eq!(beside.binding.calls(COMPLETE).await, [expected]);
    assert!(
        beside.binding.calls(DESCRIBE).await.is_empty(),
        "AgentCore has no such operation"
    );
}

#[tokio::test]
async fn nothing_is_completed_without_the_cookie_of_the_start() {
    let beside = Beside::start().await;
    beside.binding.identity_answers(COMPLETE, 200, json!({})).await;
    let (_, of_alice) = beside.begins("alice", HANDLE).await;
    let (_, of_bob) = beside.begins("bob", HANDLE).await;
    let (_, of_another) = beside.begins("alice", OTHER_HANDLE).await;
    let page = text(&beside.shows("alice", HANDLE, &of_alice).await);
    let form = fields(&page);
    let value = |cookie: &str| cookie.split_once('=').expect("a pair").1.to_owned();
    let name = of_alice.split('=').next().expect("a name");
    let moved = format!("{name}={}", value(&of_another));
    let doubled = format!("{of_alice}; {of_alice}");
    for cookie in ["", &of_bob, &of_another, &moved, &doubled] {
        let shown = beside.shows("alice", HANDLE, cookie).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{cookie}");
        assert!(text(&shown).contains("Not begun in this browser"));
        assert_eq!(
            beside.submits("alice", &form, cookie).await.status,
            StatusCode::FORBIDDEN,
            "{cookie}"
        );
    }
    // Her cookie and her form, under bob's login: the person was switched on the way.
    assert_eq!(
        beside.submits("bob", &form, &of_alice).await.status,
        StatusCode::FORBIDDEN
    );
    assert!(beside.binding.calls(COMPLETE).await.is_empty());
    assert_eq!(
        beside.submits("alice", &form, &of_alice).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_no_navigation_or_no_session_begins_nothing() {
    let beside = Beside::start().await;
    for headers in [
        [("sec-fetch-dest", "iframe")],
        [("sec-fetch-mode", "cors")],
        [("sec-purpose", "prefetch")],
    ] {
        let path = format!("{PATH}/start?request_uri={HANDLE}");
        let answer = beside.send("alice", Method::GET, &path, &headers, "").await;
        assert!(
            answer.status.is_client_error() || answer.status.is_server_error(),
            "{headers:?}"
        );
        assert!(answer.headers.get("set-cookie").is_none());
    }
    for uri in [
        "",
        "https://evil.example/",
        "urn:ietf:params:oauth:request_uri:a b",
    ] {
        assert_eq!(
            beside.begins("alice", uri).await.0.status,
            StatusCode::BAD_REQUEST,
            "{uri}"
        );
    }
    let head = beside
        .send(
            "alice",
            Method::HEAD,
            &format!("{PATH}/start?request_uri={HANDLE}"),
            &[],
            "",
        )
        .await;
    assert_eq!(head.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn aws_refusals_tell_nothing() {
    let beside = Beside::start().await;
    beside.binding.identity_answers(COMPLETE, 403, denied()).await;
    let (_, cookie) = beside.begins("alice", HANDLE).await;
    let form = fields(&text(&beside.shows("alice", HANDLE, &cookie).await));
    let answer = beside.submits("alice", &form, &cookie).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let page = text(&answer);
    assert!(
        page.contains("Nothing to confirm") && !page.contains("expired session"),
        "{page}"
    );
}

#[tokio::test]
async fn our_own_identity_service_needs_no_such_page() {
    let binding = Binding::start().await;
    let path = format!("{PATH}/start?request_uri={HANDLE}");
    let answer = binding.send("alice", Method::GET, &path, &[], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
