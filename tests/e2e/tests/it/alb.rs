//! Applications written for an Application Load Balancer, behind `serve gateway` and unchanged: `FastAPI` with the code of
//! AWS's documentation, AWS's own verifier, npm `oidc-provider` as the identity provider, Chromium as the browser.

use std::{
    net::TcpStream,
    process::{Child, Command},
    time::{Duration, Instant},
};

use e2e::{
    chromium::Chromium,
    oidc_provider::{OidcProvider, free_port},
    python,
    served::Served,
    system::free_port_base,
};
use serde_json::{Value, json};

const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/countersign/50dc6c495c0c9188";
/// Life of access tokens, seconds: short, so that claims have to be refreshed within a test.
const ACCESS_TOKEN: u32 = 4;

/// A gateway with an application, a login of the app and account origins, and a provider that knows both.
struct Deployment {
    gateway: Served,
    provider: OidcProvider,
    base: u16,
    application: Application,
}

/// A process that ends with the test.
struct Application {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Application {
    fn start(port: u16, key_host: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments = [&port.to_string(), SIGNER, key_host];
        let child = python::command("alb_application.py", &arguments, directory.path())
            .spawn()
            .expect("python starts");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the application does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            child,
            _directory: directory,
        }
    }
}

impl Deployment {
    fn start() -> Self {
        let base = free_port_base();
        let at = |offset: u16| format!("http://localhost:{}", base + offset);
        let clients = vec![
            json!({
                "client_id": "shop", "client_secret": "shop-secret", "grant_types": ["authorization_code", "refresh_token"],
                "redirect_uris": [format!("{}/oauth2/idpresponse", at(1))],
            }),
            json!({
                "client_id": "countersign", "client_secret": "countersign-secret",
                "grant_types": ["authorization_code", "refresh_token"],
                "redirect_uris": [format!("{}/oauth2/idpresponse", at(7))],
                "post_logout_redirect_uris": [format!("{}/logged-out", at(7))],
                "backchannel_logout_uri": format!("{}/oauth2/backchannel-logout", at(7)),
                "backchannel_logout_session_required": true,
            }),
        ];
        let provider = OidcProvider::start_impatient(free_port(), clients, ACCESS_TOKEN);
        let application = Application::start(base + 5, &format!("{}/default", at(2)));
        let gateway = Served::start("gateway", &config(base, &provider.issuer));
        Self {
            gateway,
            provider,
            base,
            application,
        }
    }

    fn url(&self, offset: u16, path: &str) -> String {
        format!("http://localhost:{}{path}", self.base + offset)
    }
}

fn config(base: u16, issuer: &str) -> String {
    let at = |offset: u16| format!("localhost:{}", base + offset);
    let authority = issuer.trim_start_matches("http://");
    format!(
        r#"
[keys]
gateway = "@DIRECTORY@/gateway.key"
[operations]
listen = "{operations}"
[gateway]
account = "000000000000"
region = "us-east-1"
outbound_allow = ["{authority}"]
access_log = {{ format = "json", path = "@DIRECTORY@/access.log" }}
[gateway.database]
url = "sqlite:@DIRECTORY@/gateway.sqlite"
[gateway.authenticate_oidc]
issuer = "{issuer}"
client_id = "countersign"
client_secret = "countersign-secret"
[gateway.applications.shop]
issuer = "{issuer}"
client_id = "shop"
client_secret = "shop-secret"
[gateway.claims_header]
signer = "{SIGNER}"
[gateway.user_token]
issuer = "http://{keys}/default"
[gateway.listeners.app]
listen = "{app}"
origin = "http://{app}"
[[gateway.listeners.app.rules]]
priority = 1
conditions = {{ path_pattern = ["/*"] }}
actions = [{{ type = "authenticate-oidc" }}, {{ type = "forward", target_group = "shop" }}]
[gateway.listeners.account]
listen = "{account}"
origin = "http://{account}"
rules = []
[gateway.listeners.shop]
listen = "{shop}"
origin = "http://{shop}"
default_actions = [{{ type = "fixed-response", status_code = 404 }}]
[[gateway.listeners.shop.rules]]
priority = 1
conditions = {{ path_pattern = ["/bye"] }}
actions = [{{ type = "forward", target_group = "shop" }}]
[[gateway.listeners.shop.rules]]
priority = 2
conditions = {{ path_pattern = ["/*"] }}
actions = [{{ type = "authenticate-oidc", application = "shop" }}, {{ type = "forward", target_group = "shop" }}]
[gateway.listeners.keys]
listen = "{keys}"
hosts = ["{keys}"]
[gateway.target_groups.shop]
url = "http://127.0.0.1:{target}"
"#,
        operations = at(9),
        keys = at(2),
        app = at(0),
        account = at(7),
        shop = at(1),
        target = base + 5,
    )
}

async fn logs_in(browser: &Chromium, user: &str) {
    browser.types("input[name=login]", user).await;
    browser.types("input[name=password]", "anything").await;
    browser
        .click("input[name=prompt][value=login] ~ button[type=submit]")
        .await;
    browser
        .click("input[name=prompt][value=consent] ~ button[type=submit]")
        .await;
}

