//! Actors for tests of the consent flow: a workload asks, a person opens links and answers, a vendor consents. The
//! gateway is a signing key whose public half is served, the vendor a small HTTP server that remembers what it was
//! asked; both are other people's parts, everything between them is real.

mod accounts;
mod context;
mod foreign;
mod people;
mod protocol;
mod refresh;
mod replay;
mod urls;
mod vendor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use countersign_api::Credentials;
use countersign_api::sigv4::sign;
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{
    Clock as _, FileKeyProvider, JwkSet, SecretString, SharedClock, SigningKey, SystemRandom, Timestamp,
    published_user_id,
};
use countersign_identity::{AccessKey, Bootstrap, BootstrapProvider, Config, Identity, Parts};
use http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use vendor::Vendor;

const API: &str = "identity.test";
const FRONT: &str = "https://account.test";
const RETURN_URL: &str = "https://account.test/oauth2/session-binding";
const GATEWAY: &str = "https://gateway.test/default";
const IDP: &str = "https://idp.test";
const INVALID_SESSION: &str = "Invalid or expired session";

/// An identity role with a gateway before it and a vendor behind it.
struct System {
    identity: Identity,
    api: Router,
    front: Router,
    clock: Arc<ManualClock>,
    vendor: Vendor,
    gateway: SigningKey,
    admin: Credentials,
    agent: Credentials,
    binding: Credentials,
    _jwks: MockServer,
    directory: tempfile::TempDir,
}

