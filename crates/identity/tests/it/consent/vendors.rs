//! Every vendor, from the registration to the revocation, against its simulator: the simulators know the vendors
//! from their documentation, and nothing of the templates.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{SystemRandom, Timestamp};
use countersign_playground::{Parts, SimulatedVendor, Simulator, SimulatorConfig, listen};
use http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;

use super::actors::Ask;
use super::{Answer, System, text};

/// What connecting a vendor takes, and what comes of it.
struct Case {
    vendor: &'static str,
    /// The configuration's member, where it is the vendor's own.
    member: &'static str,
    /// Further members of the configuration.
    config: Value,
    scopes: Vec<&'static str>,
    /// What the vendor grants besides, and says so.
    also_granted: Vec<&'static str>,
    custom_parameters: Value,
    /// Instead of the vendor's own.
    lifetime: Option<u64>,
    /// The account that the vendor says it is, and its name.
    account: (&'static str, &'static str),
    /// Whether a client can withdraw a grant at the vendor.
    revocable: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            vendor: "",
            member: "includedOauth2ProviderConfig",
            config: json!({}),
            scopes: vec!["read"],
            also_granted: Vec::new(),
            custom_parameters: json!({}),
            lifetime: None,
            account: ("1001", "alice"),
            revocable: true,
        }
    }
}

/// A vendor's simulator, with a clock that goes with the system's.
struct Simulated {
    simulator: Simulator,
    router: Router,
    clock: Arc<ManualClock>,
    origin: String,
}

impl Simulated {
    async fn start(case: &Case) -> Self {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let listener = listen(address).await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let config = SimulatorConfig {
            vendor: case.vendor.to_owned(),
            origin: origin.clone(),
            client_id: "client id".to_owned(),
            client_secret: "se:cr%t+".into(),
            redirect_uris: Vec::new(),
            token_lifetime: case.lifetime.map(Duration::from_secs),
        };
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        };
        let simulator = Simulator::new(config, parts).expect("a simulator");
        let router = simulator.router();
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        Self {
            simulator,
            router,
            clock,
            origin,
        }
    }

    /// What alice's browser does there, from the authorization request on; gives where it is sent back to.
    async fn consents(&self, url: &str) -> String {
        let mut browser = Browser {
            simulated: self,
            cookies: BTreeMap::new(),
        };
        let path = url.strip_prefix(&self.origin).expect("at the simulator");
        let at_login = browser.get(path).await;
        assert!(at_login.starts_with("/login?"), "{url} leads to {at_login}");
        let interaction = at_login.split_once('=').expect("an id").1.to_owned();
        let login = [
            ("interaction", interaction.as_str()),
            ("username", "alice"),
            ("password", "countersign"),
        ];
        let at_consent = browser.post("/login", &login).await;
        assert!(at_consent.starts_with("/consent?"), "{at_consent}");
        browser
            .post(
                "/consent",
                &[("interaction", &interaction), ("decision", "allow")],
            )
            .await
    }
}

struct Browser<'s> {
    simulated: &'s Simulated,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    async fn get(&mut self, path: &str) -> String {
        self.send(Method::GET, path, Body::empty()).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(Method::POST, path, Body::from(form)).await
    }

    /// Where the answer leads.
    async fn send(&mut self, method: Method, path: &str, body: Body) -> String {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let host = self.simulated.origin.trim_start_matches("http://");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ORIGIN, &self.simulated.origin)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(COOKIE, cookies.join("; "))
            .body(body)
            .expect("a request");
        let response = self
            .simulated
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().expect("ASCII").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        location
            .unwrap_or_else(|| panic!("{path}: {} {}", parts.status, String::from_utf8_lossy(&body)))
            .to_owned()
    }
}

/// A registration of the simulated client.
fn registration(case: &Case, simulated: &Simulated) -> Value {
    let vendor = SimulatedVendor::find(case.vendor).expect("a simulator");
    let mut config = json!({"clientId": "client id", "clientSecret": "se:cr%t+"});
    if vendor.name == "custom" {
        let url = format!("{}/as.example/.well-known/openid-configuration", simulated.origin);
        config["oauthDiscovery"] = json!({"discoveryUrl": url});
    } else if let Some(issuer) = vendor.issuer {
        config["issuer"] = format!("https://{issuer}").into();
    }
    for (name, value) in case.config.as_object().expect("an object") {
        config[name] = value.clone();
    }
    json!({
        "name": "vendor-under-test",
        "credentialProviderVendor": vendor.wire_name,
        "oauth2ProviderConfigInput": {case.member: config},
    })
}

