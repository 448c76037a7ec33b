//! One agent with its surroundings, and the requests of a browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_agent::{Config, Conversations, Github, IdentityEndpoint, Ledgerline, Limits, Parts, Tools};
use countersign_api::Environment;
use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{
    Aad, Clock as _, ExposeSecret as _, FileKeyProvider, JwkSet, KeyPurpose, KeyRow, KeyState, Keyring,
    SigningKey, SystemRandom, Timestamp, UserKey, b64url_decode, sha256_parts,
};
use countersign_outbound::{Client, OutboundError, Policy, Request, Response};
use countersign_web::person::InboundKind;
use countersign_web::{Drain, DrainSignal, ServeOptions};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate, Times};

pub(crate) const APP_ORIGIN: &str = "http://localhost:8400";
pub(crate) const TOKEN: &str = "/identities/oauth2/token";
pub(crate) const WAT: &str = "/identities/GetWorkloadAccessTokenForJWT";
pub(crate) const SESSION_URI: &str = "urn:ietf:params:oauth:request_uri:SESSION";
/// Planted where secrets are, and looked for everywhere else.
pub(crate) const CANARY: &str = "canary-5f1c";
/// Longer than between two heartbeats.
const PATIENCE: Duration = Duration::from_secs(20);
const ISSUER: &str = "http://localhost:8402/default";

