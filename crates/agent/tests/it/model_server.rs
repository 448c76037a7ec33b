//! npm `@copilotkit/aimock`: a model server that other people made, which answers by script.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use countersign_outbound::{Client, Policy, Request};
use serde_json::Value;

/// A running model server. Dropped, it is killed.
pub(crate) struct ModelServer {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl ModelServer {
    /// One that answers as `fixtures`, a JSON array, say.
    pub(crate) fn start(fixtures: &Value) -> Self {
        let modules = variable("COUNTERSIGN_TEST_NODE_MODULES");
        Self::run("model.mjs", &[modules, fixtures.to_string()])
    }

    /// A real one, which answers as it will.
    #[cfg(feature = "small-model-test")]
    pub(crate) fn small() -> Self {
        let names = [
            "COUNTERSIGN_TEST_SMALL_MODEL_MODULES",
            "COUNTERSIGN_TEST_SMALL_MODEL_WEIGHTS",
        ];
        Self::run("small_model.mjs", &names.map(variable))
    }

    fn run(script: &str, arguments: &[String]) -> Self {
        let script = format!("{}/../../tests/node/{script}", variable("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("its URL");
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://"), "a model server starts: {url:?}");
        Self { child, url }
    }

    /// The bodies of the requests that it has had, in their order.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let url: url::Url = format!("{}/__aimock/journal", self.url).parse().expect("a URL");
        let policy = Policy {
            allow: vec![countersign_outbound::HostPort::of(&url).expect("a host")],
            ..Policy::default()
        };
        let client = Client::new(policy).expect("a client");
        let answer = client.send(Request::get(url)).await.expect("its journal");
        let journal: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let entries = journal.as_array().or_else(|| journal["entries"].as_array());
        entries
            .unwrap_or_else(|| panic!("a journal: {journal}"))
            .iter()
            .map(|entry| entry["body"].clone())
            .collect()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests read their environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name}: run `./test agent`, which sets it"))
}
