//! One session binding service with its surroundings, and the requests of a browser.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_api::Environment;
use countersign_binding::{Config, IdentityEndpoint, Parts};
use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{Clock as _, JwkSet, SigningKey, Timestamp};
use countersign_outbound::{Client, Policy, Request, Response};
use countersign_web::person::InboundKind;
use countersign_web::{Drain, DrainSignal, ServeOptions};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) const PATH: &str = "/oauth2/session-binding";
pub(crate) const HANDLE: &str =
    "urn:ietf:params:oauth:request_uri:AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLL";
pub(crate) const DESCRIBE: &str = "/countersign/DescribeAuthorizationSession";
pub(crate) const COMPLETE: &str = "/identities/CompleteResourceTokenAuth";
pub(crate) const CONFIRM: &str = "/countersign/ConfirmAuthorizationSession";
pub(crate) const ACCOUNT_ORIGIN: &str = "http://localhost:8407";
pub(crate) const BROWSER_COOKIE: &str = "countersign-browser-8400=Yg";

const ISSUER: &str = "http://localhost:8402/default";

pub(crate) struct Binding {
    pub(crate) identity: MockServer,
    address: SocketAddr,
    key: SigningKey,
    pub(crate) clock: Arc<ManualClock>,
    client: Client,
    _drain: DrainSignal,
}

