//! The gateway's hop: one worker, one nginx as target, beside nginx as a plain proxy to the same target.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::HttpBrowser;
use e2e::oidc_provider::{Client, OidcProvider, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::{Sample, process, wrk};

/// Event streams of the case `sse_idle`.
pub(crate) const STREAMS: u32 = 5_000;
/// Makes the claims a kilobyte: the provider repeats it in `name`, `preferred_username` and `email`.
const LONG_NAME: &str = "a-person-with-a-very-long-name-so-that-the-claims-are-a-kilobyte-in-all-as-those-of-a-large-\
company-with-many-departments-tend-to-be-when-its-directory-was-filled-from-several-older-ones-over-the-years";

pub(super) const SERVER_CONFIG: &str = r#"
[keys]
gateway = "{dir}/gateway.key"
[operations]
listen = "localhost:{operations}"
[gateway]
account = "000000000000"
region = "us-east-1"
workers = 1
outbound_allow = ["127.0.0.1:{provider}"]
database = { url = "sqlite:{dir}/gateway.sqlite" }
claims_header = { signer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/bench/1" }
user_token = { issuer = "http://localhost:{keys}/default" }
[gateway.authenticate_oidc]
issuer = "http://127.0.0.1:{provider}"
client_id = "bench"
client_secret = "bench-secret"
[gateway.listeners.keys]
listen = "localhost:{keys}"
hosts = ["localhost:{keys}"]
[gateway.listeners.account]
listen = "localhost:{account}"
origin = "{scheme}://localhost:{account}"
{tls}
rules = []
[gateway.listeners.app]
listen = "localhost:{app}"
origin = "{scheme}://localhost:{app}"
{tls}
[[gateway.listeners.app.rules]]
priority = 10
conditions = { path_pattern = ["/plain"] }
actions = [{ type = "forward", target_group = "nginx" }]
[[gateway.listeners.app.rules]]
priority = 20
conditions = { path_pattern = ["/events"] }
actions = [{ type = "forward", target_group = "events" }]
[[gateway.listeners.app.rules]]
priority = 30
actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "nginx" }]
[gateway.target_groups.nginx]
url = "http://127.0.0.1:{upstream}"
[gateway.target_groups.events]
url = "http://127.0.0.1:{events}"
[gateway.forward]
idle_timeout_seconds = 600
"#;

/// A process that ends with the benchmark.
pub(super) struct Server(pub(super) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Case {
    name: &'static str,
    pid: u32,
    url: String,
    headers: Vec<(String, String)>,
    samples: Vec<Sample>,
}

/// A running gateway and a person's ticket for it.
struct Gateway {
    server: Server,
    app: u16,
    cookie: String,
}

/// Runs the cases in turn, `rounds` times.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<Vec<(&'static str, Vec<Sample>)>> {
    let directory = tempfile::tempdir()?;
    let (upstream, proxy) = (free_port(), free_port());
    let nginx_upstream = nginx(
        &directory.path().join("upstream"),
        &format!(
            "server {{ listen 127.0.0.1:{upstream}; location / {{ return 200 'hello from the target'; }} }}"
        ),
    )?;
    let nginx_proxy = nginx(
        &directory.path().join("proxy"),
        &format!(
            "upstream target {{ server 127.0.0.1:{upstream}; keepalive 64; }}
             server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://target; proxy_http_version 1.1;
             proxy_set_header Connection ''; }} }}"
        ),
    )?;
    let events = events().await?;
    let plain = gateway(&directory.path().join("plain"), "http", upstream, events).await?;
    let tls = gateway(&directory.path().join("tls"), "https", upstream, events).await?;
    let case = |name, server: &Server, url: String, cookie: Option<&str>| Case {
        name,
        pid: server.0.id(),
        url,
        headers: cookie
            .map(|cookie| ("cookie".to_owned(), cookie.to_owned()))
            .into_iter()
            .collect(),
        samples: vec![],
    };
    let local = |scheme: &str, port: u16, path: &str| format!("{scheme}://localhost:{port}{path}");
    let mut cases = [
        case(
            "upstream",
            &nginx_upstream,
            format!("http://127.0.0.1:{upstream}/"),
            None,
        ),
        case(
            "nginx_plain",
            &nginx_proxy,
            format!("http://127.0.0.1:{proxy}/"),
            None,
        ),
        case("plain", &plain.server, local("http", plain.app, "/plain"), None),
        case(
            "authenticated",
            &plain.server,
            local("http", plain.app, "/a"),
            Some(&plain.cookie),
        ),
        case(
            "authenticated_tls",
            &tls.server,
            local("https", tls.app, "/a"),
            Some(&tls.cookie),
        ),
    ];
    for _ in 0..rounds {
        for case in &mut cases {
            case.samples
                .push(wrk::run(case.pid, "GET", &case.url, &case.headers, "")?);
        }
    }
    let mut streams = vec![];
    for _ in 0..rounds {
        // A fresh process each time: what the load above has left in the allocator does not count.
        let idle = gateway(
            &directory.path().join(format!("sse{}", streams.len())),
            "http",
            upstream,
            events,
        )
        .await?;
        streams.push(sse_idle(&idle).await?);
    }
    let mut all: Vec<_> = cases.into_iter().map(|case| (case.name, case.samples)).collect();
    all.push(("sse_idle", streams));
    Ok(all)
}

