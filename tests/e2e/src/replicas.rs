//! Several `countersign serve identity` on one PostgreSQL schema, and callers of them.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use countersign_api::{Credentials, sigv4};
use reqwest::{StatusCode, header::HOST};
use serde_json::{Value, json};

use crate::{HttpBrowser, oidc_provider::free_port, system::binary};

const KEY_ID: &str = "AKIAREPLICASOFTESTS0";
const SECRET: &str = "a secret of the first caller, long enough";
const RETURN_URL: &str = "http://localhost:9/callback";
/// The only workload identity.
pub const WORKLOAD: &str = "agent";
/// The only provider.
pub const PROVIDER: &str = "rotating";

/// What to start.
pub struct Options<'a> {
    /// How many.
    pub replicas: usize,
    /// `postgres://…`.
    pub database: &'a str,
    /// The issuer of the provider, on loopback.
    pub issuer: &'a str,
    /// More lines of the `[identity]` table, and tables below it.
    pub more: &'a str,
}

/// Running replicas. Dropped, they are killed.
pub struct Replicas {
    running: Vec<Replica>,
    /// The database and its schema.
    pub database: String,
    /// The schema in it.
    pub schema: String,
    directory: tempfile::TempDir,
    http: reqwest::Client,
}

struct Replica {
    api: u16,
    config: PathBuf,
    child: Child,
}

/// What a call gave.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its body; null where it is not JSON.
    pub body: Value,
    /// Its request id.
    pub request_id: String,
}

impl Replicas {
    /// Starts them one after the other; the first migrates the schema.
    #[must_use]
    pub fn start(options: &Options<'_>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let schema = format!("replicas_{}_{}", std::process::id(), free_port());
        let ports: Vec<[u16; 3]> = (0..options.replicas)
            .map(|_| [free_port(), free_port(), free_port()])
            .collect();
        let mut replicas = Self {
            running: Vec::new(),
            database: options.database.to_owned(),
            schema,
            directory,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(40))
                .build()
                .expect("a client"),
        };
        for (index, [api, _, _]) in ports.iter().enumerate() {
            let config = replicas.directory.path().join(format!("replica-{index}.toml"));
            std::fs::write(&config, replicas.configuration(options, &ports, index)).expect("written");
            let child = Self::serve(&config);
            replicas.running.push(Replica {
                api: *api,
                config,
                child,
            });
        }
        replicas
    }

    fn configuration(&self, options: &Options<'_>, ports: &[[u16; 3]], index: usize) -> String {
        let [api, front, operations] = ports[index];
        let key = self.directory.path().join("identity.key");
        let hosts: Vec<String> = ports
            .iter()
            .map(|[api, ..]| format!("\"localhost:{api}\""))
            .collect();
        let authority = options
            .issuer
            .strip_prefix("http://")
            .expect("plain, on loopback");
        format!(
            r#"[keys]
identity = "{key}"
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = [{hosts}]
front_channel_url = "http://localhost:{shared}"
front_channel_hosts = ["localhost:{front}"]
outbound_allow = ["{authority}"]
{more}
[identity.database]
url = "{database}"
schema = "{schema}"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
"#,
            key = key.display(),
            hosts = hosts.join(", "),
            shared = ports[0][1],
            more = options.more,
            database = self.database,
            schema = self.schema,
        )
    }

    fn serve(config: &Path) -> Child {
        let log = config.with_extension("log");
        let mut child = Command::new(binary())
            .args(["serve", "identity", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .expect("a log file"),
            )
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.starts_with("ready") {
                    let _ = ready.send(());
                }
            }
        });
        if started.recv_timeout(Duration::from_mins(1)).is_err() {
            let _ = child.kill();
            panic!(
                "not ready:\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
        }
        child
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// The configuration file of one.
    #[must_use]
    pub fn config(&self, index: usize) -> &Path {
        &self.running[index].config
    }

    /// What one logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.running[index].config.with_extension("log")).unwrap_or_default()
    }

    /// The process of one.
    #[must_use]
    pub fn pid(&self, index: usize) -> u32 {
        self.running[index].child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self, index: usize) {
        let child = &mut self.running[index].child;
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts one again that was killed.
    pub fn start_again(&mut self, index: usize) {
        let child = Self::serve(&self.running[index].config.clone());
        self.running[index].child = child;
    }

    /// A caller that needs no borrow of the replicas.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            ports: self.running.iter().map(|replica| replica.api).collect(),
            key: (KEY_ID.to_owned(), SECRET.to_owned()),
            http: self.http.clone(),
        }
    }

    /// A query by `psql`, in the replicas' schema; its rows, fields separated by `|`.
    #[must_use]
    pub fn sql(&self, query: &str) -> Vec<String> {
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.database,
            ])
            .args(["-c", &format!("SET search_path = {}", self.schema), "-c", query])
            .output()
            .expect("psql runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for index in 0..self.running.len() {
            self.kill(index);
        }
        let _ = Command::new("psql")
            .args(["-X", "-q", "-d", &self.database, "-c"])
            .arg(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema))
            .stderr(Stdio::null())
            .status();
    }
}