impl Binding {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// With a configuration that `adjust` has changed; it is told where the identity API is.
    pub(crate) async fn with(adjust: impl FnOnce(&mut Config, &Url)) -> Self {
        let identity = MockServer::start().await;
        let key = SigningKey::from_pkcs8("key-1", expose(&SigningKey::generate_pkcs8())).expect("a key");
        let keys = serde_json::to_value(JwkSet {
            keys: vec![key.public_jwk()],
        })
        .expect("JSON");
        Mock::given(method("GET"))
            .and(path("/jwks.json"))
            .respond_with(ResponseTemplate::new(200).set_body_json(keys))
            .mount(&identity)
            .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let base: Url = identity.uri().parse().expect("a URL");
        let mut config = Config {
            listen: address.to_string(),
            hosts: vec![address.to_string()],
            account_url: ACCOUNT_ORIGIN.parse().expect("a URL"),
            app_url: "http://localhost:8400".parse().expect("a URL"),
            inbound: InboundKind::UserToken,
            gateway_issuer: Some(ISSUER.to_owned()),
            alb: None,
            tls: None,
            plaintext_from: Vec::new(),
            gateway_jwks_uri: Some(base.join("/jwks.json").expect("a URL")),
            audience: Some("binding".to_owned()),
            authorize_url: None,
            form_key: None,
            identity: IdentityEndpoint {
                endpoint: Some(base.clone()),
                access_key_id: Some("AKIDBINDING".to_owned()),
                secret_access_key: Some("secret".into()),
                ..IdentityEndpoint::default()
            },
            cookie_suffix: "8400".to_owned(),
            outbound_allow: Vec::new(),
        };
        adjust(&mut config, &base);
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            aws: Environment::default(),
        };
        let running = countersign_binding::start(config, parts).expect("started");
        let (signal, drain) = Drain::new();
        tokio::spawn(countersign_web::serve(
            vec![listener],
            running.router,
            drain,
            ServeOptions::default(),
        ));
        let policy = Policy {
            allow: vec![address.to_string().parse().expect("host and port")],
            ..Policy::default()
        };
        Self {
            identity,
            address,
            key,
            clock,
            client: Client::new(policy).expect("a client"),
            _drain: signal,
        }
    }

    /// The token the gateway would send for `subject`.
    pub(crate) fn user_token(&self, subject: &str, audience: &str) -> String {
        let now = self.clock.now().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": audience, "iat": now, "exp": now + 300, "auth_time": now,
            "sid": format!("sid-{subject}"), "idp_iss": "http://127.0.0.1:8403", "idp_sub": subject, "name": subject,
        });
        let header = json!({ "typ": "JWT" }).as_object().expect("an object").clone();
        self.key.sign_jwt(header, &claims).expect("signed")
    }

    /// A request of `subject`'s browser.
    pub(crate) async fn send(
        &self,
        subject: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let token = self.user_token(subject, "binding");
        let mut all = vec![("x-countersign-user-token", token.as_str())];
        all.extend_from_slice(headers);
        self.send_bare(method, path, &all, body).await
    }

    /// A request with these headers alone.
    pub(crate) async fn send_bare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let url = format!("http://{}{path}", self.address).parse().expect("a URL");
        let mut request = Request::new(method, url);
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        if !body.is_empty() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request = request.body(form, body.to_owned());
        }
        self.client.send(request).await.expect("an answer")
    }

    pub(crate) async fn show(&self, subject: &str, handle: &str) -> Response {
        self.send(subject, Method::GET, &at(handle), &[], "").await
    }

    /// What the browser sends when the form's button is pressed.
    pub(crate) async fn submit(&self, subject: &str, form: &BTreeMap<String, String>) -> Response {
        let headers = [("origin", ACCOUNT_ORIGIN), ("sec-fetch-site", "same-origin")];
        self.send(subject, Method::POST, PATH, &headers, &encode(form))
            .await
    }

    /// Has the identity API answer `operation`.
    pub(crate) async fn identity_answers(&self, operation: &str, status: u16, body: Value) {
        let mut answer = ResponseTemplate::new(status).set_body_json(&body);
        if let Some(name) = body["__type"].as_str() {
            answer = answer.insert_header("x-amzn-errortype", name);
        }
        Mock::given(method("POST"))
            .and(path(operation))
            .respond_with(answer)
            .mount(&self.identity)
            .await;
    }

    /// As above, for the browser's cookie or the person's token alone.
    pub(crate) async fn describe_answers(&self, member: &'static str, status: u16, body: Value) {
        let mut answer = ResponseTemplate::new(status).set_body_json(&body);
        if let Some(name) = body["__type"].as_str() {
            answer = answer.insert_header("x-amzn-errortype", name);
        }
        Mock::given(method("POST"))
            .and(path(DESCRIBE))
            .and(move |request: &wiremock::Request| {
                request
                    .body_json::<Value>()
                    .is_ok_and(|body| body.get(member).is_some())
            })
            .respond_with(answer)
            .mount(&self.identity)
            .await;
    }

    /// The bodies with which `operation` was called.
    pub(crate) async fn calls(&self, operation: &str) -> Vec<Value> {
        let requests = self.identity.received_requests().await.expect("recorded");
        requests
            .iter()
            .filter(|request| request.url.path() == operation)
            .map(|request| request.body_json().expect("JSON"))
            .collect()
    }

    /// How often the identity API was asked for anything.
    pub(crate) async fn identity_calls(&self) -> usize {
        self.calls(DESCRIBE).await.len() + self.calls(COMPLETE).await.len()
    }
}

pub(crate) fn at(handle: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("session_id", handle)
        .finish();
    format!("{PATH}?{query}")
}

pub(crate) fn encode(form: &BTreeMap<String, String>) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish()
}

pub(crate) fn text(response: &Response) -> String {
    String::from_utf8(response.body.to_vec()).expect("UTF-8")
}

/// The hidden fields of the page's form.
pub(crate) fn fields(page: &str) -> BTreeMap<String, String> {
    page.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once("\" value=\"").expect("a value");
            let (value, _) = rest.split_once('"').expect("a quote");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

pub(crate) fn session(state: &str) -> Value {
    json!({
        "workloadName": "dev-agent", "credentialProviderName": "ledgerline", "scopes": ["issues:read"],
        "state": state, "expiresAt": 1_800_000_600.0, "personBound": false,
    })
}

pub(crate) fn denied() -> Value {
    json!({ "__type": "AccessDeniedException", "message": "Invalid or expired session" })
}

fn expose(secret: &countersign_crypto::SecretBytes) -> &[u8] {
    countersign_crypto::ExposeSecret::expose_secret(secret)
}
