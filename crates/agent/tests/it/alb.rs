//! Behind an Application Load Balancer, beside AgentCore.

use countersign_agent::Config;
use countersign_api::IdentityApi;
use countersign_crypto::alb::{self, AlbHeader};
use countersign_crypto::{Clock as _, ExposeSecret as _, SigningKey, published_user_id};
use countersign_web::person::{AlbConfig, InboundKind};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{
    APP_ORIGIN, Agent, SESSION_URI, TOKEN, WAT, access_token, issues, pending, tool_states, world_of,
};

const FOR_USER_ID: &str = "/identities/GetWorkloadAccessTokenForUserId";
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";
const OTHER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/evil/0123456789abcdef";
const IDP: &str = "https://idp.example";
const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";

struct Behind {
    agent: Agent,
    key: SigningKey,
}

impl Behind {
    /// `api`: whose identity API is beside it.
    async fn start(api: IdentityApi) -> Self {
        let adjust = |config: &mut Config, world: &Url| {
            let keys = world.join("/elb-keys/").expect("a URL");
            config.inbound = InboundKind::Alb;
            config.gateway_issuer = None;
            config.gateway_jwks_uri = None;
            config.audience = None;
            config.alb =
                Some(AlbConfig::new(vec![SIGNER.to_owned()], IDP, "client", Some(keys)).expect("an ARN"));
            config.identity.api = api;
        };
        let agent = Agent::configured(|config| adjust(config, &world_of(config))).await;
        let pkcs8 = SigningKey::generate_pkcs8();
        let key = SigningKey::from_pkcs8(KID, pkcs8.expose_secret()).expect("a key");
        Mock::given(method("GET"))
            .and(path(format!("/elb-keys/{KID}")))
            .respond_with(ResponseTemplate::new(200).set_body_string(key.public_pem()))
            .mount(&agent.world)
            .await;
        agent.answers("GET", "/api/issues", 200, issues()).await;
        Self { agent, key }
    }

    /// What a load balancer sends for `subject`.
    fn header(&self, subject: &str, signer: &str) -> String {
        let header = AlbHeader {
            iss: IDP.to_owned(),
            client: "client".to_owned(),
            signer: signer.to_owned(),
            exp: self.agent.clock.now().as_secs() + 120,
        };
        let claims = json!({ "sub": subject, "name": "Alice Archer" });
        alb::mint(&self.key, &header, claims.as_object().expect("an object"))
    }

    fn invocation(&self, token: &str) -> countersign_outbound::Request {
        let headers = [
            ("x-amzn-oidc-data", token),
            ("x-amzn-oidc-identity", "alice"),
            ("content-type", "application/json"),
            ("origin", APP_ORIGIN),
        ];
        let body = json!({ "message": "list my open issues", "sessionId": "s" });
        self.agent
            .request(Method::POST, "/invocations", &headers, body.to_string())
    }
}

#[tokio::test]
async fn a_load_balancers_person_is_named_by_the_published_user_id() {
    let behind = Behind::start(IdentityApi::Countersign).await;
    let agent = &behind.agent;
    agent
        .answers("POST", FOR_USER_ID, 200, json!({ "workloadAccessToken": "wat" }))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let request = behind.invocation(&behind.header("alice", SIGNER));
    let mut events = agent.events(request).await.expect("a stream");
    let (events, text) = events.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
    assert_eq!(tool_states(&events), ["started", "done"]);
    let named = agent.calls(FOR_USER_ID).await;
    assert_eq!(
        named,
        [json!({ "workloadName": "dev-agent", "userId": published_user_id(IDP, "alice") })]
    );
    assert!(
        agent.calls(WAT).await.is_empty(),
        "a load balancer's token is not passed on"
    );
}

#[tokio::test]
async fn the_page_offers_no_logout_that_a_load_balancer_does_not_have() {
    let behind = Behind::start(IdentityApi::Countersign).await;
    let token = behind.header("alice", SIGNER);
    let headers = [("x-amzn-oidc-data", token.as_str())];
    let answer = behind
        .agent
        .send(behind.agent.request(Method::GET, "/", &headers, ""))
        .await;
    let page = String::from_utf8_lossy(&answer.body);
    assert!(
        page.contains("Alice Archer") && !page.contains("/logout"),
        "{page}"
    );
}

#[tokio::test]
async fn no_other_header_names_a_person_behind_a_load_balancer() {
    let behind = Behind::start(IdentityApi::Countersign).await;
    let agent = &behind.agent;
    let foreign = behind.header("alice", OTHER);
    assert_eq!(
        agent.send(behind.invocation(&foreign)).await.status,
        StatusCode::UNAUTHORIZED
    );
    // Not even a token that our gateway would have made for this agent.
    let user_token = agent.user_token("alice", "dev-agent");
    for headers in [
        vec![("x-countersign-user-token", user_token.as_str())],
        vec![("x-amzn-oidc-identity", "alice")],
        vec![("authorization", "Bearer alice")],
    ] {
        let answer = agent.send(agent.request(Method::GET, "/", &headers, "")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    assert!(agent.calls(FOR_USER_ID).await.is_empty());
}

#[tokio::test]
async fn beside_agentcore_the_card_leads_to_the_binding_services_start_page() {
    let behind = Behind::start(IdentityApi::AgentCore).await;
    let agent = &behind.agent;
    agent
        .answers("POST", FOR_USER_ID, 200, json!({ "workloadAccessToken": "wat" }))
        .await;
    let url = format!(
        "https://bedrock-agentcore.us-east-1.amazonaws.com/identities/oauth2/authorize?request_uri={SESSION_URI}"
    );
    // AWS's answer has no expiresAt and says nothing of scopes.
    let mut asked = pending(&url);
    asked.as_object_mut().expect("an object").remove("expiresAt");
    agent.answers_times("POST", TOKEN, 200, asked, Some(1)).await;
    agent
        .answers("POST", TOKEN, 200, json!({ "accessToken": "token" }))
        .await;
    let request = behind.invocation(&behind.header("alice", SIGNER));
    let mut events = agent.events(request).await.expect("a stream");
    let card = events.until("consent").await;
    let link = Url::parse(card["url"].as_str().expect("a link")).expect("a URL");
    assert_eq!(link.origin().ascii_serialization(), "http://localhost:8407");
    assert_eq!(link.path(), "/oauth2/session-binding/start");
    let query: Vec<_> = link.query_pairs().into_owned().collect();
    assert_eq!(query, [("request_uri".to_owned(), SESSION_URI.to_owned())]);
    let (_, text) = events.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
    let polls: Vec<Value> = agent.calls(TOKEN).await;
    assert_eq!(polls.last().expect("a poll")["sessionUri"], SESSION_URI);

    // AgentCore has no page of connections, so the chat links none.
    let header = behind.header("alice", SIGNER);
    let page = agent
        .send(agent.request(Method::GET, "/", &[("x-amzn-oidc-data", header.as_str())], ""))
        .await;
    let page = String::from_utf8(page.body.to_vec()).expect("text");
    assert!(
        page.contains("Alice Archer") && !page.contains("/connections"),
        "{page}"
    );
}
