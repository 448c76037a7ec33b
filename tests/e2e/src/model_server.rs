//! npm `@copilotkit/aimock`: a model server that other people made, which answers by script.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A running model server. Dropped, it is killed.
pub struct ModelServer {
    child: Child,
    url: String,
}

impl ModelServer {
    /// One that answers as `fixtures`, a JSON array, say.
    #[must_use]
    pub fn start(fixtures: &Value) -> Self {
        let modules = std::env::var("COUNTERSIGN_TEST_NODE_MODULES")
            .expect("COUNTERSIGN_TEST_NODE_MODULES: run `./test browser`, which installs the npm packages");
        let mut child = Command::new("node")
            .arg(crate::repository().join("tests/node/model.mjs"))
            .args([modules, fixtures.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("its URL");
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://"), "aimock starts: {url:?}");
        Self { child, url }
    }

    /// As `--model` names it, by OpenAI's protocol.
    #[must_use]
    pub fn model(&self) -> String {
        format!("openai:scripted@{}/v1", self.url)
    }

    /// The bodies of all requests that it has had, as text.
    pub async fn told(&self) -> String {
        let journal = reqwest::get(format!("{}/__aimock/journal", self.url)).await;
        let journal: Vec<Value> = journal.expect("it answers").json().await.expect("a journal");
        let bodies: Value = journal.iter().map(|entry| entry["body"].clone()).collect();
        bodies.to_string()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
