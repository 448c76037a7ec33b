//! Streaming turns: one agent process between a scripted model and the people who read, against the model read directly.
//!
//! Model, identity API and readers are in this process. Each piece of an answer carries the moment at which the model sent
//! it, by the clock that its reader has too: no clocks are compared.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::oidc_provider::free_port;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::gateway::Server;
use super::{Sample, process};

/// Turns under way at once.
pub(crate) const TURNS: u32 = 500;
/// Pieces of one answer.
const PIECES: u32 = 100;
/// Between two pieces: as fast as a good vendor streams tokens.
const PACE: Duration = Duration::from_millis(50);
/// Between the starts of two turns.
const STAGGER: Duration = Duration::from_millis(2);
/// Turns of a process before it is measured.
const WARM_UP: u32 = 16;

const CONFIG: &str = r#"
[keys]
agent = "{dir}/agent.key"
[operations]
listen = "localhost:{operations}"
[agent]
listen = "127.0.0.1:{agent}"
hosts = ["127.0.0.1:{agent}"]
app_url = "http://localhost:8400"
gateway_issuer = "http://127.0.0.1:{world}"
gateway_jwks_uri = "http://127.0.0.1:{world}/jwks.json"
audience = "bench"
workload = "bench"
return_url = "http://localhost:8407/oauth2/session-binding"
front_channel_url = "http://localhost:8407"
conversations = "{dir}/conversations"
model = "openai:scripted@http://127.0.0.1:{world}/v1"
[agent.identity]
endpoint = "http://127.0.0.1:{world}"
access_key_id = "AKIDBENCH"
secret_access_key = "secret"
"#;

/// What surrounds the agent.
struct World {
    port: u16,
    key: EcdsaKeyPair,
    clock: Instant,
}

/// What readers have seen.
#[derive(Default)]
struct Seen {
    /// Microseconds from the model to the reader, by piece.
    latencies: std::sync::Mutex<Vec<u64>>,
    begun: AtomicUsize,
    errors: AtomicU64,
}

/// Runs the cases in turn, `rounds` times.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<Vec<(&'static str, Vec<Sample>)>> {
    let directory = tempfile::tempdir()?;
    let world = Arc::new(World::start().await?);
    let (mut alone, mut through) = (vec![], vec![]);
    for round in 0..rounds {
        alone.push(model_alone(&world).await?);
        // A fresh process each time: what turns have left in the allocator does not count.
        through.push(through_agent(&world, &directory.path().join(round.to_string())).await?);
    }
    Ok(vec![("model_alone", alone), ("through_agent", through)])
}

async fn model_alone(world: &Arc<World>) -> anyhow::Result<Sample> {
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", world.port);
    let begin = Instant::now();
    let seen = turns(TURNS, world, move |_| {
        reqwest::Client::new().post(&url).json(&json!({}))
    })
    .await;
    Ok(sample(&seen, begin.elapsed(), 0.0, 0))
}

async fn through_agent(world: &Arc<World>, directory: &std::path::Path) -> anyhow::Result<Sample> {
    fs::create_dir(directory)?;
    let (agent, server) = world.agent(directory).await?;
    let pid = server.0.id();
    let client = reqwest::Client::new();
    let asking = |world: Arc<World>, prefix: &'static str| {
        let client = client.clone();
        move |number: u32| {
            // A person each: one may have no more than eight turns under way.
            client
                .post(format!("http://127.0.0.1:{agent}/invocations"))
                .header("origin", "http://localhost:8400")
                .header(
                    "x-countersign-user-token",
                    world.user_token(&format!("{prefix}-{number}")),
                )
                .json(&json!({ "message": "go on", "sessionId": "bench" }))
        }
    };
    let warm = turns(WARM_UP, world, asking(Arc::clone(world), "warm")).await;
    ensure!(warm.errors.load(Ordering::Relaxed) == 0, "the agent answers");
    let (cpu, rss) = (process::cpu_us(pid)?, process::rss_kb(pid)?);
    let begin = Instant::now();
    let under_way = tokio::spawn({
        let (world, asking) = (Arc::clone(world), asking(Arc::clone(world), "person"));
        async move { turns(TURNS, &world, asking).await }
    });
    // All have begun, and none has ended.
    tokio::time::sleep(STAGGER * TURNS + PACE * PIECES / 2).await;
    let open = process::rss_kb(pid)?.saturating_sub(rss);
    let seen = under_way.await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of one round are far below 2^52"
    )]
    let cpu = (process::cpu_us(pid)? - cpu) as f64 / f64::from(TURNS);
    Ok(sample(&seen, begin.elapsed(), cpu, open))
}