pub(crate) struct Agent {
    /// The identity API, the gateway's keys, Ledgerline and a model, by their paths.
    pub(crate) world: MockServer,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) conversations: TempDir,
    pub(crate) drain: DrainSignal,
    address: SocketAddr,
    key: SigningKey,
    client: Client,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        Self::with_model(|_| "offline".to_owned()).await
    }

    pub(crate) async fn with_model(model: impl FnOnce(&str) -> String) -> Self {
        Self::configured(|config| {
            config.model = model(world_of(config).as_str().trim_end_matches('/'));
        })
        .await
    }

    /// An agent whose configuration is changed before it starts.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let world = MockServer::start().await;
        let conversations = tempfile::tempdir().expect("a directory");
        let pkcs8 = SigningKey::generate_pkcs8();
        let key = SigningKey::from_pkcs8("key-1", pkcs8.expose_secret()).expect("a key");
        let keys = vec![key.public_jwk()];
        let keys = serde_json::to_value(JwkSet { keys }).expect("JSON");
        let agent = Self::started(world, conversations, key, change).await;
        agent.answers("GET", "/jwks.json", 200, keys).await;
        agent
    }

    /// Another process on the same conversations and surroundings, as after a restart.
    pub(crate) async fn restarted(self, change: impl FnOnce(&mut Config)) -> Self {
        self.drain.drain();
        let agent = Self::started(self.world, self.conversations, self.key, change).await;
        agent.clock.set(self.clock.now());
        agent
    }

    async fn started(
        world: MockServer,
        conversations: TempDir,
        key: SigningKey,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let base: Url = world.uri().parse().expect("a URL");
        let mut config = Config {
            listen: address.to_string(),
            hosts: vec![address.to_string()],
            app_url: APP_ORIGIN.parse().expect("a URL"),
            inbound: InboundKind::UserToken,
            gateway_issuer: Some(ISSUER.to_owned()),
            alb: None,
            tls: None,
            plaintext_from: Vec::new(),
            gateway_jwks_uri: Some(base.join("/jwks.json").expect("a URL")),
            audience: Some("dev-agent".to_owned()),
            identity: IdentityEndpoint {
                endpoint: Some(base.clone()),
                access_key_id: Some("AKIDAGENT".to_owned()),
                secret_access_key: Some("secret".into()),
                ..IdentityEndpoint::default()
            },
            account: "000000000000".to_owned(),
            workload: "dev-agent".to_owned(),
            return_url: "http://localhost:8407/oauth2/session-binding".to_owned(),
            front_channel_url: "http://localhost:8407".parse().expect("a URL"),
            tools: Tools {
                ledgerline: Some(Ledgerline {
                    provider: "ledgerline".to_owned(),
                    url: base.clone(),
                }),
                github: Some(Github {
                    provider: "github".to_owned(),
                    api_url: base,
                }),
                openapi: Vec::new(),
            },
            conversations: Conversations::Directory(conversations.path().join("conversations")),
            conversation_key_days: 0,
            model: "offline".to_owned(),
            model_api_key: None,
            model_region: None,
            limits: Limits::default(),
            outbound_allow: Vec::new(),
        };
        change(&mut config);
        let (drain, drained) = Drain::new();
        let root_key = conversations.path().join("agent.key");
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            drain: drained.clone(),
            key_provider: Arc::new(
                FileKeyProvider::open_or_create(&root_key, Arc::new(SystemRandom)).expect("a key file"),
            ),
            previous_key_provider: None,
            aws: Environment::default(),
        };
        let running = countersign_agent::start(config, parts).await.expect("started");
        tokio::spawn(countersign_web::serve(
            vec![listener],
            running.router,
            drained,
            ServeOptions::default(),
        ));
        let policy = Policy {
            allow: vec![address.to_string().parse().expect("host and port")],
            timeout: Duration::from_secs(30),
            ..Policy::default()
        };
        Self {
            world,
            clock,
            conversations,
            drain,
            address,
            key,
            client: Client::new(policy).expect("a client"),
        }
    }

    /// An agent whose person may act and whose vault has a token.
    pub(crate) async fn connected() -> Self {
        let agent = Self::start().await;
        agent.grants_workload_access_token().await;
        agent.answers("POST", TOKEN, 200, access_token("one")).await;
        agent.answers("GET", "/api/issues", 200, issues()).await;
        agent
    }

    pub(crate) async fn grants_workload_access_token(&self) {
        let answer = json!({ "workloadAccessToken": format!("wat-{CANARY}") });
        self.answers("POST", WAT, 200, answer).await;
    }

    /// From now on, where nothing mounted earlier answers.
    pub(crate) async fn answers(&self, verb: &str, at: &str, status: u16, body: Value) {
        self.answers_times(verb, at, status, body, None).await;
    }

    /// As above, so many times.
    pub(crate) async fn answers_times(
        &self,
        verb: &str,
        at: &str,
        status: u16,
        body: Value,
        times: Option<u64>,
    ) {
        let mut answer = ResponseTemplate::new(status).set_body_json(&body);
        if let Some(name) = body["__type"].as_str() {
            answer = answer.insert_header("x-amzn-errortype", name);
        }
        let mock = Mock::given(method(verb)).and(path(at)).respond_with(answer);
        match times {
            Some(times) => mock.up_to_n_times(times).mount(&self.world).await,
            None => mock.expect(Times::from(0..)).mount(&self.world).await,
        }
    }

    /// From now on, `after` a while.
    pub(crate) async fn answers_slowly(&self, verb: &str, at: &str, after: Duration, body: Value) {
        let answer = ResponseTemplate::new(200).set_body_json(&body).set_delay(after);
        let mock = Mock::given(method(verb)).and(path(at)).respond_with(answer);
        mock.mount(&self.world).await;
    }

    /// From now on whoever asks for `scope` is sent to consent, and the person says no.
    pub(crate) async fn declines_scope(&self, scope: &str) {
        let failed = json!({ "sessionUri": SESSION_URI, "sessionStatus": "FAILED" });
        for (part, answer) in [("\"sessionUri\"", failed), ("", front_channel())] {
            Mock::given(path(TOKEN))
                .and(body_string_contains(scope))
                .and(body_string_contains(part))
                .respond_with(ResponseTemplate::new(200).set_body_json(&answer))
                .mount(&self.world)
                .await;
        }
    }

    /// The bodies with which `at` was called, null for none.
    pub(crate) async fn calls(&self, at: &str) -> Vec<Value> {
        let requests = self.world.received_requests().await.expect("recorded");
        requests
            .iter()
            .filter(|request| request.url.path() == at)
            .map(|request| request.body_json().unwrap_or(Value::Null))
            .collect()
    }

    /// The token the gateway would send for `subject`.
    pub(crate) fn user_token(&self, subject: &str, audience: &str) -> String {
        let now = self.clock.now().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": audience, "iat": now, "exp": now + 300, "auth_time": now,
            "sid": format!("sid-{subject}"), "idp_iss": "http://127.0.0.1:8403", "idp_sub": subject, "name": subject,
        });
        self.key
            .sign_jwt(serde_json::Map::new(), &claims)
            .expect("signed")
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Request {
        let url = format!("http://{}{path}", self.address).parse().expect("a URL");
        let mut request = Request::new(method, url);
        request.body = body.into();
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        request
    }

    pub(crate) async fn send(&self, request: Request) -> Response {
        self.client.send(request).await.expect("an answer")
    }

    pub(crate) async fn get(&self, subject: &str, path: &str) -> Response {
        let token = self.user_token(subject, "dev-agent");
        self.send(self.request(Method::GET, path, &[("x-countersign-user-token", &token)], ""))
            .await
    }

    /// The request with which our own page sends a message.
    pub(crate) fn invocation(&self, subject: &str, body: &Value) -> Request {
        let token = self.user_token(subject, "dev-agent");
        let headers = [
            ("x-countersign-user-token", token.as_str()),
            ("content-type", "application/json"),
            ("origin", APP_ORIGIN),
            ("sec-fetch-site", "same-origin"),
        ];
        self.request(Method::POST, "/invocations", &headers, body.to_string())
    }

    /// The events of the answer to `message`, as they come.
    pub(crate) async fn ask(&self, subject: &str, session: &str, message: &str) -> Events {
        let body = json!({ "message": message, "sessionId": session });
        self.events(self.invocation(subject, &body))
            .await
            .expect("a stream")
    }

    /// The events of the interrupted turn, taken up again.
    pub(crate) async fn resume(&self, subject: &str, session: &str) -> Events {
        let body = json!({ "resume": true, "sessionId": session });
        self.events(self.invocation(subject, &body))
            .await
            .expect("a stream")
    }

    /// The events of the turn under way, for another tab.
    pub(crate) async fn watch(&self, subject: &str, session: &str) -> Option<Events> {
        let token = self.user_token(subject, "dev-agent");
        let path = format!("/conversations/{session}/events");
        self.events(self.request(Method::GET, &path, &[("x-countersign-user-token", &token)], ""))
            .await
    }

    /// The events of a request, or with which status it was refused.
    pub(crate) async fn try_events(&self, request: Request) -> Result<Events, StatusCode> {
        let response = self.client.stream(request).await.expect("an answer");
        if response.status != StatusCode::OK {
            return Err(response.status);
        }
        Ok(Events {
            body: response.body,
            pending: String::new(),
            raw: String::new(),
        })
    }

    pub(crate) async fn events(&self, request: Request) -> Option<Events> {
        let response = self.client.stream(request).await.expect("an answer");
        if response.status == StatusCode::NO_CONTENT {
            return None;
        }
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["content-type"], "text/event-stream");
        assert_eq!(response.headers["cache-control"], "no-cache");
        Some(Events {
            body: response.body,
            pending: String::new(),
            raw: String::new(),
        })
    }

    /// The transcript of one conversation, opened.
    pub(crate) async fn unsealed(&self, subject: &str, id: &str) -> String {
        let directory = self.conversations.path();
        unsealed(
            &directory.join("conversations"),
            &directory.join("agent.key"),
            subject,
            id,
        )
        .await
    }

    /// All files of all conversations, as they lie there.
    pub(crate) fn stored(&self) -> Vec<u8> {
        fn read(directory: &std::path::Path, all: &mut Vec<u8>) {
            for entry in std::fs::read_dir(directory).expect("readable") {
                let path = entry.expect("an entry").path();
                if path.ends_with("keys") {
                    continue;
                }
                if path.is_dir() {
                    read(&path, all);
                } else {
                    all.extend(std::fs::read(&path).expect("readable"));
                }
            }
        }
        let mut all = Vec::new();
        read(&self.conversations.path().join("conversations"), &mut all);
        all
    }
}

