//! npm `oidc-provider`, the certified OpenID provider, started for a test.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::{Value, json};

/// A running provider. Dropped, it is killed.
pub struct OidcProvider {
    child: Child,
    /// Its issuer: `http://127.0.0.1:PORT`.
    pub issuer: String,
}

/// A registered client.
pub struct Client<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// Its exact redirect URIs.
    pub redirect_uris: &'a [String],
}

/// A free port on loopback, not given to another test of this process. It is below those that Linux gives to outgoing
/// connections, one of which could have it before whoever it is for.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 5_000).expect("small");
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % 5_000;
        let port = 10_000 + (spread + next) % 5_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl OidcProvider {
    /// Starts it on a free port with these clients.
    #[must_use]
    pub fn start(port: u16, clients: &[Client<'_>]) -> Self {
        let clients: Vec<Value> = clients
            .iter()
            .map(|client| {
                json!({
                    "client_id": client.id,
                    "client_secret": client.secret,
                    "redirect_uris": client.redirect_uris,
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                })
            })
            .collect();
        Self::start_registered(port, clients)
    }

    /// Starts it with clients as OpenID Connect Dynamic Client Registration writes them.
    #[must_use]
    pub fn start_registered(port: u16, clients: Vec<Value>) -> Self {
        let issuer = format!("http://127.0.0.1:{port}");
        let arguments = [port.to_string(), Value::Array(clients).to_string()];
        Self::run("provider.mjs", &arguments, issuer)
    }

    /// The same with access tokens that live so many seconds, refresh tokens that are good once, and back-channel logout.
    #[must_use]
    pub fn start_impatient(port: u16, clients: Vec<Value>, access_token_seconds: u32) -> Self {
        let issuer = format!("http://127.0.0.1:{port}");
        let arguments = [
            port.to_string(),
            Value::Array(clients).to_string(),
            access_token_seconds.to_string(),
        ];
        Self::run("provider.mjs", &arguments, issuer)
    }

    /// Starts one on `port` whose refresh tokens are single use, which logs everybody in at once, and says at `/log` what
    /// became of them. It is known as `issuer`, where a proxy may stand before it.
    #[must_use]
    pub fn start_rotating(port: u16, issuer: &str, access_token_seconds: u32) -> Self {
        let clients = json!([{
            "client_id": "countersign",
            "client_secret": "secret",
            "redirect_uris": ["http://localhost:9/any-of-ours"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        }]);
        let arguments = [
            port.to_string(),
            issuer.to_owned(),
            clients.to_string(),
            access_token_seconds.to_string(),
        ];
        Self::run("rotating_provider.mjs", &arguments, issuer.to_owned())
    }

    fn run(script: &str, arguments: &[String], issuer: String) -> Self {
        let modules = std::env::var("COUNTERSIGN_TEST_NODE_MODULES")
            .expect("COUNTERSIGN_TEST_NODE_MODULES: run `./test browser`, which installs the npm packages");
        let script = crate::repository().join("tests/node").join(script);
        let mut child = Command::new("node")
            .arg(script)
            .arg(modules)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = lines.next().and_then(Result::ok);
        assert_eq!(ready.as_deref(), Some("ready"), "oidc-provider starts");
        // It goes on printing notices, and would die of a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, issuer }
    }

    /// Its discovery document.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer)
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