async fn started(case: &Case) -> (Simulated, System) {
    let simulated = Simulated::start(case).await;
    let wire_name = SimulatedVendor::find(case.vendor).expect("a simulator").wire_name;
    let members = if wire_name == "CustomOauth2" {
        json!({"outbound_allow": [simulated.origin.trim_start_matches("http://")]})
    } else {
        json!({"vendor_endpoints": {wire_name: simulated.origin}})
    };
    let system = System::start_with(members).await;
    let created = system
        .control("CreateOauth2CredentialProvider", registration(case, &simulated))
        .await;
    let callback = text(&created["callbackUrl"]);
    simulated
        .simulator
        .register_redirect_uri(callback)
        .expect("a redirect URI");
    (simulated, system)
}

/// Authorize, exchange, refresh twice, revoke.
async fn passes(case: Case) {
    let (simulated, system) = started(&case).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let name = case.vendor;
    let mut more = json!({});
    if case.custom_parameters != json!({}) {
        more["customParameters"] = case.custom_parameters.clone();
    }
    // The principals that were bootstrapped may use the provider that was.
    let agent = super::actors::Workload {
        credentials: system.admin.clone(),
        ..agent
    };
    let ask = Ask {
        provider: "vendor-under-test",
        scopes: case.scopes.clone(),
        more,
        ..Ask::default()
    };
    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &ask).await;
    let vendor_url = alice.starts(pending.link()).await;
    let back = simulated.consents(&vendor_url).await;
    let handle = alice.opens(&back).await.handle();
    let user = json!({"sessionUri": handle, "userIdentifier": {"userToken": alice.token("binding")}});
    let completed = system
        .call(&system.admin, "/identities/CompleteResourceTokenAuth", &user)
        .await;
    assert_eq!(completed.status, StatusCode::OK, "{name}: {completed:?}");

    let first = agent.asks(&wat, &ask).await;
    let token = |answer: &Answer| {
        answer
            .token()
            .unwrap_or_else(|| panic!("{name}: {answer:?}"))
            .to_owned()
    };
    let mut tokens = vec![token(&first)];
    let granted: Vec<&str> = first.body["grantedScopes"]
        .as_array()
        .expect("scopes")
        .iter()
        .map(text)
        .collect();
    for scope in case.scopes.iter().chain(&case.also_granted) {
        assert!(granted.contains(scope), "{name}: {scope} among {granted:?}");
    }
    let grants = system.grants().await;
    assert_eq!(grants.len(), 1, "{name}: {grants:?}");
    let account = &grants[0];
    assert_eq!(
        (text(&account["accountId"]), text(&account["accountName"])),
        case.account,
        "{name}: {:?}",
        grants[0]
    );

    for _ in 0..2 {
        let wat = agent.wat(&alice).await;
        let expires = grant_expiry(&agent.asks(&wat, &ask).await);
        let until = Duration::from_secs(u64::try_from(expires - system_time(&system)).expect("in future"));
        // Just before, so that a vendor where a live token has to be exchanged plays along.
        let pause = until.saturating_sub(Duration::from_secs(10));
        system.clock.advance(pause);
        simulated.clock.advance(pause);
        let wat = agent.wat(&alice).await;
        let refreshed = agent.asks(&wat, &ask).await;
        let refreshed = token(&refreshed);
        assert!(!tokens.contains(&refreshed), "{name}: refreshed");
        tokens.push(refreshed);
    }

    assert_eq!(simulated.simulator.connections("alice"), 1, "{name}");
    let id = system.grants().await[0]["grantId"].clone();
    let revoked = system.admin("RevokeGrant", json!({"grantId": id})).await;
    assert_eq!(revoked["revokedAtProvider"], case.revocable, "{name}: {revoked}");
    let left = usize::from(!case.revocable);
    assert_eq!(
        simulated.simulator.connections("alice"),
        left,
        "{name}: at the vendor"
    );
    let wat = agent.wat(&alice).await;
    assert_eq!(
        agent.asks(&wat, &ask).await.session_status(),
        "IN_PROGRESS",
        "{name}"
    );
}

fn grant_expiry(answer: &Answer) -> i64 {
    let seconds = answer.body["expiresAt"].as_f64().expect("an expiry");
    #[expect(clippy::cast_possible_truncation, reason = "a time")]
    let seconds = seconds as i64;
    seconds
}

fn system_time(system: &System) -> i64 {
    use countersign_crypto::Clock as _;
    system.clock.now().as_secs()
}

/// One test a vendor, so that a failure names it.
macro_rules! vendors {
    ($($name:ident => $case:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let case = Case { vendor: stringify!($name), ..$case };
            passes(case).await;
        }
    )*

        /// There is a case for every vendor there is, and a template for every case.
        #[test]
        fn every_vendor_has_a_case() {
            let cases = [$(stringify!($name)),*];
            let all: Vec<&str> = SimulatedVendor::all().map(|vendor| vendor.name).collect();
            assert_eq!(cases.as_slice(), all);
        }
    };
}

fn openid() -> Case {
    Case {
        scopes: vec!["openid", "offline_access", "files.read"],
        ..Case::default()
    }
}