/// The JSON that the application shows.
async fn shown(browser: &Chromium) -> Value {
    browser.shows("\"claims\"").await;
    // Chromium shows JSON as text.
    let text = browser.find("pre").await.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

async fn goes_to(browser: &Chromium, url: &str) {
    browser.driver.goto(url).await.expect("a page");
}

/// What AWS's own verifier says of a token.
fn aws_jwt_verify(deployment: &Deployment, token: &str) -> Value {
    let modules = std::env::var("COUNTERSIGN_TEST_NODE_MODULES").expect("run `./test browser`");
    let script = e2e::repository().join("tests/node/alb_verify.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([
            &modules,
            &deployment.url(2, "/default"),
            SIGNER,
            &deployment.provider.issuer,
            "shop",
            token,
        ])
        .output()
        .expect("node runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&printed)
        .unwrap_or_else(|_| panic!("{printed}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_written_for_an_alb_runs_unchanged() {
    let deployment = Deployment::start();
    let browser = Chromium::open(true).await;
    // FastAPI with the code of AWS's documentation; the query of before the login is kept.
    goes_to(&browser, &deployment.url(1, "/me?session_id=a%2Fb&x=1")).await;
    logs_in(&browser, "alice").await;
    let me = shown(&browser).await;
    assert_eq!(me["claims"]["sub"], "alice");
    assert_eq!(me["claims"]["email"], "alice@example.com");
    assert_eq!(me["claims"]["iss"], deployment.provider.issuer);
    assert_eq!(me["identity"], "alice");
    assert_eq!(me["query"], "session_id=a%2Fb&x=1");
    let token = me["token"].as_str().expect("a token");
    assert!(
        token.split('.').all(|part| part.len() % 4 == 0),
        "padded: {token}"
    );
    // AWS's own verifier, and what it refuses.
    let verified = aws_jwt_verify(&deployment, token);
    assert_eq!(verified["claims"]["sub"], "alice");
    assert_eq!(
        verified["refused"],
        json!({
            "signer": "AlbJwtInvalidSignerError",
            "issuer": "JwtInvalidIssuerError",
            "client": "AlbJwtInvalidClientIdError",
        })
    );
    // Straight at the application, without the gateway, nobody is anybody.
    let direct = reqwest::Client::new();
    let straight = format!("http://127.0.0.1:{}/me", deployment.base + 5);
    for forged in [None, Some("forged"), Some("e30=.e30=.e30=")] {
        let mut request = direct.get(&straight);
        if let Some(forged) = forged {
            request = request.header("x-amzn-oidc-data", forged);
        }
        assert_eq!(
            request.send().await.expect("an answer").status(),
            401,
            "{forged:?}"
        );
    }
    // It logs out as behind an ALB: by expiring the cookies. A copy of them is worth nothing then.
    let cookies = browser.driver.get_all_cookies().await.expect("cookies");
    let ticket = cookies
        .iter()
        .find(|cookie| cookie.name == "AWSELBAuthSessionCookie-0")
        .expect("the ALB's cookie name");
    let copy = format!("{}={}", ticket.name, ticket.value);
    let again = || {
        let request = direct.get(deployment.url(1, "/me")).header("cookie", &copy);
        async move { request.send().await.expect("an answer") }
    };
    assert_eq!(again().await.status(), 200);
    goes_to(&browser, &deployment.url(1, "/logout")).await;
    browser.shows("logged out").await;
    let after = again().await;
    assert!(
        after.url().as_str().starts_with(&deployment.provider.issuer),
        "{}",
        after.url()
    );
    let metrics = direct
        .get(deployment.url(9, "/metrics"))
        .send()
        .await
        .expect("metrics");
    let metrics = metrics.text().await.expect("text");
    for name in ["ELBAuthSuccess 1", "ELBAuthLatency"] {
        assert!(metrics.contains(name), "no {name} in {metrics}");
    }
    let log = std::fs::read_to_string(deployment.gateway.directory.path().join("access.log"));
    assert!(!log.unwrap_or_default().contains(token), "tokens are not logged");
    drop(deployment.application);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_stays_logged_in_through_rotations_and_logs_out_in_every_way() {
    let deployment = Deployment::start();
    let browser = Chromium::open(true).await;
    let page = deployment.url(0, "/me");
    goes_to(&browser, &page).await;
    logs_in(&browser, "alice").await;
    let first = shown(&browser).await;

    // Two tabs whose claims are stale at the same time, and a refresh token that is good once.
    let one = browser.driver.window().await.expect("a tab");
    let two = browser.driver.new_tab().await.expect("a second tab");
    let mut before = first["accesstoken"].clone();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(u64::from(ACCESS_TOKEN) + 1)).await;
        for tab in [&one, &two] {
            browser.driver.switch_to_window(tab.clone()).await.expect("a tab");
            // Navigation in one tab does not wait for the other's.
            let script = format!("setTimeout(() => location.assign('{page}?' + Math.random()), 10)");
            browser.driver.execute(script, vec![]).await.expect("a script");
        }
        let mut tokens = Vec::new();
        for tab in [&one, &two] {
            browser.driver.switch_to_window(tab.clone()).await.expect("a tab");
            tokio::time::sleep(Duration::from_millis(700)).await;
            tokens.push(shown(&browser).await["accesstoken"].clone());
        }
        assert_eq!(tokens[0], tokens[1], "what one refresh brought");
        assert_ne!(tokens[0], before, "it was refreshed");
        before = tokens[0].clone();
    }

    // RP-initiated logout: at the provider too, so that nobody is logged in again unasked.
    goes_to(&browser, &deployment.url(0, "/logout")).await;
    browser.click("button[name=logout]").await;
    browser.shows("signed out").await;
    let landed = browser.driver.current_url().await.expect("a URL");
    assert!(
        landed.as_str().starts_with(&deployment.url(7, "/logged-out")),
        "{landed}"
    );
    goes_to(&browser, &page).await;
    logs_in(&browser, "bob").await;
    assert_eq!(shown(&browser).await["identity"], "bob");

    // Back-channel logout: the person logs out at the provider, and the provider tells the gateway.
    goes_to(&browser, &format!("{}/session/end", deployment.provider.issuer)).await;
    browser.click("button[name=logout]").await;
    browser.shows("Sign-out Success").await;
    goes_to(&browser, &page).await;
    browser.find("input[name=login]").await;
}
