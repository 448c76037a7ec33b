//! Listeners of an operator's own, with curl as the client: TLS, client certificates, what targets are told,
//! the PROXY protocol, and reload.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use countersign_crypto::sha256;
use countersign_gateway::ReloadError;
use countersign_gateway::config::{Config, Listener};
use countersign_web::tls::TlsConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::System;

/// An authority, and files of what it has issued.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Self { directory, issuer };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(file);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    /// Writes `<file>.pem` and `<file>.key` for these names.
    fn issue(&self, file: &str, names: &[&str], common_name: &str) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }
}

fn listener(text: &str) -> Listener {
    toml::from_str(text).expect("a listener")
}

/// A TLS listener for `a.example` and `b.example` with `more` in its `tls`, and `rules` after it.
fn https(authority: &Authority, more: &str, rules: &str) -> Listener {
    let certificate = |file: &str| {
        format!(
            "{{ certificate = '{}', private_key = '{}' }}",
            authority.path(&format!("{file}.pem")).display(),
            authority.path(&format!("{file}.key")).display()
        )
    };
    listener(&format!(
        "listen = 'localhost:0'\norigin = 'https://a.example'\nhosts = ['b.example', 'localhost']\n\
         {rules}\n[tls]\ncertificates = [{}, {}]\n{more}",
        certificate("a"),
        certificate("b"),
    ))
}

const TO_AGENT: &str = "rules = []\ndefault_actions = [{ type = 'forward', target_group = 'agent' }]";

struct Curl {
    body: String,
    failed: bool,
}

async fn curl(authority: &Path, host: &str, port: u16, path: &str, more: &[&str]) -> Curl {
    // The Host header is the name alone, as on the scheme's own port.
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "10", "--cacert"])
        .arg(authority)
        .args(["--connect-to", &format!("{host}:443:127.0.0.1:{port}")])
        .args(more)
        .arg(format!("https://{host}{path}"))
        .output()
        .await
        .expect("curl runs");
    Curl {
        body: String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        failed: !output.status.success(),
    }
}

fn echo(answer: &Curl) -> Value {
    let at = answer.body.find("\r\n\r\n").expect("a head");
    serde_json::from_str(&answer.body[at + 4..]).expect(&answer.body)
}

async fn start(name: &str, listener: Listener) -> (System, u16) {
    let name = name.to_owned();
    let added = name.clone();
    let mut system = Box::pin(System::start_with(move |config| {
        config.listeners.additional.insert(added, listener);
    }))
    .await;
    let port = system.serve_listener(&name).await;
    (system, port)
}

fn pair() -> Authority {
    let authority = Authority::new();
    authority.issue("a", &["a.example"], "a");
    authority.issue("b", &["b.example"], "b");
    authority
}

#[tokio::test]
async fn the_certificate_is_chosen_by_server_name() {
    let authority = pair();
    let (_system, port) = start("https", https(&authority, "", TO_AGENT)).await;
    let ca = authority.path("ca.pem");
    for host in ["a.example", "b.example"] {
        let answer = curl(&ca, host, port, "/x?y=z", &["--http2"]).await;
        assert!(answer.body.starts_with("HTTP/2 200"), "{}", answer.body);
        let echo = echo(&answer);
        assert_eq!(echo["target"], "/x?y=z");
        assert_eq!(echo["headers"]["x-forwarded-proto"], "https");
        assert_eq!(echo["headers"]["x-forwarded-host"], host);
    }
    for version in [
        &["--tlsv1.2", "--tls-max", "1.2"][..],
        &["--tlsv1.3", "--http1.1"],
    ] {
        assert!(
            !curl(&ca, "a.example", port, "/", version).await.failed,
            "{version:?}"
        );
    }
    let unknown = curl(&ca, "c.example", port, "/", &["-k"]).await;
    assert!(unknown.body.contains(" 421"), "{}", unknown.body);
}

/// A system whose key listener has this `tls`, under names with ports; and its port.
async fn keys_by(tls: &str, acme: Option<&Path>) -> (System, u16) {
    let tls: BTreeMap<String, TlsConfig> = toml::from_str(tls).expect("TLS");
    let acme = acme.map(|storage| {
        let text = format!(
            "terms_of_service_agreed = true\ndirectory_url = 'https://127.0.0.1:1/'\nstorage = '{}'",
            storage.display()
        );
        toml::from_str(&text).expect("an ACME server")
    });
    let mut system = Box::pin(System::start_with(move |config| {
        let keys = &mut config.listeners.keys;
        keys.hosts = ["keys.example:8443", "keys.example"].map(str::to_owned).into();
        keys.tls = tls.into_values().next();
        config.acme = acme;
    }))
    .await;
    let port = system.serve_listener("keys").await;
    (system, port)
}

