//! This service as a client of npm `oidc-provider` without a browser: client credentials, people's own tokens, and each
//! way to prove itself; asked for by boto3 and the `bedrock-agentcore` SDK at `serve identity`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::{
    oidc_provider::OidcProvider,
    python,
    system::{binary, free_port_base},
};
use serde_json::{Value, json};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const KEY_ID: &str = "AKIADIRECTFLOWS00000";
const SECRET: &str = "a secret of the first caller, long enough";

#[test]
fn every_direct_flow_and_client_authentication_works_at_oidc_provider() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = free_port_base();
    let keys = client_keys(directory.path());
    let provider = OidcProvider::start_registered(base + 9, clients(&keys));
    let config = directory.path().join("countersign.toml");
    std::fs::write(&config, configuration(directory.path(), base, &provider.issuer)).expect("written");
    let _server = serve(&config);
    let output = python::command("direct_flows.py", &[&provider.issuer], directory.path())
        .envs([
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ])
        .envs(
            [
                "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE",
                "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL",
                "BEDROCK_AGENTCORE_DP_ENDPOINT",
                "BEDROCK_AGENTCORE_CP_ENDPOINT",
            ]
            .map(|name| (name, format!("http://localhost:{base}"))),
        )
        .output()
        .expect("python runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        printed.trim().lines().last(),
        Some("done"),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The public halves of `rsa.pem` and `ec.pem`, which are made in `directory`.
fn client_keys(directory: &Path) -> Value {
    let script = e2e::repository().join("tests/node/client_keys.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(directory)
        .output()
        .expect("node runs");
    serde_json::from_slice(&output.stdout).expect("keys")
}

fn clients(keys: &Value) -> Vec<Value> {
    const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let direct = |id: &str, grants: &[&str], more: Value| {
        let mut client = json!({
            "client_id": id, "grant_types": grants, "response_types": [], "redirect_uris": [], "scope": "api:read",
        });
        for (name, value) in more.as_object().expect("an object") {
            client[name] = value.clone();
        }
        client
    };
    let secret = || json!({"client_secret": "secret"});
    let signs = |key: &str, algorithm: &str| {
        json!({
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": algorithm,
            "jwks": {"keys": [keys[key]]},
        })
    };
    let own = ["client_credentials"];
    vec![
        direct(
            "basic",
            &own,
            json!({"client_secret": "a secret: of the client %+&"}),
        ),
        direct(
            "post",
            &own,
            json!({"client_secret": "secret", "token_endpoint_auth_method": "client_secret_post"}),
        ),
        direct("rs256", &own, signs("rsa", "RS256")),
        direct("ps256", &own, signs("rsa", "PS256")),
        direct("es256", &own, signs("ec", "ES256")),
        direct("exchange", &[TOKEN_EXCHANGE], secret()),
        direct(
            "acting",
            &[TOKEN_EXCHANGE, "client_credentials"],
            signs("ec", "ES256"),
        ),
        direct("assertion", &[JWT_BEARER], secret()),
        json!({
            "client_id": "portal", "client_secret": "secret", "redirect_uris": ["http://localhost:9/portal"],
            "grant_types": ["authorization_code"], "response_types": ["code"],
        }),
    ]
}

fn configuration(directory: &Path, base: u16, issuer: &str) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    let (front, operations) = (base + 1, base + 2);
    let authority = issuer.strip_prefix("http://").expect("plain, on loopback");
    let (identity_key, database) = (at("identity.key"), at("identity.sqlite"));
    let (rsa, ec) = (at("rsa.pem"), at("ec.pem"));
    format!(
        r#"
[keys]
identity = "{identity_key}"
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{base}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{base}"]
front_channel_url = "http://localhost:{front}"
outbound_allow = ["{authority}"]
[identity.database]
url = "sqlite:{database}"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
[[identity.user_issuers]]
issuer = "{issuer}"
audiences = ["portal"]
workloads = ["direct-agent"]
id_tokens = true
[[identity.client_keys]]
arn = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
private_key = "file:{rsa}"
kid = "rsa"
[[identity.client_keys]]
arn = "arn:aws:kms:us-east-1:000000000000:key/21111111-2222-3333-4444-555555555555"
private_key = "file:{ec}"
kid = "ec"
"#
    )
}

fn serve(config: &Path) -> Running {
    let mut child = Command::new(binary())
        .args(["serve", "identity", "--config"])
        .arg(config)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.starts_with("ready"));
    let running = Running(child);
    assert!(ready, "the identity role starts");
    std::thread::spawn(move || lines.for_each(drop));
    running
}