/// The answer of an API call.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn error(&self) -> (&str, &str) {
        (text(&self.body["__type"]), text(&self.body["message"]))
    }

    fn token(&self) -> Option<&str> {
        self.body["accessToken"].as_str()
    }

    fn session_uri(&self) -> &str {
        text(&self.body["sessionUri"])
    }

    fn link(&self) -> &str {
        text(&self.body["authorizationUrl"])
    }

    fn session_status(&self) -> &str {
        text(&self.body["sessionStatus"])
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl System {
    async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// With further members of the configuration.
    async fn start_with(members: Value) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let random = Arc::new(SystemRandom);
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let gateway =
            SigningKey::from_pkcs8("gateway-key", &expose(&SigningKey::generate_pkcs8())).expect("a key");
        let jwks = MockServer::start().await;
        let keys = JwkSet {
            keys: vec![gateway.public_jwk()],
        };
        Mock::given(path("/jwks.json"))
            .respond_with(ResponseTemplate::new(200).set_body_json(keys))
            .mount(&jwks)
            .await;
        let vendor = Vendor::start(Arc::clone(&clock)).await;
        let address = |url: &str| Url::parse(url).expect("a URL").authority().to_owned();
        let mut config = json!({
            "api_hosts": [API],
            "front_channel_url": FRONT,
            "account": "000000000000",
            "database": {"url": format!("sqlite:{}", directory.path().join("identity.sqlite").display())},
            "gateways": [{
                "issuer": GATEWAY,
                "jwks_uri": format!("{}/jwks.json", jwks.uri()),
                "workload_audiences": {"agent": "agent", "other-agent": "other-agent"},
                "completion_audience": "binding",
                "start_audience": "identity",
            }],
            "outbound_allow": [address(&jwks.uri()), address(&vendor.issuer())],
        });
        for (name, value) in members.as_object().expect("an object") {
            match (&mut config[name], value) {
                (Value::Array(items), Value::Array(more)) => items.extend(more.iter().cloned()),
                (member, value) => *member = value.clone(),
            }
        }
        let config: Config = serde_json::from_value(config).expect("a configuration");
        let key_provider =
            FileKeyProvider::open_or_create(&directory.path().join("identity.key"), random.clone())
                .expect("a key file");
        let shared: SharedClock = clock.clone();
        let parts = Parts {
            clock: shared,
            random,
            key_provider: Arc::new(key_provider),
        };
        let identity = Identity::start(config, parts)
            .await
            .expect("the identity role starts");
        let done = identity
            .bootstrap(Bootstrap {
                admin: None,
                agent: None,
                binding: None,
                workload: "agent".to_owned(),
                return_urls: vec![Url::parse(RETURN_URL).expect("a URL")],
                provider: BootstrapProvider {
                    name: "vendor".to_owned(),
                    discovery_url: vendor.discovery_url(),
                    client_id: "client".to_owned(),
                    client_secret: SecretString::from("client-secret-canary"),
                },
            })
            .await
            .expect("bootstrapped");
        Self {
            api: identity.api_router(),
            front: identity.front_channel_router(),
            identity,
            clock,
            vendor,
            gateway,
            admin: credentials(&done.admin),
            agent: credentials(&done.agent),
            binding: credentials(&done.binding),
            _jwks: jwks,
            directory,
        }
    }

    /// Somebody the gateway knows, in a browser of their own.
    fn person<'s>(&'s self, subject: &str) -> Person<'s> {
        Person {
            system: self,
            issuer: IDP.to_owned(),
            subject: subject.to_owned(),
            sid: format!("sid-{subject}"),
            cookies: Mutex::default(),
        }
    }

    fn workload<'s>(&'s self, name: &str) -> Workload<'s> {
        Workload {
            system: self,
            name: name.to_owned(),
            credentials: self.agent.clone(),
        }
    }

    /// A principal that may do everything with one workload and one provider.
    async fn principal(&self, name: &str, actions: &[&str], workload: &str, provider: &str) -> Credentials {
        let base = "arn:aws:bedrock-agentcore:us-east-1:000000000000:";
        let resources = [
            format!("{base}workload-identity-directory/default"),
            format!("{base}workload-identity-directory/default/workload-identity/{workload}"),
            format!("{base}token-vault/default"),
            format!("{base}token-vault/default/oauth2credentialprovider/{provider}"),
        ];
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resources},
        ]});
        self.admin("CreatePrincipal", json!({"principalName": name}))
            .await;
        self.admin(
            "PutPrincipalPolicy",
            json!({"principalName": name, "document": document}),
        )
        .await;
        let key = self
            .admin("CreateAccessKey", json!({"principalName": name}))
            .await;
        Credentials {
            access_key_id: text(&key["accessKey"]["accessKeyId"]).to_owned(),
            secret_access_key: text(&key["secretAccessKey"]).to_owned().into(),
            session_token: None,
        }
    }

    /// Another workload identity, with the same return URL.
    async fn add_workload(&self, name: &str) {
        let urls = [RETURN_URL];
        self.control(
            "CreateWorkloadIdentity",
            json!({"name": name, "allowedResourceOauth2ReturnUrls": urls}),
        )
        .await;
    }

    /// Another provider at the same vendor; gives its callback URL.
    async fn add_provider(&self, name: &str) -> String {
        let created = self
            .control(
                "CreateOauth2CredentialProvider",
                self.provider_config(name, "other-client"),
            )
            .await;
        text(&created["callbackUrl"]).to_owned()
    }

    fn provider_config(&self, name: &str, client_id: &str) -> Value {
        json!({
            "name": name,
            "credentialProviderVendor": "CustomOauth2",
            "oauth2ProviderConfigInput": {"customOauth2ProviderConfig": {
                "oauthDiscovery": {"discoveryUrl": self.vendor.discovery_url()},
                "clientId": client_id,
                "clientSecret": "secret",
            }},
        })
    }

    async fn stop(&self, kind: &str, subject: &str) {
        self.admin("Stop", json!({"subjectKind": kind, "subject": subject}))
            .await;
    }

    /// A signed call of the operation at `path`.
    async fn call(&self, credentials: &Credentials, path: &str, body: &Value) -> Answer {
        let service = if path.starts_with("/countersign/") {
            "countersign"
        } else {
            "bedrock-agentcore"
        };
        let mut request = Request::post(path)
            .header(HOST, API)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a request");
        sign(
            credentials,
            "us-east-1",
            service,
            &mut request,
            self.clock.now().as_secs(),
        )
        .expect("signed");
        let response = self
            .api
            .clone()
            .oneshot(request.map(Body::from))
            .await
            .expect("infallible");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("a body");
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    async fn admin(&self, operation: &str, body: Value) -> Value {
        let answer = self
            .call(&self.admin, &format!("/countersign/{operation}"), &body)
            .await;
        assert!(answer.status.is_success(), "{operation}: {answer:?}");
        answer.body
    }

    /// A control-plane call that succeeds.
    async fn control(&self, operation: &str, body: Value) -> Value {
        let answer = self
            .call(&self.admin, &format!("/identities/{operation}"), &body)
            .await;
        assert!(answer.status.is_success(), "{operation}: {answer:?}");
        answer.body
    }

    /// The newest audit record of an operation.
    async fn last_record(&self, action: &str) -> Value {
        let records = self
            .admin(
                "ListAuditRecords",
                json!({"action": action, "newest": true, "maxResults": 1}),
            )
            .await;
        records["records"][0].clone()
    }

    /// Asserts that the operation has lately ended so. Refusals of strangers are recorded in the background.
    async fn assert_recorded(&self, action: &str, outcome: &str, reason: &str) {
        let query = json!({"action": action, "newest": true, "maxResults": 5});
        let mut records = Value::Null;
        for _ in 0..100 {
            records = self.admin("ListAuditRecords", query.clone()).await["records"].take();
            let found = |record: &Value| record["outcome"] == outcome && record["reason"] == reason;
            if records
                .as_array()
                .is_some_and(|records| records.iter().any(found))
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no {outcome} {action} with reason {reason} among {records}");
    }

    /// The invariant of the attack matrix: no code reached the vendor, and nobody's vault holds anything.
    async fn assert_nothing_happened(&self) {
        assert_eq!(
            self.vendor.token_requests(),
            0,
            "a code reached the token endpoint"
        );
        let grants = self.admin("ListGrants", json!({})).await;
        assert_eq!(grants["grants"], json!([]), "something was stored");
    }

    async fn grants(&self) -> Vec<Value> {
        let listed = self.admin("ListGrants", json!({})).await;
        listed["grants"].as_array().cloned().unwrap_or_default()
    }

    async fn front_channel(&self, request: Request<Body>) -> Page {
        let response = self.front.clone().oneshot(request).await.expect("infallible");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("a body");
        Page {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

fn expose(secret: &countersign_crypto::SecretBytes) -> Vec<u8> {
    use countersign_crypto::ExposeSecret as _;
    secret.expose_secret().to_vec()
}

fn credentials(key: &AccessKey) -> Credentials {
    Credentials {
        access_key_id: key.access_key_id.clone(),
        secret_access_key: key.secret_access_key.clone(),
        session_token: None,
    }
}

/// An agent.
struct Workload<'s> {
    system: &'s System,
    name: String,
    credentials: Credentials,
}

/// What a workload asks for.
#[derive(Clone)]
struct Ask {
    provider: &'static str,
    scopes: Vec<&'static str>,
    force: bool,
    more: Value,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            provider: "vendor",
            scopes: vec!["read"],
            force: false,
            more: json!({}),
        }
    }
}

impl Workload<'_> {
    /// A workload access token for a person the gateway proves.
    async fn wat(&self, person: &Person<'_>) -> String {
        let answer = self
            .mint("ForJWT", json!({"userToken": person.token(&self.name)}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        text(&answer.body["workloadAccessToken"]).to_owned()
    }

    /// A workload access token for whoever it says.
    async fn wat_for_user_id(&self, user_id: &str) -> String {
        let path = "/identities/GetWorkloadAccessTokenForUserId";
        let body = json!({"workloadName": self.name, "userId": user_id});
        let answer = self.system.call(&self.system.admin, path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        text(&answer.body["workloadAccessToken"]).to_owned()
    }

    async fn mint(&self, kind: &str, mut body: Value) -> Answer {
        body["workloadName"] = self.name.clone().into();
        let path = format!("/identities/GetWorkloadAccessToken{kind}");
        self.system.call(&self.credentials, &path, &body).await
    }

    async fn asks(&self, wat: &str, ask: &Ask) -> Answer {
        let mut body = json!({
            "workloadIdentityToken": wat,
            "resourceCredentialProviderName": ask.provider,
            "scopes": ask.scopes,
            "oauth2Flow": "USER_FEDERATION",
            "resourceOauth2ReturnUrl": RETURN_URL,
            "forceAuthentication": ask.force,
        });
        for (name, value) in ask.more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.system
            .call(&self.credentials, "/identities/oauth2/token", &body)
            .await
    }

    /// The plain request: scope `read` at `vendor`.
    async fn asks_for_token(&self, person: &Person<'_>) -> Answer {
        let wat = self.wat(person).await;
        self.asks(&wat, &Ask::default()).await
    }

    async fn polls(&self, wat: &str, session_uri: &str) -> Answer {
        self.asks(
            wat,
            &Ask {
                more: json!({"sessionUri": session_uri}),
                ..Ask::default()
            },
        )
        .await
    }
}

/// What a browser got.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Page {
    fn location(&self) -> &str {
        self.headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location()).expect("an absolute location");
        url.query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The completion handle on the way to the return URL.
    fn handle(&self) -> String {
        assert!(
            self.location().starts_with(RETURN_URL),
            "not on the way to the return URL: {self:?}"
        );
        self.parameter("session_id").expect("a session_id")
    }

    /// The value of a hidden field of its form.
    fn hidden(&self, name: &str) -> String {
        let after = self
            .body
            .split_once(&format!("name=\"{name}\" value=\""))
            .expect("the field")
            .1;
        after.split_once('"').expect("a quote").0.to_owned()
    }
}

/// A person with a browser.
struct Person<'s> {
    system: &'s System,
    issuer: String,
    subject: String,
    sid: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Person<'_> {
    /// What the gateway says about them to `audience`.
    fn token(&self, audience: &str) -> String {
        let now = self.system.clock.now().as_secs();
        let claims = json!({
            "iss": GATEWAY, "sub": format!("{}|{}", self.issuer, self.subject), "aud": audience,
            "iat": now, "exp": now + 300, "sid": self.sid, "auth_time": now,
            "idp_iss": self.issuer, "idp_sub": self.subject, "name": self.subject,
        });
        self.system
            .gateway
            .sign_jwt(serde_json::Map::new(), &claims)
            .expect("signed")
    }

    fn published_id(&self) -> String {
        published_user_id(&self.issuer, &self.subject)
    }

    fn request(&self, method: Method, url: &str) -> http::request::Builder {
        let relative = url.strip_prefix(FRONT).unwrap_or(url);
        let cookies = self.cookies.lock().expect("not poisoned");
        let cookies: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut builder = Request::builder()
            .method(method)
            .uri(relative)
            .header(HOST, "account.test");
        if !cookies.is_empty() {
            builder = builder.header(COOKIE, cookies.join("; "));
        }
        builder
    }

    async fn send(&self, request: Request<Body>) -> Page {
        let page = self.system.front_channel(request).await;
        for cookie in page.headers.get_all(SET_COOKIE) {
            let pair = cookie
                .to_str()
                .expect("ASCII")
                .split(';')
                .next()
                .unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies
                .lock()
                .expect("not poisoned")
                .insert(name.to_owned(), value.to_owned());
        }
        page
    }

    /// Opens a link of the account origin, logged in.
    async fn opens(&self, url: &str) -> Page {
        self.opens_with(url, &[]).await
    }

    /// As [`Self::opens`], with further headers.
    async fn opens_with(&self, url: &str, headers: &[(&'static str, &'static str)]) -> Page {
        let mut request = self
            .request(Method::GET, url)
            .header("x-countersign-user-token", self.token("identity"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// Opens a link without being logged in.
    async fn opens_anonymously(&self, url: &str) -> Page {
        self.send(
            self.request(Method::GET, url)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    /// Answers the start page's question.
    async fn answers(&self, page: &Page, decision: &str) -> Page {
        self.answers_as(page, decision, FRONT).await
    }

    async fn answers_as(&self, page: &Page, decision: &str, origin: &'static str) -> Page {
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("request_uri", &page.hidden("request_uri"))
            .append_pair("csrf_token", &page.hidden("csrf_token"))
            .append_pair("decision", decision)
            .finish();
        let request = self
            .request(Method::POST, "/identities/oauth2/authorize")
            .header("x-countersign-user-token", self.token("identity"))
            .header(ORIGIN, origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .expect("a request");
        self.send(request).await
    }

    /// Opens the agent's link and goes on to the vendor; gives the vendor's URL.
    async fn starts(&self, link: &str) -> String {
        let question = self.opens(link).await;
        let on = self.answers(&question, "allow").await;
        assert_eq!(on.status, StatusCode::SEE_OTHER, "{on:?}");
        on.location().to_owned()
    }

    /// Agrees at the vendor with the account `account`, and follows the way back.
    async fn agrees(&self, vendor_url: &str, account: &str) -> Page {
        let callback = self.system.vendor.agree(vendor_url, account);
        self.opens(&callback).await
    }

    /// From the link to the return URL; gives the completion handle.
    async fn consents(&self, link: &str) -> String {
        let vendor_url = self.starts(link).await;
        self.agrees(&vendor_url, &self.subject).await.handle()
    }

    /// What the binding page does for the person in front of it.
    async fn completes(&self, handle: &str) -> Answer {
        let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": self.token("binding")}});
        self.system
            .call(
                &self.system.binding,
                "/identities/CompleteResourceTokenAuth",
                &body,
            )
            .await
    }

    /// Everything, from the link on.
    async fn connects(&self, link: &str) {
        let handle = self.consents(link).await;
        let answer = self.completes(&handle).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    async fn describes(&self, handle: &str) -> Answer {
        let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": self.token("binding")}});
        self.system
            .call(
                &self.system.binding,
                "/countersign/DescribeAuthorizationSession",
                &body,
            )
            .await
    }
}

/// Asserts the one answer to everything that is wrong with a session.
fn assert_invalid_session(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    assert_eq!(answer.error(), ("AccessDeniedException", INVALID_SESSION));
}

/// Headers of a request that no navigation makes.
const IMAGE: &[(&str, &str)] = &[
    ("sec-fetch-dest", "image"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-site", "cross-site"),
];

#[tokio::test]
async fn a_person_consents_once_and_the_agent_has_its_token() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    assert_eq!(
        (pending.status, pending.session_status(), pending.token()),
        (StatusCode::OK, "IN_PROGRESS", None)
    );
    assert!(
        pending
            .link()
            .starts_with("https://account.test/identities/oauth2/authorize?request_uri=urn%3Aietf")
    );

    let question = alice.opens(pending.link()).await;
    assert_eq!(question.status, StatusCode::OK);
    for shown in [
        "alice",
        "agent",
        "vendor",
        "read",
        "name=\"decision\" value=\"allow\"",
        "value=\"deny\"",
    ] {
        assert!(question.body.contains(shown), "{shown} is not shown");
    }
    let on = alice.answers(&question, "allow").await;
    let back = alice.agrees(on.location(), "alice@vendor").await;
    assert_eq!(system.vendor.token_requests(), 0, "the code waits for the person");
    let wat = agent.wat(&alice).await;
    assert_eq!(
        agent.polls(&wat, pending.session_uri()).await.session_status(),
        "IN_PROGRESS"
    );
    let handle = back.handle();
    assert_ne!(handle, pending.session_uri());

    assert_eq!(alice.describes(&handle).await.body["state"], "CODE_HELD");
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    let described = alice.describes(&handle).await.body;
    assert_eq!(
        (
            text(&described["state"]),
            text(&described["accountId"]),
            &described["personBound"]
        ),
        ("COMPLETED", "alice@vendor", &json!(true))
    );

    let polled = agent.polls(&wat, pending.session_uri()).await;
    assert!(
        polled.token().is_some_and(|token| token.starts_with("access-")),
        "{polled:?}"
    );
    assert_eq!(polled.body["grantedScopes"], json!(["read"]));
    let again = agent.asks_for_token(&alice).await;
    assert_eq!(again.token(), polled.token());
    let record = system.last_record("GetResourceOauth2Token").await;
    assert_eq!(text(&record["outcome"]), "done");
    assert_eq!(record["grant"], polled.body["grantId"]);
    assert_eq!(
        (
            text(&record["sid"]),
            text(&record["workload"]),
            text(&record["provider"])
        ),
        ("sid-alice", "agent", "vendor")
    );
    system.identity.close().await.expect("closed");
}

#[tokio::test]
async fn an_equal_request_gets_its_session_back_and_another_supersedes_it() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let ask = Ask::default();
    let first = agent.asks(&wat, &ask).await;
    assert_eq!(agent.asks(&wat, &ask).await.session_uri(), first.session_uri());
    let other_state = Ask {
        more: json!({"customState": "other"}),
        ..ask.clone()
    };
    let second = agent.asks(&wat, &other_state).await;
    assert_ne!(second.session_uri(), first.session_uri());
    assert_eq!(
        agent.polls(&wat, first.session_uri()).await.session_status(),
        "FAILED"
    );
    assert_eq!(alice.opens(first.link()).await.status, StatusCode::CONFLICT);
    // Another scope set is another slot.
    let third = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["write"],
                ..ask.clone()
            },
        )
        .await;
    assert_ne!(third.session_uri(), second.session_uri());
    assert_eq!(
        agent.polls(&wat, second.session_uri()).await.session_status(),
        "IN_PROGRESS"
    );
    // A session whose code is held is out of reach.
    let handle = alice.consents(second.link()).await;
    let forced = agent
        .asks(
            &wat,
            &Ask {
                force: true,
                ..other_state
            },
        )
        .await;
    assert_ne!(forced.session_uri(), second.session_uri());
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn force_withholds_the_old_grant_from_its_own_polls_alone() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let first = agent.asks(&wat, &Ask::default()).await;
    alice.connects(first.link()).await;
    let old = agent.asks(&wat, &Ask::default()).await;
    let forced = agent
        .asks(
            &wat,
            &Ask {
                force: true,
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(forced.token(), None);
    assert_eq!(
        agent.polls(&wat, forced.session_uri()).await.token(),
        None,
        "the old grant is withheld"
    );
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        old.token(),
        "and is still there"
    );
    alice.connects(forced.link()).await;
    let new = agent.polls(&wat, forced.session_uri()).await;
    assert!(new.token().is_some() && new.token() != old.token());
}

#[tokio::test]
async fn other_flows_and_workloads_without_a_person_are_refused_by_name() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    for flow in ["M2M", "ON_BEHALF_OF_TOKEN_EXCHANGE"] {
        let answer = agent
            .asks(
                &wat,
                &Ask {
                    more: json!({"oauth2Flow": flow}),
                    ..Ask::default()
                },
            )
            .await;
        assert_eq!(answer.error().0, "ValidationException");
        assert_eq!(answer.body["fieldList"][0]["name"], "oauth2Flow");
    }
    let alone = agent.mint("", json!({})).await;
    let answer = agent
        .asks(text(&alone.body["workloadAccessToken"]), &Ask::default())
        .await;
    assert_eq!(answer.body["fieldList"][0]["name"], "workloadIdentityToken");
    let answer = agent
        .asks(
            &wat,
            &Ask {
                more: json!({"customParameters": {"redirect_uri": "x"}}),
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(answer.error().0, "ValidationException");
    let path = "/identities/api-key";
    let body = json!({"workloadIdentityToken": wat, "resourceCredentialProviderName": "key"});
    let answer = system.call(&system.admin, path, &body).await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::NOT_FOUND, "ResourceNotFoundException")
    );
}
