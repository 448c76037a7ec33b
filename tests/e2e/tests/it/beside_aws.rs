//! `serve agent` and `serve binding` behind an Application Load Balancer and beside AgentCore. The test is the load
//! balancer: it logs people in and signs `x-amzn-oidc-data`. AgentCore is once a recorder at AWS's form, with the container
//! endpoint beside it, and once our identity role, whose return URLs carry the session URI as AWS's do.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use countersign_api::{
    Client, Credentials, Operation,
    admin::{PutReturnHandle, put_return_handle},
    control::{UpdateWorkloadIdentity, update_workload_identity},
};
use countersign_crypto::{
    ExposeSecret as _, SigningKey,
    alb::{self, AlbHeader},
    published_user_id,
};
use countersign_outbound::{Client as Outbound, HostPort, Policy};
use e2e::{Person, System, http_browser::query, oidc_provider::free_port, served::Served, sse::Events};
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/agents/50dc6c495c0c9188";
const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";
const SESSION: &str = "urn:ietf:params:oauth:request_uri:AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLL";
const WORKLOAD: &str = "dev-agent";

/// The load balancer: it has logged people in at `issuer`.
struct Balancer {
    key: SigningKey,
    issuer: String,
}

impl Balancer {
    fn new(issuer: &str) -> Self {
        let pkcs8 = SigningKey::generate_pkcs8();
        Self {
            key: SigningKey::from_pkcs8(KID, pkcs8.expose_secret()).expect("a key"),
            issuer: issuer.to_owned(),
        }
    }

    /// A request of `subject`'s browser, with what the load balancer adds; redirects stay unfollowed.
    fn request(&self, subject: &str, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        let header = AlbHeader {
            iss: self.issuer.clone(),
            client: "client".to_owned(),
            signer: SIGNER.to_owned(),
            exp: i64::try_from(now).expect("a time") + 120,
        };
        let claims = json!({ "sub": subject, "name": subject });
        let token = alb::mint(&self.key, &header, claims.as_object().expect("an object"));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        client
            .request(method, url)
            .header("x-amzn-oidc-data", token)
            .header("x-amzn-oidc-identity", subject)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    }

    async fn asks(&self, subject: &str, agent: &str) -> Events {
        let request = self.request(subject, reqwest::Method::POST, &format!("{agent}/invocations"));
        let answer = request
            .header("origin", "https://app.example.com")
            .json(&json!({ "message": "list my open issues", "sessionId": "s" }))
            .send()
            .await;
        Events::new(answer.expect("an answer"))
    }

    /// Follows the card's link: where it leads, and the cookie it leaves.
    async fn begins(&self, subject: &str, link: &Url, binding: &str) -> (Url, String) {
        let link = format!("{binding}{}", &link[url::Position::BeforePath..]);
        let answer = self
            .request(subject, reqwest::Method::GET, &link)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::FOUND, "{link}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        let cookie = header("set-cookie").split(';').next().expect("a pair").to_owned();
        (Url::parse(&header("location")).expect("a URL"), cookie)
    }

    /// Opens the way back from AgentCore.
    async fn returns(
        &self,
        subject: &str,
        binding: &str,
        handle: &str,
        cookie: &str,
    ) -> (StatusCode, String) {
        let url = Url::parse_with_params(
            &format!("{binding}/oauth2/session-binding"),
            [("session_id", handle)],
        );
        let request = self.request(subject, reqwest::Method::GET, url.expect("a URL").as_str());
        let answer = request.header("cookie", cookie).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("text"))
    }

    async fn confirms(&self, subject: &str, binding: &str, page: &str, cookie: &str) -> (StatusCode, String) {
        let value = |name: &str| {
            let (_, rest) = page
                .split_once(&format!("name=\"{name}\" value=\""))
                .expect("a field");
            rest.split('"').next().expect("a value").to_owned()
        };
        let request = self.request(
            subject,
            reqwest::Method::POST,
            &format!("{binding}/oauth2/session-binding"),
        );
        let answer = request
            .header("origin", "https://account.example.com")
            .header("cookie", cookie)
            .form(&[
                ("session_id", value("session_id")),
                ("csrf_token", value("csrf_token")),
            ])
            .send()
            .await
            .expect("an answer");
        (answer.status(), answer.text().await.expect("text"))
    }
}