/// One person's conversation, opened with the root key and the vault's format: what is sealed is what was meant.
async fn unsealed(
    directory: &std::path::Path,
    root_key: &std::path::Path,
    subject: &str,
    id: &str,
) -> String {
    let root = FileKeyProvider::open(root_key, Arc::new(SystemRandom)).expect("the root key");
    let account = "000000000000";
    let keys = hex::encode(&sha256_parts(&[b"conversation keys", account.as_bytes()])[..16]);
    let key = std::fs::read(directory.join("keys").join(keys).join("1.json")).expect("a key");
    let key: Value = serde_json::from_slice(&key).expect("JSON");
    let text = |name: &str| key[name].as_str().expect("text").to_owned();
    let row = KeyRow {
        id: text("id"),
        account: account.to_owned(),
        resource: "countersign:conversations".to_owned(),
        purpose: KeyPurpose::Conversation,
        version: 1,
        state: KeyState::Primary,
        wrapped: b64url_decode(&text("wrapped")).expect("base64url"),
        provider_key_id: text("providerKeyId"),
        created_at: Timestamp::from_secs(0),
    };
    let ring = Keyring::unwrap(&root, &[row]).await.expect("unwrapped");
    let person = UserKey::jwt("http://127.0.0.1:8403", subject);
    let person = hex::encode(sha256_parts(&[
        b"conversations",
        account.as_bytes(),
        person.as_bytes(),
    ]));
    let name = hex::encode(sha256_parts(&[b"conversation", id.as_bytes()]));
    let location = format!("{person}/{name}");
    let object = std::fs::read(directory.join(&location)).expect("the conversation");
    assert_eq!(&object[..4], b"CSC1");
    let heading = usize::from(u16::from_be_bytes([object[4], object[5]]));
    let aad = Aad::new(account, "conversation", &location, "body");
    let body = ring.open(&aad, &object[6 + heading..]).expect("it opens");
    String::from_utf8(body.expose_secret().to_vec()).expect("text")
}

