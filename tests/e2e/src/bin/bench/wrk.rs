//! Load by wrk: one request, signed beforehand, on 64 keep-alive connections.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Sample, process};

/// Keep-alive connections.
pub(crate) const CONNECTIONS: u32 = 64;
/// How long one round takes.
const SECONDS: u32 = 6;

/// What the script's `done` prints.
#[derive(Deserialize)]
struct Summary {
    requests: u64,
    errors: u64,
    duration_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One round against the server `pid` at `url`, each connection as fast as it is answered.
pub(crate) fn run(
    pid: u32,
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: &str,
) -> anyhow::Result<Sample> {
    round(pid, url, &lua(method, headers, body)?)
}

/// One round of POST requests that are drawn by chance from `requests`: the headers and the body of each.
pub(crate) fn run_mixed(
    pid: u32,
    url: &str,
    requests: &[(Vec<(String, String)>, String)],
) -> anyhow::Result<Sample> {
    let path = url::Url::parse(url)?.path().to_owned();
    let mut text = "local made = {}\n".to_owned();
    for (headers, body) in requests {
        // wrk writes Host itself, and a second one is refused.
        let headers: Vec<String> = headers
            .iter()
            .filter(|(name, _)| name != "host")
            .map(|(name, value)| {
                let (name, value) = (serde_json::to_string(name)?, serde_json::to_string(value)?);
                anyhow::Ok(format!("[{name}] = {value}"))
            })
            .collect::<anyhow::Result<_>>()?;
        writeln!(
            text,
            "made[#made + 1] = {{ {{ {} }}, {} }}",
            headers.join(", "),
            serde_json::to_string(body)?
        )?;
    }
    writeln!(
        text,
        "init = function() for i, m in ipairs(made) do made[i] = wrk.format('POST', {}, m[1], m[2]) end end\n\
         request = function() return made[math.random(#made)] end",
        serde_json::to_string(&path)?
    )?;
    round(pid, url, &(text + DONE))
}

/// One round in which each connection waits before each request, so that all together ask about `rps` times a
/// second. wrk begins to measure a request when it is sent. `latency_us` is what an answer is expected to take.
pub(crate) fn run_paced(
    pid: u32,
    url: &str,
    headers: &[(String, String)],
    body: &str,
    rps: f64,
    latency_us: f64,
) -> anyhow::Result<Sample> {
    let pause_ms = (f64::from(CONNECTIONS) * 1e3 / rps - latency_us / 1e3).max(0.0);
    // Uniform between nothing and twice the mean: in step the connections would queue behind one another.
    let pace = format!("delay = function() return math.floor(math.random() * {pause_ms:.1} * 2 + 0.5) end\n");
    round(pid, url, &format!("{}{pace}", lua("POST", headers, body)?))
}

fn round(pid: u32, url: &str, lua: &str) -> anyhow::Result<Sample> {
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("request.lua");
    std::fs::write(&script, lua)?;
    let before = process::cpu_us(pid)?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-s"])
        .arg(&script)
        .arg(url)
        .output()
        .context("wrk runs")?;
    let after = process::cpu_us(pid)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.starts_with('{'))
        .with_context(|| format!("wrk said: {text}"))?;
    let summary: Summary = serde_json::from_str(line)?;
    ensure!(summary.requests > 0, "no request was answered: {text}");
    ensure!(summary.errors < summary.requests, "every request was refused");
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of one round are far below 2^52"
    )]
    Ok(Sample {
        requests: summary.requests,
        errors: summary.errors,
        rps: summary.requests as f64 / (summary.duration_us / 1e6),
        p50_us: summary.p50_us,
        p99_us: summary.p99_us,
        cpu_us: (after - before) as f64 / summary.requests as f64,
        rss_kb: process::rss_kb(pid)?,
    })
}

fn lua(method: &str, headers: &[(String, String)], body: &str) -> anyhow::Result<String> {
    let mut text = format!(
        "wrk.method = '{method}'\nwrk.body = {}\n",
        if body.is_empty() {
            "nil".to_owned()
        } else {
            serde_json::to_string(body)?
        }
    );
    // wrk writes Host itself, and a second one is refused.
    for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
        writeln!(
            text,
            "wrk.headers[{}] = {}",
            serde_json::to_string(name)?,
            serde_json::to_string(value)?
        )?;
    }
    text.push_str(DONE);
    Ok(text)
}

/// What is printed at the end.
const DONE: &str = "done = function(summary, latency)\n\
         local e = summary.errors\n\
         io.write(string.format('{\"requests\":%d,\"errors\":%d,\"duration_us\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f}\\n', \
         summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration, \
         latency:percentile(50), latency:percentile(99)))\n\
         end\n";