#[tokio::test]
async fn the_key_listener_has_a_certificate_by_acme() {
    let authority = Authority::new();
    authority.issue("keys", &["keys.example"], "keys");
    let read = |file: &str| std::fs::read_to_string(authority.path(file)).expect("a file");
    // As it is stored, it is good for long: the server need not be there.
    let hash = hex::encode(&sha256(b"keys.example")[..6]);
    let stored = format!("keys.example-{hash}.pem");
    authority.write(&stored, &(read("keys.key") + &read("keys.pem")));
    // It goes before the self-signed one, whose name it has.
    let tls = "tls = { acme = true, self_signed = true }";
    let (_system, port) = keys_by(tls, Some(authority.directory.path())).await;
    let path = "/default/jwks.json";
    let answer = curl(&authority.path("ca.pem"), "keys.example", port, path, &[]).await;
    assert!(answer.body.starts_with("HTTP/2 200"), "{}", answer.body);
}

#[tokio::test]
async fn the_key_listener_signs_for_names_without_ports() {
    let (_system, port) = keys_by("tls = 'self-signed'", None).await;
    let shown = ["-k", "-w", "%{certs}"];
    let answer = curl(Path::new("/dev/null"), "keys.example", port, "/", &shown).await;
    let names = answer.body.lines().find(|line| line.contains("Alternative Name"));
    assert!(
        names.is_some_and(|names| names.ends_with("Name:DNS:keys.example")),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn tls_1_2_can_be_refused() {
    let authority = pair();
    let (_system, port) = start("https", https(&authority, "minimum_version = '1.3'", TO_AGENT)).await;
    let ca = authority.path("ca.pem");
    assert!(
        curl(&ca, "a.example", port, "/", &["--tls-max", "1.2"])
            .await
            .failed
    );
    assert!(!curl(&ca, "a.example", port, "/", &[]).await.failed);
}

#[tokio::test]
async fn client_certificates_are_verified_and_told() {
    let authority = pair();
    authority.issue("client", &[], "a client, of ours");
    let stranger = Authority::new();
    stranger.issue("client", &[], "a stranger");
    let mutual = format!(
        "mutual_authentication = {{ mode = 'verify', trust_store = '{}' }}",
        authority.path("ca.pem").display()
    );
    let (_system, port) = start("https", https(&authority, &mutual, TO_AGENT)).await;
    let ca = authority.path("ca.pem");
    let with = |authority: &Authority| {
        ["client.pem", "client.key"].map(|file| authority.path(file).display().to_string())
    };
    let spoof = "X-Amzn-Mtls-Clientcert-Subject: CN=somebody else";
    let [certificate, key] = with(&authority);
    let flags = [
        "--cert",
        &certificate,
        "--key",
        &key,
        "-H",
        spoof,
        "-H",
        "x_amzn_mtls_clientcert: x",
    ];
    let answer = curl(&ca, "a.example", port, "/", &flags).await;
    let echo = echo(&answer);
    let headers = &echo["headers"];
    assert_eq!(
        headers["x-amzn-mtls-clientcert-subject"],
        r"CN=a client\, of ours"
    );
    assert_eq!(headers["x-amzn-mtls-clientcert-issuer"], "CN=test authority");
    assert!(
        headers["x-amzn-mtls-clientcert-validity"]
            .as_str()
            .is_some_and(|v| v.starts_with("NotBefore="))
    );
    assert!(headers["x-amzn-mtls-clientcert-serial-number"].is_string());
    assert!(
        headers["x-amzn-mtls-clientcert-leaf"]
            .as_str()
            .is_some_and(|v| v.starts_with("-----BEGIN%20"))
    );
    assert!(headers["x_amzn_mtls_clientcert"].is_null());
    assert!(headers["x-amzn-mtls-clientcert"].is_null());

    assert!(curl(&ca, "a.example", port, "/", &[]).await.failed, "nobody");
    let [certificate, key] = with(&stranger);
    let flags = ["--cert", certificate.as_str(), "--key", key.as_str()];
    assert!(
        curl(&ca, "a.example", port, "/", &flags).await.failed,
        "a stranger"
    );
}

#[tokio::test]
async fn client_certificates_pass_unchecked_where_configured() {
    let authority = pair();
    let stranger = Authority::new();
    stranger.issue("client", &[], "a stranger");
    let mutual = "mutual_authentication = { mode = 'passthrough' }";
    let (_system, port) = start("https", https(&authority, mutual, TO_AGENT)).await;
    let ca = authority.path("ca.pem");
    let [certificate, key] =
        ["client.pem", "client.key"].map(|file| stranger.path(file).display().to_string());
    let flags = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let told = echo(&curl(&ca, "a.example", port, "/", &flags).await);
    let passed = told["headers"]["x-amzn-mtls-clientcert"]
        .as_str()
        .expect("the chain");
    let pem = std::fs::read_to_string(&certificate).expect("the certificate");
    let decoded = percent_encoding::percent_decode_str(passed)
        .decode_utf8()
        .expect("UTF-8");
    let bare = |text: &str| text.replace(['\r', '\n'], "");
    // curl also sends the authority that it was told to trust.
    assert!(bare(&decoded).starts_with(&bare(&pem)), "{decoded}");
    let spoof = ["-H", "X-Amzn-Mtls-Clientcert: spoofed"];
    let nobody = echo(&curl(&ca, "a.example", port, "/", &spoof).await);
    assert!(nobody["headers"]["x-amzn-mtls-clientcert"].is_null());
}

#[tokio::test]
async fn f09_identity_headers_of_clients_end_at_every_listener() {
    let authority = pair();
    let (_system, port) = start("https", https(&authority, "", TO_AGENT)).await;
    let names = [
        "X-Amzn-Oidc-Data",
        "x_amzn_oidc_data",
        "X-AMZN_oidc-Identity",
        "x.amzn.oidc.accesstoken",
        "X-Countersign-User-Token",
        "X-Amzn-Mtls-Clientcert-Leaf",
        "X-Amzn-Tls-Version",
        "X_Forwarded_For",
        "Forwarded",
    ];
    let lines: Vec<String> = names.iter().map(|name| format!("{name}: spoofed")).collect();
    let mut flags: Vec<&str> = lines.iter().flat_map(|line| ["-H", line]).collect();
    flags.extend(["-H", "Connection: X-Private", "-H", "X-Private: 1"]);
    for version in ["--http1.1", "--http2"] {
        flags.push(version);
        // A connection header is malformed in HTTP/2; curl does not send it there.
        let told = echo(&curl(&authority.path("ca.pem"), "a.example", port, "/", &flags).await);
        let text = told["headers"].to_string();
        assert!(!text.contains("spoofed"), "{version}: {text}");
        flags.pop();
    }
}

#[tokio::test]
async fn rules_of_a_listener_answer_redirect_and_rewrite() {
    let authority = pair();
    let rules = r#"
        rules = [
            { priority = 1, conditions = { path_pattern = ["/old/*"] }, actions = [
                { type = "redirect", host = "new.example", path = "/new/#{path}", status_code = 301 } ] },
            { priority = 2, conditions = { http_header = [{ name = "X-Tier", values = ["gold*"] }] }, actions = [
                { type = "fixed-response", status_code = 200, content_type = "application/json", message_body = "{}" } ] },
            { priority = 3, conditions = { path_pattern = ["/api/*"] }, actions = [{ type = "forward", target_group = "agent" }],
              transforms = { host_header_rewrite = { regex = "^(.+)\\.example$", replace = "$1.internal" },
                             url_rewrite = { regex = "^/api/(.*)$", replace = "/v2/$1" } } },
        ]
        attributes = { response = { strict_transport_security = "max-age=31536000" }, drop_invalid_header_fields = true,
                       tls_version_and_cipher_suite = true, xff_header_processing = "append", xff_client_port = true }
    "#;
    let (_system, port) = start("https", https(&authority, "", rules)).await;
    let ca = authority.path("ca.pem");
    let moved = curl(&ca, "a.example", port, "/old/x?y=1", &["--http1.1"])
        .await
        .body;
    assert!(moved.starts_with("HTTP/1.1 301"), "{moved}");
    assert!(
        moved.contains("location: https://new.example/new/old/x?y=1\r\n"),
        "{moved}"
    );
    assert!(
        moved.contains("strict-transport-security: max-age=31536000\r\n"),
        "{moved}"
    );
    let gold = curl(
        &ca,
        "a.example",
        port,
        "/",
        &["--http1.1", "-H", "x-tier: GOLDEN"],
    )
    .await
    .body;
    assert!(gold.starts_with("HTTP/1.1 200") && gold.ends_with("{}"), "{gold}");
    let flags = [
        "-H",
        "a_b: 1",
        "-H",
        "X-Forwarded-For: 203.0.113.1",
        "-H",
        "traceparent: bad",
    ];
    let told = echo(&curl(&ca, "a.example", port, "/api/y?z", &flags).await);
    assert_eq!(told["target"], "/v2/y?z");
    let headers = &told["headers"];
    assert_eq!(headers["host"], "a.internal");
    assert!(headers["a_b"].is_null() && headers["traceparent"].is_null());
    assert_eq!(headers["x-amzn-tls-version"], "TLSv1.3");
    assert!(
        headers["x-amzn-trace-id"]
            .as_str()
            .is_some_and(|id| id.starts_with("Root=1-"))
    );
    let chain = headers["x-forwarded-for"].as_str().expect("a chain");
    assert!(chain.starts_with("203.0.113.1, 127.0.0.1:"), "{chain}");
    let nothing = curl(&ca, "a.example", port, "/", &["--http1.1"]).await.body;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    let many = vec!["203.0.113.1"; 30].join(", ");
    let many = curl(
        &ca,
        "a.example",
        port,
        "/api/x",
        &["-H", &format!("X-Forwarded-For: {many}")],
    )
    .await;
    assert!(many.body.contains(" 463"), "{}", many.body);
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_of_trusted_senders() {
    let text = |trusted: &str| {
        listener(&format!(
            "listen = 'localhost:0'\norigin = 'http://localhost'\n{TO_AGENT}\nproxy_protocol = {{ trusted_sources = ['{trusted}'] }}"
        ))
    };
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x1f\x90\x01\xbb";
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let exchange = async |port: u16, parts: &[&[u8]]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a connection");
        stream.write_all(&parts.concat()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (_system, port) = start("trusted", text("127.0.0.0/8")).await;
    let answer = exchange(port, &[header, request]).await;
    assert!(answer.contains(r#""x-forwarded-for":"192.0.2.7""#), "{answer}");
    assert_eq!(
        exchange(port, &[request]).await,
        "",
        "a trusted sender must send it"
    );
    let (_system, port) = start("untrusted", text("192.0.2.0/24")).await;
    let answer = exchange(port, &[header, request]).await;
    assert!(
        !answer.contains("192.0.2.7") && !answer.contains(" 200 "),
        "{answer}"
    );
    let answer = exchange(port, &[request]).await;
    assert!(answer.contains(r#""x-forwarded-for":"127.0.0.1""#), "{answer}");
}

fn fixed(body: &str) -> String {
    format!(
        "rules = []\ndefault_actions = [{{ type = 'fixed-response', status_code = 200, message_body = '{body}' }}]"
    )
}

#[tokio::test]
async fn a_reload_is_whole_or_nothing() {
    let authority = pair();
    let (system, port) = start("https", https(&authority, "", &fixed("one"))).await;
    let ca = authority.path("ca.pem");
    let body = async || curl(&ca, "a.example", port, "/", &["--http1.1"]).await.body;
    assert!(body().await.ends_with("one"));

    let change = |listener: Listener, more: fn(&mut Config)| {
        let mut config = system.config();
        config.listeners.additional.insert("https".to_owned(), listener);
        more(&mut config);
        config
    };
    // A good rule and a bad certificate: neither is taken.
    authority.write("b.key", "nonsense");
    let error = system
        .reload(change(https(&authority, "", &fixed("two")), |_| ()))
        .await;
    assert!(matches!(error, Err(ReloadError::Tls { .. })), "{error:?}");
    assert!(body().await.ends_with("one"));
    authority.issue("b", &["b.example"], "b again");
    let error = system
        .reload(change(
            listener(&format!(
                "listen = 'localhost:0'\norigin = 'https://a.example'\n{}",
                fixed("two")
            )),
            |_| (),
        ))
        .await;
    assert!(
        error
            .expect_err("TLS cannot go")
            .to_string()
            .contains("listeners.https.tls")
    );
    let error = system
        .reload(change(https(&authority, "", &fixed("two")), |config| {
            config.region = "eu-west-1".to_owned();
        }))
        .await;
    assert_eq!(
        error.expect_err("a restart").to_string(),
        "region changes only with a restart"
    );
    let bad_rules = "rules = [{ priority = 1, actions = [{ type = 'forward', target_group = 'nobody' }] }]";
    let error = system
        .reload(change(https(&authority, "", bad_rules), |_| ()))
        .await;
    assert!(
        error
            .expect_err("no group")
            .to_string()
            .contains("listeners.https.rules[1]")
    );
    assert!(body().await.ends_with("one"));

    // Another certificate and another rule: both at once.
    authority.issue("a", &["a.example"], "the new one");
    system
        .reload(change(https(&authority, "", &fixed("two")), |_| ()))
        .await
        .expect("a good configuration");
    assert!(body().await.ends_with("two"));
    let shown = curl(&ca, "a.example", port, "/", &["-v"]).await.body;
    assert!(shown.contains("CN=the new one"), "{shown}");
}

#[tokio::test]
async fn a_reload_reaches_the_key_listener_and_the_user_token() {
    let system = System::start_with(|config| {
        config.authenticate_oidc.groups_claim = "teams".to_owned();
        let agent = config.target_groups.get_mut("agent").expect("the agent");
        agent.user_token_groups = true;
    })
    .await;
    let mut alice = system.logged_in("alice").await;
    let mut groups = async || {
        let echo = alice.get(&format!("{}/", system.app)).await.json();
        let token = echo["headers"]["x-countersign-user-token"]
            .as_str()
            .map(str::to_owned);
        let payload = token.as_deref().and_then(|token| token.split('.').nth(1));
        let payload = countersign_crypto::b64url_decode(payload.expect("a token")).expect("base64url");
        let claims: Value = serde_json::from_slice(&payload).expect("JSON");
        claims["groups"].clone()
    };
    let elsewhere = "192.0.2.1:4000".parse().expect("an address");
    let keys_for_elsewhere = async || {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = socket.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), socket.accept());
        let (_client, (stream, _)) = (client.expect("connected"), accepted.expect("accepted"));
        system.transport("keys").accept(stream, elsewhere).await.is_ok()
    };
    assert_eq!(groups().await, Value::Null);
    assert!(!keys_for_elsewhere().await);
    let mut config = system.config();
    config.authenticate_oidc.groups_claim = "groups".to_owned();
    config.listeners.keys.plaintext_from = vec!["192.0.2.0/24".parse().expect("a network")];
    system.reload(config).await.expect("a good configuration");
    assert_eq!(groups().await, serde_json::json!(["staff", "admins", "wine"]));
    assert!(keys_for_elsewhere().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_drop_no_connection() {
    let plain = |body: &str| {
        listener(&format!(
            "listen = 'localhost:0'\norigin = 'http://localhost'\n{}",
            fixed(body)
        ))
    };
    let (system, port) = start("plain", plain("0")).await;
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (over, answered) = (over.clone(), answered.clone());
            tokio::spawn(async move {
                // One connection for everything: were it dropped, the client would fail.
                let stream = TcpStream::connect(("127.0.0.1", port))
                    .await
                    .expect("a connection");
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
                        .await
                        .expect("HTTP");
                tokio::spawn(connection);
                while !over.load(Ordering::Relaxed) {
                    let request = http::Request::get("/").header("host", "localhost");
                    let request = request.body(String::new()).expect("a request");
                    let response = sender.send_request(request).await.expect("an answer");
                    assert_eq!(response.status(), 200);
                    http_body_util::BodyExt::collect(response.into_body())
                        .await
                        .expect("a body");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=20 {
        let before = answered.load(Ordering::Relaxed);
        let mut config = system.config();
        config
            .listeners
            .additional
            .insert("plain".to_owned(), plain(&round.to_string()));
        system.reload(config).await.expect("a good configuration");
        while answered.load(Ordering::Relaxed) < before + 16 {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no client failed");
    }
    let answer = get_once(port).await;
    assert!(answer.ends_with("20"), "{answer}");
}

async fn get_once(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn the_default_action_of_a_listener_can_log_people_in() {
    let mut system = Box::pin(System::start_with(|config| {
        let wiki = config.authenticate_oidc.clone();
        config.applications.insert("wiki".to_owned(), wiki);
        let text = "listen = 'localhost:0'\norigin = 'http://localhost'\nrules = []\ndefault_actions = [\
                    { type = 'authenticate-oidc', application = 'wiki' }, { type = 'forward', target_group = 'agent' }]";
        config.listeners.additional.insert("wiki".to_owned(), listener(text));
    }))
    .await;
    let port = system.serve_listener("wiki").await;
    let answer = get_once(port).await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    assert!(
        answer.contains(&format!("location: {}/", system.provider.issuer)),
        "{answer}"
    );
}
