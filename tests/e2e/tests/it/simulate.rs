//! `countersign simulate` as its help says: a provider of a vendor, offline, through the built binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{HttpBrowser, Person, System, cli::countersign, python, system::binary};
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

/// A simulator that ends with the test.
struct Simulator {
    child: Child,
    /// What it says of itself.
    said: Value,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Simulator {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["simulate", "--port", "0", "--output", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let said = serde_json::from_str(&line).unwrap_or_else(|_| panic!("JSON, not {line:?}"));
        Self { child, said }
    }

    fn text(&self, pointer: &str) -> &str {
        let value = self.said.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{pointer} in {}", self.said))
    }
}

/// Everything that the printed text says to do, and then a person's consent and two tokens.
#[tokio::test]
async fn simulate_github_works_as_its_help_says() {
    let mut simulator = Simulator::start(&["github", "--token-lifetime", "15"]);
    let origin = simulator.text("/origin").to_owned();
    let system = System::start_with(e2e::system::Options {
        arguments: vec!["--vendor-endpoint".to_owned(), format!("github={origin}")],
        ..Default::default()
    });
    let create = simulator.text("/create");
    let (secret, arguments) = create.split_once(" countersign ").expect("the command");
    let (name, value) = secret.split_once('=').expect("the variable");
    let mut environment = system.environment().clone();
    environment.insert(name.to_owned(), value.to_owned());
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let created = countersign(&arguments, &environment);
    assert_eq!(created.code, 0, "{}", created.stderr);

    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let directory = tempfile::tempdir().expect("a directory");
    let ask = || {
        let output = python::command("simulated_vendor.py", &["ask"], directory.path())
            .envs(system.environment())
            .output()
            .expect("python runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let link = Url::parse(&ask()).expect("an authorization URL");
    // The session is of a user id that nobody can prove, as plain AgentCore clients have it: the redirect comes at once.
    let at_github = alice.browser.opens(&link).await;
    assert!(
        at_github.url.as_str().starts_with(&format!("{origin}/login")),
        "{}",
        at_github.url
    );
    let consent = alice.enters_password(&at_github).await;
    let held = alice
        .browser
        .submits_until(&consent, &[("decision", "allow")], |url| {
            url.path() == "/oauth2/session-binding"
        })
        .await;
    let handle = held
        .url
        .query_pairs()
        .find(|(name, _)| name == "session_id")
        .expect("a handle")
        .1
        .into_owned();
    let completed = python::command("simulated_vendor.py", &["complete", &handle], directory.path())
        .envs(system.environment())
        .output()
        .expect("python runs");
    assert!(
        completed.status.success(),
        "{}",
        String::from_utf8_lossy(&completed.stderr)
    );

    let first = ask();
    let user = simulator.text("/endpoints/account").to_owned();
    let asks_github = async |token: &str| {
        let request = alice.browser.client().get(&user).bearer_auth(token);
        request.send().await.expect("the simulator answers")
    };
    let account: Value = asks_github(&first).await.json().await.expect("JSON");
    assert_eq!(account["login"], "alice");
    // A token goes out until a quarter of its life is left.
    let second = (0..60).find_map(|_| {
        std::thread::sleep(Duration::from_millis(250));
        Some(ask()).filter(|token| *token != first)
    });
    let second = second.expect("refreshed, with a rotated refresh token");
    assert_eq!(asks_github(&second).await.status(), StatusCode::OK);

    let listed = countersign(&["grant", "list", "--output", "json"], system.environment());
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let grant = listed["grants"][0]["grantId"]
        .as_str()
        .expect("a grant")
        .to_owned();
    let revoked = countersign(&["grant", "revoke", &grant], system.environment());
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    assert_eq!(
        asks_github(&second).await.status(),
        StatusCode::UNAUTHORIZED,
        "gone at the vendor"
    );

    let pid = simulator.child.id().to_string();
    let interrupted = Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill runs");
    assert!(interrupted.success());
    assert_eq!(simulator.child.wait().expect("ends").code(), Some(0));
}

/// Nothing is to be had without logging in, without the client's secret, or from a page of somebody else.
#[tokio::test]
async fn strangers_get_nothing_from_a_simulator() {
    let simulator = Simulator::start(&["github"]);
    let browser = HttpBrowser::new();
    let authorize = |more: &str| {
        let endpoint = simulator.text("/endpoints/authorize");
        format!("{endpoint}?response_type=code&client_id=simulated-client&state=s&{more}")
    };
    // An open redirector to anywhere would be of use to somebody.
    for uri in [
        "https://evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "javascript:alert(1)",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(uri.as_bytes()).collect();
        let page = browser
            .one_hop(authorize(&format!("redirect_uri={encoded}")))
            .await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{uri}");
    }
    let page = browser
        .opens(authorize("redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcb"))
        .await;
    assert!(
        page.url.path() == "/login" && page.body.contains("name=\"password\""),
        "{}",
        page.url
    );
    let denied = browser
        .submits(&page, &[("username", "alice"), ("password", "wrong")])
        .await;
    assert_eq!(denied.status, StatusCode::UNAUTHORIZED);

    let client = browser.client();
    let account = simulator.text("/endpoints/account");
    assert_eq!(
        client.get(account).send().await.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
    let guessed = client
        .get(account)
        .bearer_auth("guessed")
        .send()
        .await
        .expect("an answer");
    assert_eq!(guessed.status(), StatusCode::UNAUTHORIZED);
    let token = simulator.text("/endpoints/token");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "guessed"),
        ("redirect_uri", "http://localhost:9/cb"),
    ];
    let refused = client
        .post(token)
        .header("accept", "application/json")
        .form(&form)
        .send()
        .await;
    let refused: Value = refused.expect("an answer").json().await.expect("JSON");
    assert_eq!(
        refused["error"], "incorrect_client_credentials",
        "GitHub's word, with status 200"
    );
    let named = client
        .get(account)
        .header("host", "simulator.example")
        .send()
        .await
        .expect("an answer");
    assert!(
        named.status().is_client_error(),
        "another Host: {}",
        named.status()
    );
}

#[test]
fn usage_of_simulate() {
    let help = countersign(&["simulate", "--help"], []);
    assert_eq!(help.code, 0);
    for vendor in ["google", "github", "slack", "custom", "cyberark", "cognito"] {
        assert!(help.stdout.contains(vendor), "{vendor}:\n{}", help.stdout);
    }
    let unknown = countersign(&["simulate", "myspace"], []);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("myspace") && unknown.stderr.contains("spotify"),
        "{}",
        unknown.stderr
    );

    let first = Simulator::start(&["twitch"]);
    let port = Url::parse(first.text("/origin"))
        .expect("a URL")
        .port()
        .expect("a port")
        .to_string();
    let taken = countersign(&["simulate", "twitch", "--port", &port], []);
    assert_eq!(taken.code, 1);
    assert!(taken.stderr.contains("--port"), "{}", taken.stderr);

    let elsewhere = countersign(&["dev", "--vendor-endpoint", "github=https://evil.example"], []);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("this machine"), "{}", elsewhere.stderr);
}