pub(super) fn nginx(directory: &Path, servers: &str) -> anyhow::Result<Server> {
    fs::create_dir(directory)?;
    let path = directory.display();
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log stderr crit;
         events {{ worker_connections 4096; }}
         http {{ access_log {path}/access.log; client_body_temp_path {path}; proxy_temp_path {path};
         fastcgi_temp_path {path}; uwsgi_temp_path {path}; scgi_temp_path {path};
         keepalive_requests 100000000; {servers} }}"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, config)?;
    let program = if Path::new("/usr/sbin/nginx").exists() {
        "/usr/sbin/nginx"
    } else {
        "nginx"
    };
    let child = Command::new(program)
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(directory)
        .spawn();
    Ok(Server(child.context("nginx starts")?))
}

/// A gateway with one worker, at which a person is logged in.
async fn gateway(directory: &Path, scheme: &str, upstream: u16, events: u16) -> anyhow::Result<Gateway> {
    fs::create_dir(directory)?;
    let (app, account, keys, operations, provider) =
        (free_port(), free_port(), free_port(), free_port(), free_port());
    let redirect = [format!("{scheme}://localhost:{account}/oauth2/idpresponse")];
    let client = Client {
        id: "bench",
        secret: "bench-secret",
        redirect_uris: &redirect,
    };
    let _provider = OidcProvider::start(provider, &[client]);
    let mut config = SERVER_CONFIG
        .replace("{dir}", &directory.display().to_string())
        .replace("{scheme}", scheme)
        .replace(
            "{tls}",
            if scheme == "https" {
                "tls = \"self-signed\""
            } else {
                ""
            },
        );
    for (name, port) in [
        ("app", app),
        ("account", account),
        ("keys", keys),
        ("operations", operations),
        ("provider", provider),
        ("upstream", upstream),
        ("events", events),
    ] {
        config = config.replace(&format!("{{{name}}}"), &port.to_string());
    }
    let file = directory.join("countersign.toml");
    fs::write(&file, config)?;
    let binary = std::env::var("COUNTERSIGN_BIN").context("COUNTERSIGN_BIN names the binary")?;
    let log = fs::File::create(directory.join("log"))?;
    let server = Server(
        Command::new(binary)
            .args(["serve", "gateway", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the gateway starts")?,
    );
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", app)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let url = Url::parse(&format!("{scheme}://localhost:{app}/a"))?;
    let browser = HttpBrowser::trusting_any_certificate();
    let page = browser.opens(&url).await;
    let page = browser
        .submits(&page, &[("login", LONG_NAME), ("password", "x")])
        .await;
    let page = if page.url.port() == Some(provider) {
        browser.submits(&page, &[]).await
    } else {
        page
    };
    ensure!(page.url == url, "logged in: {} {}", page.url, page.body);
    let cookie = browser.cookie_header(&url).context("a ticket")?;
    Ok(Gateway { server, app, cookie })
}

/// A target of event streams that say one thing and then nothing.
async fn events() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = [0; 4_096];
                let read = stream.read(&mut seen).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                let written = stream
                    .write_all(format!("{head}9\r\ndata: 1\n\n\r\n").as_bytes())
                    .await;
                if read.is_ok() && written.is_ok() {
                    // Until the gateway closes.
                    let _ = stream.read(&mut seen).await;
                }
            });
        }
    });
    Ok(port)
}

/// Opens the streams, and measures what they hold and cost while nothing happens.
async fn sse_idle(gateway: &Gateway) -> anyhow::Result<Sample> {
    let pid = gateway.server.0.id();
    let before = process::rss_kb(pid)?;
    let request = format!("GET /events HTTP/1.1\r\nhost: localhost:{}\r\n\r\n", gateway.app);
    let mut streams = vec![];
    let mut errors = 0;
    for _ in 0..STREAMS {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.app)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![];
        while !answer.ends_with(b"data: 1\n\n\r\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                errors += 1;
                break;
            }
        }
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Sample {
        requests: u64::from(STREAMS),
        errors,
        rps: 0.0,
        p50_us: 0.0,
        p99_us: 0.0,
        cpu_us: 0.0,
        // Of the streams alone, all together.
        rss_kb: process::rss_kb(pid)?.saturating_sub(before),
    })
}
