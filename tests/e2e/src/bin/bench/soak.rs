//! `./bench soak [--minutes N]`: hours of a gateway's life in minutes. h2load in both versions of HTTP at half of the
//! peak, event streams, and Chromium that logs in again and again; the configuration is reloaded every minute, and in
//! the middle the identity provider is away for ten seconds and comes back without its memory.
//!
//! It passes when nobody has seen an error and memory is flat.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    chromium::Chromium,
    oidc_provider::{Client, OidcProvider, free_port},
};
use serde::Serialize;
use thirtyfour::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{gateway, process};

/// Connections in HTTP/1.1, and as many again in HTTP/2.
const CONNECTIONS: u32 = 16;
const STREAMS: u32 = 50;
/// How long the provider is away.
const AWAY: Duration = Duration::from_secs(10);
const GREETING: &str = "hello from the target";

/// What happened.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    request_errors: AtomicU64,
    visits: AtomicU64,
    logins: AtomicU64,
    visit_errors: AtomicU64,
    events: AtomicU64,
    broken_streams: AtomicU64,
    reloads: AtomicU64,
    over: AtomicBool,
    /// While the provider is away nobody begins a login.
    away: AtomicBool,
    said: Mutex<Vec<String>>,
}

impl Counts {
    fn note(&self, error: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < 20 {
            said.push(error);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The report.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    minutes: u64,
    rps: u64,
    requests: u64,
    request_errors: u64,
    visits: u64,
    logins: u64,
    visit_errors: u64,
    events: u64,
    broken_streams: u64,
    reloads: u64,
    rss_kb_after_a_fifth: u64,
    rss_kb_at_the_end: u64,
    rss_kb_most: u64,
    errors: Vec<String>,
}

/// The system under load.
struct Soaked {
    server: gateway::Server,
    directory: PathBuf,
    config: String,
    app: u16,
    provider: u16,
    account: u16,
}

/// Runs it and prints the report; an error unless it passes.
pub(crate) async fn run(minutes: u64, json: bool) -> anyhow::Result<()> {
    ensure!(minutes >= 1, "at least a minute");
    let directory = tempfile::tempdir()?;
    let upstream = free_port();
    let _nginx = gateway::nginx(
        &directory.path().join("upstream"),
        &format!("server {{ listen 127.0.0.1:{upstream}; location / {{ return 200 '{GREETING}'; }} }}"),
    )?;
    let soaked = start(directory.path(), upstream, events().await?).await?;
    let mut provider = Some(soaked.provider());
    let counts = Arc::new(Counts::default());
    let browser = Chromium::open(true).await;
    let cookie = soaked.log_in(&browser, &counts).await?;

    let half = soaked.peak(&cookie)? / 2;
    let time = Duration::from_secs(60 * minutes);
    let started = Instant::now();
    let mut tasks = vec![
        soaked.load(&counts, &cookie, half, &["--h1"]),
        soaked.load(&counts, &cookie, half, &["-m", "4"]),
    ];
    for _ in 0..STREAMS {
        tasks.push(tokio::spawn(stream(soaked.app, cookie.clone(), counts.clone())));
    }
    let visiting = soaked.visit(browser, counts.clone());
    let watching = async {
        let mut samples = Vec::new();
        let (mut minute, mut restarted) = (0, false);
        while started.elapsed() < time {
            tokio::time::sleep(Duration::from_secs(10)).await;
            samples.push((started.elapsed(), process::rss_kb(soaked.server.0.id())?));
            if started.elapsed().as_secs() / 60 > minute {
                minute += 1;
                soaked.reload(minute)?;
                counts.reloads.fetch_add(1, Ordering::Relaxed);
            }
            if !restarted && started.elapsed() > time / 2 {
                restarted = true;
                counts.away.store(true, Ordering::Relaxed);
                // A login that has begun ends first.
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(provider.take());
                tokio::time::sleep(AWAY).await;
                provider = Some(soaked.provider());
                counts.away.store(false, Ordering::Relaxed);
            }
        }
        counts.over.store(true, Ordering::Relaxed);
        anyhow::Ok(samples)
    };
    let (samples, ()) = tokio::join!(watching, visiting);
    let samples = samples?;
    for task in tasks {
        task.await?;
    }
    let log = fs::read_to_string(soaked.directory.join("log"))?;
    ensure!(
        log.matches("the new configuration is in force").count() as u64
            == counts.reloads.load(Ordering::Relaxed),
        "a reload was refused:\n{log}"
    );
    report(minutes, half, &counts, &samples, time).print(json)
}

async fn start(directory: &Path, upstream: u16, events: u16) -> anyhow::Result<Soaked> {
    let directory = directory.join("gateway");
    fs::create_dir(&directory)?;
    let ports = ["app", "account", "keys", "operations", "provider"].map(|name| (name, free_port()));
    let mut config = gateway::SERVER_CONFIG
        .replace("{dir}", &directory.display().to_string())
        .replace("{scheme}", "http")
        .replace("{tls}", "")
        .replace("workers = 1\n", "");
    for (name, port) in ports
        .into_iter()
        .chain([("upstream", upstream), ("events", events)])
    {
        config = config.replace(&format!("{{{name}}}"), &port.to_string());
    }
    let file = directory.join("countersign.toml");
    fs::write(&file, &config)?;
    let binary = std::env::var("COUNTERSIGN_BIN").context("COUNTERSIGN_BIN names the binary")?;
    let server = Command::new(binary)
        .args(["serve", "gateway", "--config"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join("log"))?)
        .spawn()
        .context("the gateway starts")?;
    let soaked = Soaked {
        server: gateway::Server(server),
        directory,
        config,
        app: ports[0].1,
        account: ports[1].1,
        provider: ports[4].1,
    };
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", soaked.app)).await.is_ok() {
            return Ok(soaked);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the gateway does not listen")
}

impl Soaked {
    fn provider(&self) -> OidcProvider {
        let redirect = [format!("http://localhost:{}/oauth2/idpresponse", self.account)];
        let client = Client {
            id: "bench",
            secret: "bench-secret",
            redirect_uris: &redirect,
        };
        OidcProvider::start(self.provider, &[client])
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.app)
    }

    /// A new login; the browser's cookies of the gateway as a header.
    async fn log_in(&self, browser: &Chromium, counts: &Counts) -> anyhow::Result<String> {
        arrive(&browser.driver, &self.url("/a")).await?;
        counts.logins.fetch_add(1, Ordering::Relaxed);
        let cookies = browser.driver.get_all_cookies().await?;
        let pairs: Vec<String> = cookies
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        ensure!(!pairs.is_empty(), "no ticket");
        Ok(pairs.join("; "))
    }

    /// Requests per second at the most.
    fn peak(&self, cookie: &str) -> anyhow::Result<u64> {
        let output = Command::new("h2load")
            .args(["--h1", "-D", "5", "-c", &CONNECTIONS.to_string()])
            .args(["-H", &format!("cookie: {cookie}"), &self.url("/a")])
            .output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        let rps = report.lines().find_map(|line| {
            line.strip_prefix("finished in ")?
                .split(", ")
                .nth(1)?
                .strip_suffix(" req/s")
        });
        let whole = rps.and_then(|rps| rps.split('.').next());
        Ok(whole.context("h2load says req/s")?.parse::<u64>()?.max(100))
    }

    /// h2load, a minute at a time, at half of `rps`: there are two of them.
    fn load(
        &self,
        counts: &Arc<Counts>,
        cookie: &str,
        rps: u64,
        flags: &'static [&'static str],
    ) -> tokio::task::JoinHandle<()> {
        let (counts, url, cookie) = (counts.clone(), self.url("/a"), format!("cookie: {cookie}"));
        let each = (rps / 2 / u64::from(CONNECTIONS)).max(1).to_string();
        tokio::spawn(async move {
            while !counts.is_over() {
                let output = tokio::process::Command::new("h2load")
                    .args(flags)
                    .args(["-D", "30", "-c", &CONNECTIONS.to_string(), "--rps", &each])
                    .args(["-H", &cookie, &url])
                    .output()
                    .await;
                let report = output.map_or_else(
                    |error| error.to_string(),
                    |output| String::from_utf8_lossy(&output.stdout).into_owned(),
                );
                let number = |after: &str, before: &str| -> Option<u64> {
                    let line = report.lines().find(|line| line.starts_with(after))?;
                    line.split(", ").find_map(|part| {
                        part.trim_start_matches(after)
                            .trim()
                            .strip_suffix(before)?
                            .trim()
                            .parse()
                            .ok()
                    })
                };
                let succeeded = number("status codes:", "2xx").unwrap_or(0);
                let done = number("requests:", "done");
                counts.requests.fetch_add(succeeded, Ordering::Relaxed);
                let errored = number("requests:", "errored").unwrap_or(1);
                let errors = done.map_or(1, |done| done.saturating_sub(succeeded)) + errored;
                if errors > 0 {
                    counts.request_errors.fetch_add(errors, Ordering::Relaxed);
                    counts.note(format!("h2load {flags:?}: {report}"));
                }
            }
        })
    }

