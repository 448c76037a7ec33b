//! `GetResourceOauth2Token` from the vault: signed, authorized, audited on disk; against a bare axum constant.

use std::process::{Child, Command};

use anyhow::Context as _;
use countersign_api::{Credentials, sigv4};
use e2e::{Person, System, oidc_provider::free_port};
use reqwest::header::HOST;
use serde_json::{Value, json};
use url::Url;

use super::{Sample, wrk};

/// A server under load and the request it gets.
pub(crate) struct Case {
    name: &'static str,
    pub(crate) pid: u32,
    pub(crate) url: Url,
    pub(crate) body: String,
    credentials: Option<Credentials>,
    samples: Vec<Sample>,
    // Dropped with the case, the server ends.
    pub(crate) server: Server,
}

/// Either is set.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) system: Option<System>,
    process: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Runs the cases in turn, `rounds` times.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<Vec<(&'static str, Vec<Sample>)>> {
    let elsewhere = tempfile::tempdir()?;
    let directory = elsewhere.path().display().to_string();
    let exported = ["--evidence-directory".to_owned(), directory];
    let mut cases = vec![
        ceiling().await?,
        vault_hit("vault_hit_sqlite", &[]).await?,
        // The same, while its checkpoints and records are handed over.
        vault_hit("vault_hit_exported", &exported).await?,
    ];
    if let Ok(url) = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL") {
        cases.push(vault_hit("vault_hit_postgres", &["--identity-database".to_owned(), url]).await?);
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let headers = headers(case)?;
            case.samples.push(wrk::run(
                case.pid,
                "POST",
                case.url.as_str(),
                &headers,
                &case.body,
            )?);
        }
    }
    for case in &mut cases {
        at_half_of_peak(case, rounds)?;
    }
    Ok(cases.into_iter().map(|case| (case.name, case.samples)).collect())
}

/// Latency where a server is meant to run, on standard error: the table is of the peak.
#[expect(clippy::print_stderr, reason = "a benchmark says what it measured")]
fn at_half_of_peak(case: &Case, rounds: usize) -> anyhow::Result<()> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let half = median(case.samples.iter().map(|sample| sample.rps).collect()) / 2.0;
    let mut latency = 1e3;
    let mut samples = vec![];
    for _ in 0..rounds {
        let headers = headers(case)?;
        let sample = wrk::run_paced(case.pid, case.url.as_str(), &headers, &case.body, half, latency)?;
        latency = sample.p50_us;
        samples.push(sample);
    }
    eprintln!(
        "{} at half of peak ({half:.0} requests/s; {:.0} sent): p50 {:.0} µs, p99 {:.0} µs, CPU {:.1} µs",
        case.name,
        median(samples.iter().map(|sample| sample.rps).collect()),
        median(samples.iter().map(|sample| sample.p50_us).collect()),
        median(samples.iter().map(|sample| sample.p99_us).collect()),
        median(samples.iter().map(|sample| sample.cpu_us).collect()),
    );
    Ok(())
}

/// The bare server.
async fn ceiling() -> anyhow::Result<Case> {
    let port = free_port();
    let program = std::env::current_exe()?.with_file_name("ceiling");
    let child = Command::new(program)
        .arg(port.to_string())
        .spawn()
        .context("the ceiling starts")?;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    Ok(Case {
        name: "ceiling",
        pid: child.id(),
        url: Url::parse(&format!("http://127.0.0.1:{port}/identities/oauth2/token"))?,
        body: "{}".to_owned(),
        credentials: None,
        samples: vec![],
        server: Server {
            system: None,
            process: Some(child),
        },
    })
}

/// A system with one grant in its vault, whose data outlives it.
pub(crate) async fn vault_hit_in(data: std::path::PathBuf) -> anyhow::Result<Case> {
    let options = e2e::system::Options {
        data: Some(data),
        ..Default::default()
    };
    with_a_grant("vault_hit", options).await
}

async fn vault_hit(name: &'static str, arguments: &[String]) -> anyhow::Result<Case> {
    let options = e2e::system::Options {
        arguments: arguments.to_vec(),
        ..Default::default()
    };
    with_a_grant(name, options).await
}