/// Begins turns one after the other and reads all to their ends.
async fn turns(
    count: u32,
    world: &Arc<World>,
    request: impl Fn(u32) -> reqwest::RequestBuilder,
) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let mut readers = vec![];
    for number in 0..count {
        let (seen, world, request) = (Arc::clone(&seen), Arc::clone(world), request(number));
        readers.push(tokio::spawn(async move {
            match read(request, &world, &seen).await {
                Ok(PIECES) => {}
                _ => {
                    seen.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        tokio::time::sleep(STAGGER).await;
    }
    for reader in readers {
        let _ = reader.await;
    }
    seen
}

/// Reads one answer; how many pieces it had. A piece is `<microseconds>;`, wherever a line has it.
async fn read(request: reqwest::RequestBuilder, world: &World, seen: &Seen) -> anyhow::Result<u32> {
    let mut response = request.send().await?.error_for_status()?;
    let (mut pending, mut pieces) = (String::new(), 0);
    let mut latencies = vec![];
    seen.begun.fetch_add(1, Ordering::Relaxed);
    while let Some(chunk) = response.chunk().await? {
        let now = world.now();
        pending.push_str(std::str::from_utf8(&chunk)?);
        while let Some((line, rest)) = pending.split_once('\n') {
            // The answer's HTML at the end repeats them all.
            let sent = line.split_once('@').filter(|_| !line.contains("\"html\""));
            if let Some((sent, _)) = sent.and_then(|(_, sent)| sent.split_once(';')) {
                latencies.push(now.saturating_sub(sent.parse()?));
                pieces += 1;
            }
            pending = rest.to_owned();
        }
    }
    if let Ok(mut all) = seen.latencies.lock() {
        all.extend(latencies);
    }
    Ok(pieces)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one round are far below 2^52"
)]
fn sample(seen: &Seen, took: Duration, cpu_us: f64, rss_kb: u64) -> Sample {
    let mut latencies = seen.latencies.lock().map(|all| all.clone()).unwrap_or_default();
    latencies.sort_unstable();
    let at = |share: usize| {
        latencies
            .get(latencies.len() * share / 100)
            .copied()
            .unwrap_or_default() as f64
    };
    Sample {
        requests: seen.begun.load(Ordering::Relaxed) as u64,
        errors: seen.errors.load(Ordering::Relaxed),
        // Pieces a second.
        rps: latencies.len() as f64 / took.as_secs_f64(),
        p50_us: at(50),
        p99_us: at(99),
        cpu_us,
        rss_kb,
    }
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        // An uncompressed point: 4, x, y.
        let point = key.public_key().as_ref();
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }] });
        let clock = Instant::now();
        let router = Router::new()
            .route("/jwks.json", get(move || async move { Json(jwks) }))
            .route(
                "/identities/GetWorkloadAccessTokenForJWT",
                post(|| async { Json(json!({ "workloadAccessToken": "bench" })) }),
            )
            .route(
                "/v1/chat/completions",
                post(move || async move { completion(clock) }),
            );
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { port, key, clock })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the gateway would send for `subject`.
    fn user_token(&self, subject: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let issuer = format!("http://127.0.0.1:{}", self.port);
        let head = part(&json!({ "alg": "ES256", "kid": "bench", "typ": "JWT" }));
        let claims = part(&json!({
            "iss": issuer, "sub": subject, "aud": "bench", "iat": now, "exp": now + 300, "auth_time": now,
            "sid": subject, "idp_iss": issuer, "idp_sub": subject, "name": subject,
        }));
        let mut token = format!("{head}.{claims}");
        if let Ok(signature) = self.key.sign(&SystemRandom::new(), token.as_bytes()) {
            let _ = write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature));
        }
        token
    }

    /// An agent in a process of its own.
    async fn agent(&self, directory: &std::path::Path) -> anyhow::Result<(u16, Server)> {
        let agent = free_port();
        let mut config = CONFIG.replace("{dir}", &directory.display().to_string());
        for (name, port) in [
            ("operations", free_port()),
            ("agent", agent),
            ("world", self.port),
        ] {
            config = config.replace(&format!("{{{name}}}"), &port.to_string());
        }
        let file = directory.join("countersign.toml");
        fs::write(&file, config)?;
        let binary = std::env::var("COUNTERSIGN_BIN").context("COUNTERSIGN_BIN names the binary")?;
        let server = Command::new(binary)
            .args(["serve", "agent", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log"))?)
            .spawn()
            .context("the agent starts")?;
        let server = Server(server);
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", agent)).await.is_ok() {
                return Ok((agent, server));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{}", fs::read_to_string(directory.join("log"))?)
    }
}

/// An answer in OpenAI's form, piece by piece.
fn completion(clock: Instant) -> Response {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
    tokio::spawn(async move {
        let event = |delta: &Value, finish: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
            Bytes::from(format!(
                "data: {}\n\n",
                json!({ "object": "chat.completion.chunk", "choices": [choice] })
            ))
        };
        let mut pace = tokio::time::interval(PACE);
        for _ in 0..PIECES {
            pace.tick().await;
            let text = format!("@{}; ", clock.elapsed().as_micros());
            if sender
                .send(event(&json!({ "content": text }), None))
                .await
                .is_err()
            {
                return;
            }
        }
        let _ = sender.send(event(&json!({}), Some("stop"))).await;
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": PIECES } });
        let _ = sender
            .send(Bytes::from(format!("data: {usage}\n\ndata: [DONE]\n\n")))
            .await;
    });
    let pieces = futures_util::stream::poll_fn(move |context| {
        receiver
            .poll_recv(context)
            .map(|piece| piece.map(Ok::<_, std::convert::Infallible>))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(pieces))
        .unwrap_or_default()
}
