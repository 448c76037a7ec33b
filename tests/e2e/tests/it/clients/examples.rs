//! `examples/`: agents of other people's making in the place of ours, behind `dev`'s gateway.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{Person, System, oidc_provider::free_port, python, sse::Events, system::Options};
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Started, and listening at `port`.
    fn start(mut command: Command, port: u16) -> Self {
        let mut running = Self(command.spawn().expect("it starts"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.0.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "it ended: {ended:?}");
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }
}

/// A development system whose agent is at `port`.
fn system(port: u16) -> System {
    System::start_with(Options {
        arguments: vec!["--agent".to_owned(), format!("http://127.0.0.1:{port}")],
        ..Options::default()
    })
}

/// What every example needs.
fn environment(system: &System) -> Vec<(String, String)> {
    let mut variables: Vec<_> = system.environment().clone().into_iter().collect();
    let agent = [
        (
            "AWS_ACCESS_KEY_ID",
            system.variable("COUNTERSIGN_AGENT_ACCESS_KEY_ID"),
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            system.variable("COUNTERSIGN_AGENT_SECRET_ACCESS_KEY"),
        ),
        (
            "LEDGERLINE_URL",
            &format!("http://127.0.0.1:{}", system.port_base + 4),
        ),
    ];
    variables.extend(agent.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

async fn asks(person: &Person<'_>, message: &str) -> Events {
    Events::new(person.posts_invocation(&json!({ "message": message })).await)
}

/// Alice asks, consents and is answered; asks again and is answered at once; bob gets what is his, and may say no.
async fn is_an_agent(system: &System) {
    let alice = Person::new(system, "alice");
    alice.opens(&system.app("/ping")).await;
    let mut events = asks(&alice, "list my open issues").await;
    let consent = events.until("consent").await;
    assert_eq!(consent.data["provider"], "ledgerline");
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    assert_eq!(link.origin(), system.account("/").origin());
    let done = alice.consents(&link).await;
    assert!(done.body.contains("is connected"), "{}", done.body);
    let answer = events.answer().await;
    assert!(
        answer.contains("ALICE-1") && answer.contains("ALICE-2"),
        "{answer}"
    );

    let mut again = asks(&alice, "list my open issues").await;
    let mut names = Vec::new();
    while let Some(event) = again.next().await {
        names.push(event.name);
    }
    assert!(
        !names.contains(&"consent".to_owned()) && names.contains(&"message".to_owned()),
        "{names:?}"
    );

    let bob = Person::new(system, "bob");
    bob.opens(&system.app("/ping")).await;
    let mut events = asks(&bob, "list my open issues").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let refused = alice.opens(&link).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let page = bob.opens(&link).await;
    bob.browser.submits(&page, &[("decision", "deny")]).await;
    let mut told = Vec::new();
    let told_in_time = tokio::time::timeout(Duration::from_secs(20), async {
        while let Some(event) = events.next().await {
            told.push(event.name);
        }
    });
    told_in_time.await.expect("a no ends the turn");
    assert!(told.ends_with(&["done".to_owned()]) && told.len() > 1, "{told:?}");
    assert!(told.iter().all(|name| name != "consent"), "{told:?}");
}

/// Without the gateway's header, or with one that is not for this agent, there is nothing to be had; nor for a page of
/// another origin.
async fn believes_the_gateway_alone(system: &System, port: u16) {
    let client = reqwest::Client::new();
    let own = system.app("/").origin().ascii_serialization();
    for (origin, token, expected) in [
        // FastAPI calls a header that is missing unprocessable.
        (&*own, None, [401, 422]),
        (&*own, Some("x"), [401, 401]),
        (&*own, Some("eyJhbGciOiJub25lIn0.e30."), [401, 401]),
        ("http://evil.localhost", Some("x"), [403, 403]),
    ] {
        let mut request = client
            .post(format!("http://127.0.0.1:{port}/invocations"))
            .header("origin", origin);
        if let Some(token) = token {
            request = request.header("x-countersign-user-token", token);
        }
        let answer = request
            .json(&json!({ "message": "list my open issues" }))
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        assert!(expected.contains(&status), "{origin} {token:?}: {status}");
    }
}

#[tokio::test]
async fn the_python_agent_answers_behind_the_gateway() {
    let (port, model) = (free_port(), free_port());
    let system = system(port);
    let directory = tempfile::tempdir().expect("a directory");
    let script = json!({ "fixtures": [
        {
            "match": { "userMessage": "list my open issues", "hasToolResult": false },
            "response": { "toolCalls": [{ "name": "list_issues", "arguments": { "state": "open" } }] },
        },
        {
            "match": { "toolResultContains": "consent_declined" },
            "response": { "content": "You did not agree, so I stopped." },
        },
        {
            "match": { "toolResultContains": "ALICE-1" },
            "response": { "content": "Yours are ALICE-1 and ALICE-2." },
        },
    ] });
    let fixtures = directory.path().join("fixtures.json");
    std::fs::write(&fixtures, script.to_string()).expect("written");
    let modules = std::env::var("COUNTERSIGN_TEST_NODE_MODULES")
        .expect("COUNTERSIGN_TEST_NODE_MODULES: run `./test clients`, which installs the npm packages");
    let mut node = Command::new("node");
    node.arg(format!("{modules}/@copilotkit/aimock/dist/cli.js"))
        .args([
            "--strict",
            "--log-level",
            "silent",
            "--port",
            &model.to_string(),
            "--fixtures",
        ])
        .arg(&fixtures)
        .current_dir(directory.path())
        .stdout(Stdio::null());
    let _model = Running::start(node, model);
    let mut uvicorn =
        python::interpreter_command(&["-m", "uvicorn", "agent:app", "--port", &port.to_string()]);
    uvicorn
        .args(["--log-level", "warning"])
        .current_dir(e2e::repository().join("examples/python-agent"))
        .envs(environment(&system))
        .env("OPENAI_BASE_URL", format!("http://127.0.0.1:{model}/v1"))
        .env("OPENAI_API_KEY", "none");
    let _agent = Running::start(uvicorn, port);
    believes_the_gateway_alone(&system, port).await;
    is_an_agent(&system).await;

    let page = Person::new(&system, "alice").logs_in().await;
    assert!(page.body.contains("Python agent"), "{}", page.body);
    // What the model was shown has no token and no link in it.
    let shown = reqwest::get(format!("http://127.0.0.1:{model}/__aimock/journal"))
        .await
        .expect("an answer");
    let shown: Value = shown.json().await.expect("JSON");
    let shown = shown.to_string();
    assert!(
        shown.contains("ALICE-1") && !shown.contains("request_uri") && !shown.contains("Bearer ey"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_rust_agent_answers_behind_the_gateway() {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "-q",
            "-p",
            "rust-agent",
            "--message-format=json",
        ])
        .current_dir(e2e::repository())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "examples/rust-agent builds");
    let built = String::from_utf8_lossy(&output.stdout);
    let program = built
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .expect("cargo names the executable");
    let port = free_port();
    let system = system(port);
    let mut command = Command::new(program);
    command.arg(port.to_string()).envs(environment(&system));
    let _agent = Running::start(command, port);
    believes_the_gateway_alone(&system, port).await;
    is_an_agent(&system).await;
}