/// Calls the replicas as their administrator.
#[derive(Clone)]
pub struct Caller {
    ports: Vec<u16>,
    key: (String, String),
    http: reqwest::Client,
}

impl Caller {
    /// With an access key (id and secret) of servers on these ports of this machine.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn of(ports: Vec<u16>, id: &str, secret: &str) -> Self {
        Self {
            ports,
            key: (id.to_owned(), secret.to_owned()),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(40))
                .build()
                .expect("a client"),
        }
    }

    /// A signed call of the operation at `path` at one replica.
    ///
    /// # Errors
    /// When the connection breaks or nobody answers.
    pub async fn call(&self, replica: usize, path: &str, body: &Value) -> reqwest::Result<Answered> {
        let (url, request) = self.request(replica, path, &body.to_string());
        let (parts, body) = request.into_parts();
        let response = self
            .http
            .post(&url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await?;
        let status = response.status();
        let request_id = response.headers().get("x-amzn-requestid");
        let request_id = request_id
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let bytes = response.bytes().await?;
        Ok(Answered {
            status,
            request_id,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    /// The headers of a signed request, good for five minutes.
    ///
    /// # Panics
    /// When a header is not text.
    #[must_use]
    pub fn signed(&self, replica: usize, path: &str, body: &str) -> Vec<(String, String)> {
        let (_, request) = self.request(replica, path, body);
        request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect()
    }

    fn request(&self, replica: usize, path: &str, body: &str) -> (String, http::Request<bytes::Bytes>) {
        let service = if path.starts_with("/countersign/") {
            "countersign"
        } else {
            "bedrock-agentcore"
        };
        let port = self.ports[replica % self.ports.len()];
        let url = format!("http://localhost:{port}{path}");
        let mut request = http::Request::post(&url)
            .header(HOST, format!("localhost:{port}"))
            .header("content-type", "application/json")
            .body(bytes::Bytes::from(body.to_owned()))
            .expect("a request");
        let credentials = Credentials {
            access_key_id: self.key.0.clone(),
            secret_access_key: self.key.1.clone().into(),
            session_token: None,
        };
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let now = i64::try_from(now).expect("before 2262");
        sigv4::sign(&credentials, "us-east-1", service, &mut request, now).expect("signed");
        (url, request)
    }

    /// A call that succeeds.
    pub async fn must(&self, path: &str, body: Value) -> Value {
        let answer = self.call(0, path, &body).await.expect("an answer");
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer.body
    }

    /// Makes the workload identity and the provider.
    pub async fn registers(&self, issuer: &str) {
        self.must(
            "/identities/CreateWorkloadIdentity",
            json!({"name": WORKLOAD, "allowedResourceOauth2ReturnUrls": [RETURN_URL]}),
        )
        .await;
        self.must(
            "/identities/CreateOauth2CredentialProvider",
            json!({
                "name": PROVIDER,
                "credentialProviderVendor": "CustomOauth2",
                "oauth2ProviderConfigInput": {"customOauth2ProviderConfig": {
                    "oauthDiscovery": {"discoveryUrl": format!("{issuer}/.well-known/openid-configuration")},
                    "clientId": "countersign",
                    "clientSecret": "secret",
                }},
            }),
        )
        .await;
    }

    /// A workload access token for this person.
    pub async fn wat(&self, person: &str) -> Value {
        let body = json!({"workloadName": WORKLOAD, "userId": person});
        let mut wat = self
            .must("/identities/GetWorkloadAccessTokenForUserId", body)
            .await;
        wat["workloadAccessToken"].take()
    }

    /// The request for a person's token.
    #[must_use]
    pub fn token_request(wat: &Value) -> Value {
        json!({
            "workloadIdentityToken": wat,
            "resourceCredentialProviderName": PROVIDER,
            "scopes": ["api:read"],
            "oauth2Flow": "USER_FEDERATION",
            "resourceOauth2ReturnUrl": RETURN_URL,
        })
    }

    /// Asks one replica for the person's token.
    ///
    /// # Errors
    /// When the connection breaks or nobody answers.
    pub async fn token(&self, replica: usize, wat: &Value) -> reqwest::Result<Answered> {
        self.call(replica, "/identities/oauth2/token", &Self::token_request(wat))
            .await
    }

    /// Follows the link of a consent request to its end; gives the handle that completes it.
    pub async fn consents(link: &str) -> String {
        let browser = HttpBrowser::new();
        let held = browser.opens_until(link, |url| url.path() == "/callback").await;
        held.query("session_id")
            .unwrap_or_else(|| panic!("no handle at {}: {}", held.url, held.body))
    }

    /// The person connects; gives the answer with the first token.
    pub async fn connects(&self, person: &str, wat: &Value) -> Value {
        let pending = self.token(0, wat).await.expect("an answer").body;
        let link = pending["authorizationUrl"]
            .as_str()
            .unwrap_or_else(|| panic!("a link: {pending}"));
        let handle = Self::consents(link).await;
        let body = json!({"sessionUri": handle, "userIdentifier": {"userId": person}});
        self.must("/identities/CompleteResourceTokenAuth", body).await;
        let answer = self.token(0, wat).await.expect("an answer");
        assert!(answer.body["accessToken"].is_string(), "{answer:?}");
        answer.body
    }
}