/// A system with one grant in its vault.
async fn with_a_grant(name: &'static str, mut options: e2e::system::Options) -> anyhow::Result<Case> {
    // A token that does not expire while it is measured: what is measured is reading, not refresh.
    let lifetime = ["--playground-token-lifetime".to_owned(), "86400".to_owned()];
    options.arguments.extend(lifetime);
    let system = System::start_with(options);
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "bench").await;
    let consent = events.until("consent").await;
    alice
        .consents(&Url::parse(consent.data["url"].as_str().context("a link")?)?)
        .await;
    events.answer().await;

    let credentials = Credentials {
        access_key_id: system.variable("AWS_ACCESS_KEY_ID").to_owned(),
        secret_access_key: system.variable("AWS_SECRET_ACCESS_KEY").to_owned().into(),
        session_token: None,
    };
    let workload = "bench-agent";
    let return_url = "http://localhost:9/callback";
    let call = async |path: &str, body: Value| -> anyhow::Result<Value> {
        let url = system.url(1, path);
        let body = body.to_string();
        let mut request = reqwest::Client::new().post(url.clone()).body(body.clone());
        for (name, value) in signed(&url, &body, &credentials)? {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    call(
        "/identities/CreateWorkloadIdentity",
        json!({ "name": workload, "allowedResourceOauth2ReturnUrls": [return_url] }),
    )
    .await?;
    let wat = call(
        "/identities/GetWorkloadAccessTokenForUserId",
        json!({ "workloadName": workload, "userId": "bench" }),
    )
    .await?;
    let request = json!({
        "workloadIdentityToken": wat["workloadAccessToken"],
        "resourceCredentialProviderName": system.variable("COUNTERSIGN_PROVIDER"),
        "scopes": ["issues:read"],
        "oauth2Flow": "USER_FEDERATION",
        "resourceOauth2ReturnUrl": return_url,
    });
    let pending = call("/identities/oauth2/token", request.clone()).await?;
    let start = Url::parse(pending["authorizationUrl"].as_str().context("a URL")?)?;
    let page = alice
        .browser
        .opens_until(&start, |url| url.path() == "/callback")
        .await;
    let held = if page.url.path() == "/callback" {
        page
    } else {
        let browser = &alice.browser;
        browser
            .submits_until(&page, &[("decision", "allow")], |url| url.path() == "/callback")
            .await
    };
    let handle = held.query("session_id").context("a handle")?;
    call(
        "/identities/CompleteResourceTokenAuth",
        json!({ "sessionUri": handle, "userIdentifier": { "userId": "bench" } }),
    )
    .await?;
    let token = call("/identities/oauth2/token", request.clone()).await?;
    anyhow::ensure!(
        token["accessToken"].is_string(),
        "the vault has the grant: {token}"
    );
    let url = system.url(1, "/identities/oauth2/token");
    Ok(Case {
        name,
        pid: system.pid(),
        url,
        body: request.to_string(),
        credentials: Some(credentials),
        samples: vec![],
        server: Server {
            system: Some(system),
            process: None,
        },
    })
}

pub(crate) fn headers(case: &Case) -> anyhow::Result<Vec<(String, String)>> {
    match &case.credentials {
        Some(credentials) => signed(&case.url, &case.body, credentials),
        None => Ok(vec![("content-type".to_owned(), "application/json".to_owned())]),
    }
}

/// The headers of a signed request; it can be sent for five minutes.
fn signed(url: &Url, body: &str, credentials: &Credentials) -> anyhow::Result<Vec<(String, String)>> {
    let host = url.authority();
    let mut request = http::Request::post(url.as_str())
        .header(HOST, host)
        .header("content-type", "application/json")
        .body(bytes::Bytes::copy_from_slice(body.as_bytes()))?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    sigv4::sign(
        credentials,
        "us-east-1",
        "bedrock-agentcore",
        &mut request,
        i64::try_from(now)?,
    )?;
    request
        .headers()
        .iter()
        .map(|(name, value)| Ok((name.as_str().to_owned(), value.to_str()?.to_owned())))
        .collect()
}