fn named(member: &'static str) -> Case {
    Case {
        member,
        ..Case::default()
    }
}

vendors! {
    google => Case {
        scopes: vec!["openid", "email", "https://www.googleapis.com/auth/drive.readonly"],
        ..named("googleOauth2ProviderConfig")
    };
    // A GitHub App with expiring tokens; those of OAuth apps are never refreshed.
    github => Case {
        scopes: vec!["repo", "read:user"],
        lifetime: Some(28_800),
        ..named("githubOauth2ProviderConfig")
    };
    slack => Case {
        scopes: vec!["chat:write", "users:read"],
        account: ("T0001:1001", "alice"),
        ..named("slackOauth2ProviderConfig")
    };
    salesforce => Case {
        scopes: vec!["api", "refresh_token"],
        account: ("https://login.salesforce.com/id/00D/1001", "alice"),
        ..named("salesforceOauth2ProviderConfig")
    };
    microsoft => Case {
        scopes: vec!["openid", "offline_access", "Mail.Read"],
        revocable: false,
        ..named("microsoftOauth2ProviderConfig")
    };
    custom => Case { ..Case { member: "customOauth2ProviderConfig", ..openid() } };
    atlassian => Case {
        scopes: vec!["read:me", "read:jira-work", "offline_access"],
        account: ("1001", "alice@simulated.example"),
        revocable: false,
        ..named("atlassianOauth2ProviderConfig")
    };
    linkedin => Case { scopes: vec!["openid", "profile"], ..named("linkedinOauth2ProviderConfig") };
    x => Case { scopes: vec!["users.read", "tweet.read", "offline.access"], ..Case::default() };
    okta => openid();
    onelogin => openid();
    pingone => Case { scopes: vec!["openid", "files.read"], ..Case::default() };
    facebook => Case {
        scopes: vec!["email"],
        also_granted: vec!["public_profile"],
        account: ("1001", "Alice Archer"),
        ..Case::default()
    };
    yandex => Case {
        scopes: vec!["login:info"],
        custom_parameters: json!({"device_id": "device-1"}),
        ..Case::default()
    };
    reddit => Case { scopes: vec!["identity", "read"], account: ("1001", "Alice Archer"), ..Case::default() };
    zoom => Case { account: ("1001", "alice@simulated.example"), ..Case::default() };
    twitch => Case { scopes: vec!["user:read:email"], ..Case::default() };
    spotify => Case { account: ("1001", "alice@simulated.example"), revocable: false, ..Case::default() };
    dropbox => Case { account: ("dbid:1001", "alice@simulated.example"), ..Case::default() };
    notion => Case {
        scopes: vec![],
        lifetime: Some(3600),
        account: ("w0001:1001", "alice@simulated.example"),
        ..Case::default()
    };
    hubspot => Case { scopes: vec!["oauth"], account: ("50001:1001", "alice@simulated.example"), ..Case::default() };
    cyberark => openid();
    fusionauth => Case { revocable: false, ..openid() };
    auth0 => openid();
    cognito => Case { scopes: vec!["openid", "email"], ..Case::default() };
}

/// A person's own Slack token, asked for by `user_scope`, comes nested and is refreshed like any other.
#[tokio::test]
async fn slack_user_token() {
    let case = Case {
        vendor: "slack",
        scopes: vec![],
        custom_parameters: json!({"user_scope": "search:read"}),
        account: ("T0001:1001", "alice"),
        ..named("slackOauth2ProviderConfig")
    };
    Box::pin(passes(case)).await;
}

/// A Yandex token that was issued without a device cannot be revoked by the client, and the answer says so.
#[tokio::test]
async fn yandex_without_device() {
    let case = Case {
        vendor: "yandex",
        scopes: vec!["login:info"],
        revocable: false,
        ..Case::default()
    };
    Box::pin(passes(case)).await;
}

/// What a registration names has to be the vendor's: a provider called GitHub is at GitHub.
#[tokio::test]
async fn a_vendors_name_is_not_for_other_servers() {
    let case = Case {
        vendor: "x",
        ..Case::default()
    };
    let (simulated, system) = started(&case).await;
    let mut elsewhere = registration(&case, &simulated);
    elsewhere["name"] = "elsewhere".into();
    elsewhere["oauth2ProviderConfigInput"][case.member]["tokenEndpoint"] =
        "https://evil.example/token".into();
    let refused = system
        .call(
            &system.admin,
            "/identities/CreateOauth2CredentialProvider",
            &elsewhere,
        )
        .await;
    assert_eq!(refused.error().0, "ValidationException", "{refused:?}");
    assert!(refused.error().1.contains("tokenEndpoint"), "{refused:?}");
    let url = Url::parse(&simulated.origin).expect("a URL");
    assert!(url.port().is_some());
}