/// `serve agent` and `serve binding`, each with its place.
struct Roles {
    agent_process: Served,
    binding_process: Served,
    agent: String,
    binding: String,
}

/// What the two differ in between the tests.
struct Surroundings<'a> {
    issuer: &'a str,
    /// Where the load balancer's keys are, and Ledgerline.
    keys: &'a str,
    ledgerline: &'a str,
    authorize_url: &'a str,
    /// Of agent and binding.
    environment: [Vec<(&'a str, String)>; 2],
}

fn roles(with: &Surroundings<'_>) -> Roles {
    let [agent, binding] = [free_port(), free_port()];
    let common = |port: u16| {
        format!(
            "listen = \"127.0.0.1:{port}\"\nhosts = [\"127.0.0.1:{port}\"]\napp_url = \"https://app.example.com\"\n\
             inbound = \"alb\"\nalb = {{ signers = [\"{SIGNER}\"], issuer = \"{}\", client = \"client\", key_url = \"{}\" }}\n",
            with.issuer, with.keys
        )
    };
    let start = |role: &str, section: String, environment: &[(&str, String)]| {
        let config = format!(
            "[keys]\nagent = \"@DIRECTORY@/agent.key\"\n[operations]\nlisten = \"127.0.0.1:{}\"\n[{role}]\n{section}\n[{role}.identity]\napi = \"agentcore\"\n",
            free_port()
        );
        let variables: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut through = vec!["env", "-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY"];
        through.extend(variables.iter().map(String::as_str));
        Served::start_in(tempfile::tempdir().expect("a directory"), role, &config, &through)
    };
    let section = format!(
        "{}workload = \"{WORKLOAD}\"\nreturn_url = \"https://account.example.com/oauth2/session-binding\"\n\
         front_channel_url = \"https://account.example.com\"\nconversations = \"@DIRECTORY@/conversations\"\n\
         model = \"offline\"\ntools = {{ ledgerline = {{ provider = \"ledgerline\", url = \"{}\" }} }}\n",
        common(agent),
        with.ledgerline
    );
    let agent_process = start("agent", section, &with.environment[0]);
    let section = format!(
        "{}account_url = \"https://account.example.com\"\nauthorize_url = \"{}\"\nform_key = \"{}\"\n",
        common(binding),
        with.authorize_url,
        "k".repeat(32)
    );
    let binding_process = start("binding", section, &with.environment[1]);
    Roles {
        agent_process,
        binding_process,
        agent: format!("http://127.0.0.1:{agent}"),
        binding: format!("http://127.0.0.1:{binding}"),
    }
}

/// Serves the balancer's public key, and whatever else `answer` knows.
async fn serves<F>(pem: String, answer: F) -> String
where
    F: Fn(&str, &HeaderMap, &Bytes) -> Option<Value> + Clone + Send + Sync + 'static,
{
    async fn every<F>(
        State((pem, answer)): State<(String, F)>,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response
    where
        F: Fn(&str, &HeaderMap, &Bytes) -> Option<Value>,
    {
        if uri.path() == format!("/keys/{KID}") {
            return pem.into_response();
        }
        match answer(uri.path(), &headers, &body) {
            Some(value) => Json(value).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let router = Router::new().fallback(every::<F>).with_state((pem, answer));
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

/// What the recorder has seen: path, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// AgentCore, the container endpoint and Ledgerline, as far as one consent needs them.
fn recorded(
    seen: &Seen,
) -> impl Fn(&str, &HeaderMap, &Bytes) -> Option<Value> + Clone + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move |path, headers, body| {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut seen = seen.lock().expect("not poisoned");
        seen.push((path.to_owned(), headers.clone(), body.clone()));
        let completed = seen
            .iter()
            .any(|(path, ..)| path == "/identities/CompleteResourceTokenAuth");
        Some(match path {
            "/v2/credentials/task" => json!({
                "RoleArn": "arn:aws:iam::000000000000:role/task", "AccessKeyId": "ASIATASK", "SecretAccessKey": "secret",
                "Token": "task-token", "Expiration": "2999-01-01T00:00:00Z",
            }),
            "/identities/GetWorkloadAccessTokenForUserId" => json!({ "workloadAccessToken": "wat" }),
            "/identities/oauth2/token" if completed => json!({ "accessToken": "github-token" }),
            "/identities/oauth2/token" => json!({
                "authorizationUrl": format!("https://bedrock-agentcore.us-east-1.amazonaws.com/identities/oauth2/authorize?request_uri={SESSION}"),
                "sessionUri": SESSION, "sessionStatus": "IN_PROGRESS",
            }),
            "/identities/CompleteResourceTokenAuth" => json!({}),
            "/api/issues" => json!({ "issues": [{ "key": "ALICE-1", "title": "Printer", "state": "open" }] }),
            _ => return None,
        })
    }
}

#[tokio::test]
async fn agent_and_binding_speak_to_agentcore_with_the_credentials_of_their_container() {
    let idp = "https://login.example.com";
    let balancer = Balancer::new(idp);
    let seen = Seen::default();
    let world = serves(balancer.key.public_pem(), recorded(&seen)).await;
    let aws = || {
        vec![
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", world.clone()),
            (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{world}/v2/credentials/task"),
            ),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token".to_owned()),
        ]
    };
    let keys = format!("{world}/keys");
    let roles = roles(&Surroundings {
        issuer: idp,
        keys: &keys,
        ledgerline: &world,
        authorize_url: "https://bedrock-agentcore.eu-central-1.amazonaws.com/identities/oauth2/authorize",
        environment: [aws(), aws()],
    });
    let mut events = balancer.asks("alice", &roles.agent).await;
    let card = events.until("consent").await;
    let link = Url::parse(card.data["url"].as_str().expect("a link")).expect("a URL");
    let (to, cookie) = balancer.begins("alice", &link, &roles.binding).await;
    assert_eq!(
        to.host_str(),
        Some("bedrock-agentcore.eu-central-1.amazonaws.com")
    );
    assert_eq!(query(&to, "request_uri").as_deref(), Some(SESSION));
    let (status, page) = balancer.returns("alice", &roles.binding, SESSION, &cookie).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let (status, page) = balancer.confirms("alice", &roles.binding, &page, &cookie).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(events.answer().await.contains("ALICE-1"));

    // Each call is signed for the region with the task's temporary key, and names the person in the published form.
    let seen = seen.lock().expect("not poisoned");
    let calls: Vec<_> = seen
        .iter()
        .filter(|(path, ..)| path.starts_with("/identities/"))
        .collect();
    let user_id = published_user_id(idp, "alice");
    for (path, headers, _) in &calls {
        let authorization = headers["authorization"].to_str().expect("text");
        assert!(
            authorization.contains("Credential=ASIATASK/"),
            "{path}: {authorization}"
        );
        assert!(
            authorization.contains("/eu-central-1/bedrock-agentcore/aws4_request"),
            "{path}: {authorization}"
        );
        assert!(
            authorization.contains("x-amz-security-token"),
            "signed with its token: {authorization}"
        );
        assert_eq!(headers["x-amz-security-token"], "task-token");
    }
    let body_of = |wanted: &str| {
        let call = calls.iter().find(|(path, ..)| path == wanted);
        &call.unwrap_or_else(|| panic!("{wanted} was called")).2
    };
    assert_eq!(
        body_of("/identities/GetWorkloadAccessTokenForUserId")["userId"],
        user_id.as_str()
    );
    assert_eq!(
        body_of("/identities/CompleteResourceTokenAuth")["userIdentifier"]["userId"],
        user_id.as_str()
    );
    let fetches: Vec<_> = seen
        .iter()
        .filter(|(path, ..)| path == "/v2/credentials/task")
        .collect();
    assert_eq!(fetches.len(), 2, "once by each process");
    assert!(
        fetches
            .iter()
            .all(|(_, headers, _)| headers["authorization"] == "container-token")
    );
    for log in [roles.agent_process.log_text(), roles.binding_process.log_text()] {
        for secret in ["task-token", "container-token", "github-token", SESSION] {
            assert!(!log.contains(secret), "{secret} is in a log:\n{log}");
        }
    }
}

/// Calls the admin of a development system.
async fn call<O: Operation>(system: &System, input: &O::Input) {
    let endpoint: Url = system
        .variable("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE")
        .parse()
        .expect("a URL");
    let policy = Policy {
        allow: HostPort::of(&endpoint).into_iter().collect(),
        ..Policy::default()
    };
    let credentials = Credentials {
        access_key_id: system.variable("AWS_ACCESS_KEY_ID").to_owned(),
        secret_access_key: system.variable("AWS_SECRET_ACCESS_KEY").into(),
        session_token: None,
    };
    let now = || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        i64::try_from(now.as_secs()).expect("a time")
    };
    let http = Outbound::new(policy).expect("a client");
    let client = Client::new(endpoint, "us-east-1".to_owned(), credentials, http, Arc::new(now));
    let answer = client.call::<O>(input).await;
    assert!(
        answer.is_ok(),
        "{}: {}",
        O::NAME,
        answer.err().map(|error| error.to_string()).unwrap_or_default()
    );
}

#[tokio::test]
async fn a_consent_behind_a_load_balancer_is_finished_by_who_began_it_and_nobody_else() {
    let system = System::start();
    let idp = format!("http://127.0.0.1:{}", system.port_base + 3);
    let balancer = Balancer::new(&idp);
    let world = serves(balancer.key.public_pem(), |_, _, _| None).await;
    let workload = update_workload_identity::Input {
        name: WORKLOAD.to_owned(),
        allowed_resource_oauth2_return_urls: Some(vec![
            "https://account.example.com/oauth2/session-binding".to_owned(),
        ]),
    };
    call::<UpdateWorkloadIdentity>(&system, &workload).await;
    let as_aws = put_return_handle::Input {
        workload_name: WORKLOAD.to_owned(),
        return_handle: put_return_handle::ReturnHandle::SessionUri,
    };
    call::<PutReturnHandle>(&system, &as_aws).await;
    // The agent of `dev` may not name people; this one has to.
    let key = |id: &str, secret: &str| {
        vec![
            ("AWS_ACCESS_KEY_ID", system.variable(id).to_owned()),
            ("AWS_SECRET_ACCESS_KEY", system.variable(secret).to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            (
                "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE",
                system.variable("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE").to_owned(),
            ),
        ]
    };
    let (keys, ledgerline) = (format!("{world}/keys"), system.ledgerline("/").to_string());
    let authorize_url = system.account("/identities/oauth2/authorize").to_string();
    let roles = roles(&Surroundings {
        issuer: &idp,
        keys: &keys,
        ledgerline: ledgerline.trim_end_matches('/'),
        authorize_url: &authorize_url,
        environment: [
            key("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            key(
                "COUNTERSIGN_BINDING_ACCESS_KEY_ID",
                "COUNTERSIGN_BINDING_SECRET_ACCESS_KEY",
            ),
        ],
    });
    let mut events = balancer.asks("alice", &roles.agent).await;
    let card = events.until("consent").await;
    let link = Url::parse(card.data["url"].as_str().expect("a link")).expect("a URL");

    // The service behind recognises alice by the published form, and asks her.
    let (to, cookie) = balancer.begins("alice", &link, &roles.binding).await;
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let page = alice.starts_consent(&to).await;
    let held = alice.decides_at_ledgerline(&page, "alice", "allow").await;
    let handle = query(&held.url, "session_id").expect("a handle");
    assert_eq!(Some(&handle), query(&to, "request_uri").as_ref(), "as AWS has it");

    // Bob, even after a start of his own with her link; alice without her cookie, and with bob's.
    let (_, of_bob) = balancer.begins("bob", &link, &roles.binding).await;
    for (subject, cookie) in [("bob", &cookie), ("alice", &String::new()), ("alice", &of_bob)] {
        let (status, page) = balancer.returns(subject, &roles.binding, &handle, cookie).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{subject}: {page}");
    }
    let (status, page) = balancer.returns("alice", &roles.binding, &handle, &cookie).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let (status, refused) = balancer.confirms("alice", &roles.binding, &page, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let (status, done) = balancer.confirms("alice", &roles.binding, &page, &cookie).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert!(events.answer().await.contains("ALICE-1"));
}