    /// Chromium goes from page to page; at every fifth it comes as somebody new.
    async fn visit(&self, browser: Chromium, counts: Arc<Counts>) {
        for number in 0_u64.. {
            if counts.is_over() {
                return;
            }
            let anew = number % 5 == 0 && !counts.away.load(Ordering::Relaxed);
            let visited = async {
                if anew {
                    browser.driver.delete_all_cookies().await?;
                    counts.logins.fetch_add(1, Ordering::Relaxed);
                }
                arrive(&browser.driver, &self.url(&format!("/page/{number}"))).await
            };
            counts.visits.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = visited.await {
                counts.visit_errors.fetch_add(1, Ordering::Relaxed);
                counts.note(format!("Chromium: {error:#}"));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Another configuration: another limit, so that the target group is another too.
    fn reload(&self, minute: u64) -> anyhow::Result<()> {
        let config = self.config.replace(
            "[gateway.target_groups.nginx]\n",
            &format!(
                "[gateway.target_groups.nginx]\nmax_request_body_bytes = {}\n",
                1_000_000 + minute
            ),
        );
        fs::write(self.directory.join("countersign.toml"), config)?;
        let pid = self.server.0.id().to_string();
        ensure!(
            Command::new("kill").args(["-HUP", &pid]).status()?.success(),
            "SIGHUP"
        );
        Ok(())
    }
}

/// Opens a page, through the provider's forms where they come up.
async fn arrive(driver: &WebDriver, url: &str) -> anyhow::Result<()> {
    driver.goto(url).await?;
    for _ in 0..4 {
        let source = driver.source().await?;
        if source.contains(GREETING) {
            return Ok(());
        }
        if source.contains("name=\"login\"") {
            driver
                .find(By::Css("input[name=login]"))
                .await?
                .send_keys("alice")
                .await?;
            driver
                .find(By::Css("input[name=password]"))
                .await?
                .send_keys("x")
                .await?;
        } else if !source.contains("<form") {
            bail!("{}: {}", driver.current_url().await?, text(&source));
        }
        driver.find(By::Css("button[type=submit]")).await?.click().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let source = driver.source().await?;
    ensure!(
        source.contains(GREETING),
        "{}: {}",
        driver.current_url().await?,
        text(&source)
    );
    Ok(())
}

fn text(source: &str) -> String {
    source.chars().take(400).collect()
}

/// A target of event streams with an event every second.
async fn events() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = [0; 8_192];
                let mut sent = stream.read(&mut seen).await.map(drop);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                if sent.is_ok() {
                    sent = stream.write_all(head.as_bytes()).await;
                }
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    sent = stream.write_all(b"9\r\ndata: 1\n\n\r\n").await;
                }
            });
        }
    });
    Ok(port)
}

