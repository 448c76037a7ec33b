//! A workload without an access key: boto3's own credential chain takes a token of the workload's issuer to
//! `AssumeRoleWithWebIdentity` and signs with what it gets. And everything that gets nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use e2e::{cli::countersign, oidc_provider::free_port, python, served::Served};
use serde_json::{Value, json};

const KEY_ID: &str = "AKIAWEBIDENTITY00000";
const SECRET: &str = "a secret of the first caller, long enough";
const AUDIENCE: &str = "countersign";

fn configuration([api, front, operations]: [u16; 3], issuer: &str) -> String {
    let authority = issuer.strip_prefix("http://").expect("plain, on loopback");
    format!(
        r#"
[keys]
identity = "@DIRECTORY@/identity.key"
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{api}"]
front_channel_url = "http://localhost:{front}"
outbound_allow = ["{authority}"]
[identity.database]
url = "sqlite:@DIRECTORY@/identity.sqlite"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
[[identity.workload_issuers]]
issuer = "{issuer}"
"#
    )
}

fn environment(api: u16, operations: u16) -> BTreeMap<String, String> {
    let endpoint = format!("http://localhost:{api}");
    let mut environment: BTreeMap<String, String> = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for name in ["BEDROCK_AGENTCORE", "BEDROCK_AGENTCORE_CONTROL", "STS"] {
        environment.insert(format!("AWS_ENDPOINT_URL_{name}"), endpoint.clone());
    }
    environment.insert("OPERATIONS".to_owned(), format!("http://localhost:{operations}"));
    environment
}

/// `countersign ARGUMENTS` as the admin.
fn admin(environment: &BTreeMap<String, String>, arguments: &[&str]) {
    let ran = countersign(arguments, environment);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
}

fn file(directory: &Path, name: &str, content: &Value) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content.to_string()).expect("written");
    path.display().to_string()
}

/// The roles that the script asks for.
fn make_roles(environment: &BTreeMap<String, String>, directory: &Path, issuer: &str) {
    let trust = |subject: &str| {
        let trusted = [json!({"issuer": issuer, "audience": AUDIENCE, "subject": subject})];
        json!({"trusted": trusted, "maxSessionDuration": 7200})
    };
    let batch = file(directory, "batch.json", &trust("repo:acme/*"));
    admin(
        environment,
        &["principal", "create", "batch", "--trust-policy", &batch],
    );
    let other = file(directory, "other.json", &trust("repo:other/*"));
    admin(
        environment,
        &["principal", "create", "other", "--trust-policy", &other],
    );
    admin(environment, &["principal", "create", "untrusting"]);
    let allow = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "bedrock-agentcore:GetWorkloadIdentity", "Resource": "*"}],
    });
    let policy = file(directory, "policy.json", &allow);
    admin(environment, &["policy", "create", "batch", "--file", &policy]);
    admin(environment, &["workload", "create", "nightly"]);
}

#[test]
fn a_workload_signs_in_with_a_token_of_its_issuer_and_nobody_else_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let (api, front, operations) = (free_port(), free_port(), free_port());
    let issuer = format!("http://localhost:{}", free_port());
    let config = configuration([api, front, operations], &issuer);
    let served = Served::start_in(directory, "identity", &config, &[]);
    let environment = environment(api, operations);
    make_roles(&environment, served.directory.path(), &issuer);

    let mut script = python::command("web_identity.py", &[&issuer, AUDIENCE], served.directory.path());
    let names = [
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_DEFAULT_REGION",
    ];
    script.envs(names.map(|name| (name, &environment[name])));
    let mut script = script
        .env("COUNTERSIGN", e2e::system::binary())
        .env("ADMIN", serde_json::to_string(&environment).expect("JSON"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let status = script.wait().expect("it ends");
    let output = script.wait_with_output().expect("its output");
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(status.success(), "{printed}\n{said}");
    assert_eq!(printed.trim().lines().last(), Some("done"), "{printed}\n{said}");
}