/// Where the identity API of an agent under test is, and all else.
pub(crate) fn world_of(config: &Config) -> Url {
    config.identity.endpoint.clone().expect("set by the harness")
}

/// An event stream.
pub(crate) struct Events {
    body: BoxStream<'static, Result<Bytes, OutboundError>>,
    pending: String,
    /// Everything that has come so far.
    pub(crate) raw: String,
}

impl Events {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        read.unwrap_or_else(|_| panic!("no event after {}", self.raw))
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.pending.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.pending = rest;
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let piece = self.body.next().await?.expect("the stream holds");
            let text = String::from_utf8(piece.to_vec()).expect("whole characters");
            self.raw.push_str(&text);
            self.pending.push_str(&text);
        }
    }

    /// The next event of that name.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self
                .next()
                .await
                .unwrap_or_else(|| panic!("{name} in {}", self.raw));
            if found == name {
                return data;
            }
        }
    }

    /// All that are left, to `done`, and the texts of `message` as one.
    pub(crate) async fn rest(&mut self) -> (Vec<(String, Value)>, String) {
        let mut events = Vec::new();
        let mut text = String::new();
        while let Some((name, data)) = self.next().await {
            assert!(events.len() < 200, "an endless turn: {}", self.raw);
            if name == "message" {
                text.push_str(data["text"].as_str().expect("text"));
            }
            events.push((name, data));
        }
        assert_eq!(events.last().expect("events").0, "done");
        (events, text)
    }
}

fn parse(block: &str) -> Option<(String, Value)> {
    let mut name = None;
    let mut data = None;
    for line in block.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            name = Some(value.trim().to_owned());
        } else if let Some(value) = line.strip_prefix("data:") {
            data = serde_json::from_str(value.trim()).ok();
        }
    }
    Some((name?, data?))
}

/// The states that a stream told of a tool.
pub(crate) fn tool_states(events: &[(String, Value)]) -> Vec<String> {
    events
        .iter()
        .filter(|(name, _)| name == "tool")
        .map(|(_, data)| data["state"].as_str().expect("a state").to_owned())
        .collect()
}

pub(crate) fn access_token(which: &str) -> Value {
    json!({ "accessToken": format!("access-{which}-{CANARY}"), "grantedScopes": ["issues:read", "issues:write"] })
}

pub(crate) fn pending(url: &str) -> Value {
    json!({
        "authorizationUrl": url, "sessionUri": SESSION_URI, "sessionStatus": "IN_PROGRESS",
        "expiresAt": 1_800_000_600.0,
    })
}

pub(crate) fn front_channel() -> Value {
    pending("http://localhost:8407/identities/oauth2/authorize?request_uri=x")
}

pub(crate) fn issues() -> Value {
    json!({ "issues": [
        { "key": "ALICE-1", "title": "Printer on fire", "state": "open", "secret": "dropped" },
        { "key": "ALICE-2", "title": "Coffee machine empty", "state": "open" },
    ] })
}

pub(crate) fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("JSON")
}
