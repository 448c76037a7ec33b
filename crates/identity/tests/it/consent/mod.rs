//! Actors for tests of the consent flow: a workload asks, a person opens links and answers, a vendor consents. The
//! gateway is a signing key whose public half is served, the vendor a small HTTP server that remembers what it was
//! asked; both are other people's parts, everything between them is real.

mod account_change;
mod accounts;
mod actors;
mod client_authentication;
mod closed_vault;
mod connections;
mod console;
mod context;
mod direct;
mod evidence;
mod flow;
mod foreign;
mod grant_limits;
mod load_balancer;
mod people;
mod protocol;
mod refresh;
mod replay;
mod scope_cap;
mod stop_list;
mod urls;
mod vendor;
mod vendors;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use countersign_api::Credentials;
use countersign_api::sigv4::sign;
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{
    Clock as _, FileKeyProvider, JwkSet, SecretString, SharedClock, SigningKey, SystemRandom, Timestamp,
};
use countersign_identity::{AccessKey, Bootstrap, BootstrapProvider, Config, Identity, Parts};
use http::header::HOST;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use actors::{Ask, Page, Person, Workload};
use closed_vault::Keys;
use vendor::Vendor;

const API: &str = "identity.test";
const FRONT: &str = "https://account.test";
/// The app, to which pages lead back.
const APP: &str = "http://localhost:8400";
const RETURN_URL: &str = "https://account.test/oauth2/session-binding";
const GATEWAY: &str = "https://gateway.test/default";
/// Signs with the same key.
const OTHER_GATEWAY: &str = "https://gateway.test/other";
const IDP: &str = "https://idp.test";
const INVALID_SESSION: &str = "Invalid or expired session";

/// An identity role with a gateway before it and a vendor behind it.
struct System {
    identity: Identity,
    config: Config,
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

    /// With further members of the configuration; `{vendor}` in them is the vendor's issuer.
    async fn start_with(members: Value) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
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
        let vendor = Vendor::start().await;
        let address = |url: &str| Url::parse(url).expect("a URL").authority().to_owned();
        let mut config = json!({
            "api_hosts": [API],
            "front_channel_url": FRONT,
            "app_url": APP,
            "account": "000000000000",
            "database": {"url": format!("sqlite:{}", directory.path().join("identity.sqlite").display())},
            "gateways": [{
                "issuer": GATEWAY,
                "jwks_uri": format!("{}/jwks.json", jwks.uri()),
                "workload_audiences": {"agent": "agent", "other-agent": "other-agent"},
                "completion_audience": "binding",
                "start_audience": "identity",
                "stop_list_audience": "stops",
                "logout_stops_user": true,
            }, {
                "issuer": OTHER_GATEWAY,
                "jwks_uri": format!("{}/jwks.json", jwks.uri()),
                "completion_audience": "binding",
                "start_audience": "identity",
                "stop_list_audience": "stops",
            }],
            "outbound_allow": [address(&jwks.uri()), address(&vendor.issuer())],
        });
        let members = members.to_string().replace("{vendor}", &vendor.issuer());
        let members: Value = serde_json::from_str(&members).expect("JSON");
        for (name, value) in members.as_object().expect("an object") {
            match (&mut config[name], value) {
                (Value::Array(items), Value::Array(more)) => items.extend(more.iter().cloned()),
                (member, value) => *member = value.clone(),
            }
        }
        let config: Config = serde_json::from_value(config).expect("a configuration");
        let identity = Self::identity(config.clone(), &clock, &directory).await;
        let bootstrap = identity.bootstrap(Bootstrap {
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
        });
        let done = Box::pin(bootstrap).await.expect("bootstrapped");
        Self {
            api: identity.api_router(),
            front: identity.front_channel_router(),
            identity,
            config,
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

    async fn identity(config: Config, clock: &Arc<ManualClock>, directory: &tempfile::TempDir) -> Identity {
        let random = Arc::new(SystemRandom);
        let key_provider =
            FileKeyProvider::open_or_create(&directory.path().join("identity.key"), random.clone())
                .expect("a key file");
        let parts = Parts {
            clock: Arc::<ManualClock>::clone(clock) as SharedClock,
            random,
            key_provider: Arc::new(Keys {
                file: Arc::new(key_provider),
                closed: directory.path().join("closed"),
                customers: false,
            }),
            previous_key_provider: None,
        };
        let started = Identity::start(config, parts).await;
        started.expect("the identity role starts")
    }

    /// The same installation with another configuration.
    async fn restarted_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config;
        change(&mut config);
        self.identity.close().await.expect("closed");
        let identity = Self::identity(config.clone(), &self.clock, &self.directory).await;
        Self {
            api: identity.api_router(),
            front: identity.front_channel_router(),
            identity,
            config,
            ..self
        }
    }

    /// The same installation after `statements` were run on its database.
    async fn damaged(self, statements: &[&'static str]) -> Self {
        let path = self.directory.path().join("identity.sqlite");
        let (config, clock) = (self.config, self.clock);
        self.identity.close().await.expect("closed");
        let database = countersign_db::Database::Sqlite {
            path,
            read_only: false,
        };
        let pool = countersign_db::Pool::connect(&database).await.expect("opens");
        for statement in statements {
            let changed = pool.execute(statement, Vec::new()).await.expect("changed");
            assert!(changed > 0 || statement.starts_with("CREATE"), "{statement}");
        }
        pool.close().await;
        let identity = Self::identity(config.clone(), &clock, &self.directory).await;
        Self {
            api: identity.api_router(),
            front: identity.front_channel_router(),
            identity,
            config,
            clock,
            ..self
        }
    }

    /// A further replica on the same database; calls of the API that it is asked go there.
    async fn replica(&self) -> Identity {
        Self::identity(self.config.clone(), &self.clock, &self.directory).await
    }

    /// Somebody the gateway knows, in a browser of their own.
    fn person<'s>(&'s self, subject: &str) -> Person<'s> {
        Person {
            system: self,
            gateway: GATEWAY,
            issuer: IDP.to_owned(),
            subject: subject.to_owned(),
            sid: format!("sid-{subject}"),
            groups: Vec::new(),
            login_age: 0,
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
        self.principal_with(name, &document).await
    }

    /// A principal with this policy.
    async fn principal_with(&self, name: &str, document: &Value) -> Credentials {
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
        self.call_at(&self.api, credentials, path, body).await
    }

    /// As [`Self::call`], at another replica.
    async fn call_at(&self, api: &Router, credentials: &Credentials, path: &str, body: &Value) -> Answer {
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
        let response = api
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

    /// A record of `action` whose caller's ARN ends with `caller`.
    async fn assert_recorded_by(&self, action: &str, outcome: &str, caller: &str) {
        let query = json!({"action": action, "outcome": outcome, "newest": true, "maxResults": 5});
        let records = self.admin("ListAuditRecords", query).await["records"].take();
        let found = |record: &Value| text(&record["principal"]).ends_with(caller);
        assert!(
            records
                .as_array()
                .is_some_and(|records| records.iter().any(found)),
            "no {outcome} {action} by {caller} among {records}"
        );
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