/// One event stream for the whole time.
async fn stream(app: u16, cookie: String, counts: Arc<Counts>) {
    let request = format!("GET /events HTTP/1.1\r\nhost: localhost:{app}\r\ncookie: {cookie}\r\n\r\n");
    let reading = async {
        let mut stream = TcpStream::connect(("127.0.0.1", app)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = [0; 4_096];
        while !counts.is_over() {
            let read = tokio::time::timeout(Duration::from_secs(15), stream.read(&mut buffer)).await??;
            ensure!(read > 0, "an event stream ended");
            let events = buffer[..read]
                .windows(5)
                .filter(|window| window == b"data:")
                .count();
            counts.events.fetch_add(events as u64, Ordering::Relaxed);
        }
        anyhow::Ok(())
    };
    if let Err(error) = reading.await {
        counts.broken_streams.fetch_add(1, Ordering::Relaxed);
        counts.note(format!("event stream: {error:#}"));
    }
}

fn report(minutes: u64, rps: u64, counts: &Counts, samples: &[(Duration, u64)], time: Duration) -> Report {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let after = samples.iter().find(|(at, _)| *at >= time / 5);
    Report {
        bench: "soak",
        minutes,
        rps,
        requests: count(&counts.requests),
        request_errors: count(&counts.request_errors),
        visits: count(&counts.visits),
        logins: count(&counts.logins),
        visit_errors: count(&counts.visit_errors),
        events: count(&counts.events),
        broken_streams: count(&counts.broken_streams),
        reloads: count(&counts.reloads),
        rss_kb_after_a_fifth: after.map_or(0, |&(_, rss)| rss),
        rss_kb_at_the_end: samples.last().map_or(0, |&(_, rss)| rss),
        rss_kb_most: samples.iter().map(|&(_, rss)| rss).max().unwrap_or(0),
        errors: counts.said.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }
}

impl Report {
    #[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{self:#?}");
        }
        ensure!(
            self.request_errors + self.visit_errors + self.broken_streams == 0,
            "somebody has seen an error"
        );
        ensure!(
            self.rss_kb_at_the_end < self.rss_kb_after_a_fifth * 6 / 5 + 8_192,
            "memory has grown"
        );
        Ok(())
    }
}
