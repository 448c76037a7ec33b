//! `./bench`: interleaved rounds of each case, medians, CPU time from /proc.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark has its own clock, client and environment"
)]

mod agent;
mod audit;
mod console;
mod gateway;
mod process;
mod soak;
mod token;
mod vault;
mod wrk;

use anyhow::{Context as _, bail};
use serde::Serialize;

/// What one round of one case measured.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Requests that were answered.
    pub requests: u64,
    /// Answers that were not 2xx, and broken connections.
    pub errors: u64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The server's own CPU time per request.
    pub cpu_us: f64,
    /// Resident memory after the round.
    pub rss_kb: u64,
}

/// The medians of one case.
#[derive(Debug, Serialize)]
struct Row {
    bench: &'static str,
    case: &'static str,
    connections: u32,
    errors: u64,
    rps: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    rss_kb: u64,
    rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments
        .next()
        .context("name a benchmark: token, gateway, agent, audit, vault, console")?;
    let (mut json, mut rounds, mut minutes) = (false, 3, 20);
    let (mut records, mut grants) = (1_000_000, 1_000_000);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--minutes" => minutes = arguments.next().context("--minutes takes a number")?.parse()?,
            "--records" => records = arguments.next().context("--records takes a number")?.parse()?,
            "--grants" => grants = arguments.next().context("--grants takes a number")?.parse()?,
            "--rounds" => rounds = arguments.next().context("--rounds takes a number")?.parse()?,
            other => bail!("unknown option {other}"),
        }
    }
    if name == "audit" {
        return audit::run(records, json).await;
    }
    if name == "soak" {
        return soak::run(minutes, json).await;
    }
    anyhow::ensure!(
        rounds >= 3,
        "at least three rounds, so that medians mean something"
    );
    let cases = match name.as_str() {
        "gateway" => gateway::run(rounds).await?,
        "token" => token::run(rounds).await?,
        "agent" => agent::run(rounds).await?,
        "vault" => vault::run(rounds, grants).await?,
        "console" => console::run(rounds, grants).await?,
        other => bail!("no benchmark {other}"),
    };
    let bench = match name.as_str() {
        "gateway" => "gateway",
        "agent" => "agent",
        "vault" => "vault",
        "console" => "console",
        _ => "token",
    };
    let rows: Vec<Row> = cases
        .iter()
        .map(|(case, samples)| row(bench, case, samples))
        .collect();
    print(&rows, json)
}

fn row(bench: &'static str, case: &'static str, samples: &[Sample]) -> Row {
    let middle = |value: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Row {
        bench,
        case,
        connections: match case {
            "sse_idle" => gateway::STREAMS,
            "model_alone" | "through_agent" => agent::TURNS,
            _ if bench == "console" => 1,
            _ => wrk::CONNECTIONS,
        },
        errors: samples.iter().map(|sample| sample.errors).sum(),
        rps: middle(|sample| sample.rps).round(),
        p50_us: middle(|sample| sample.p50_us).round(),
        p99_us: middle(|sample| sample.p99_us).round(),
        cpu_us: (middle(|sample| sample.cpu_us) * 10.0).round() / 10.0,
        rss_kb: samples
            .iter()
            .map(|sample| sample.rss_kb)
            .max()
            .unwrap_or_default(),
        rounds: samples.len(),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its result, and its numbers are small"
)]
fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    if json {
        for row in rows {
            println!("{}", serde_json::to_string(row)?);
        }
        return Ok(());
    }
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "case", "rps", "p50 µs", "p99 µs", "CPU µs", "RSS kB", "errors"
    );
    for row in rows {
        println!(
            "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
            row.case, row.rps, row.p50_us, row.p99_us, row.cpu_us, row.rss_kb, row.errors
        );
    }
    if let Some(streams) = rows.iter().find(|row| row.case == "sse_idle") {
        println!(
            "sse_idle: RSS of {} idle event streams alone, {:.1} kB each",
            streams.connections,
            streams.rss_kb as f64 / f64::from(streams.connections)
        );
    }
    if let [alone, through] = rows
        && through.case == "through_agent"
    {
        println!(
            "{} turns at once; rps are pieces of answers a second, CPU is that of a turn, RSS that of all open turns, \
             {:.1} kB each",
            through.connections,
            through.rss_kb as f64 / f64::from(through.connections)
        );
        println!(
            "added by the agent to a piece: p50 {:.0} µs, p99 {:.0} µs",
            through.p50_us - alone.p50_us,
            through.p99_us - alone.p99_us
        );
    }
    if let [few, many] = rows
        && few.bench == "vault"
    {
        println!(
            "{} costs {:.2} times the CPU of {}, and {:.2} times its memory",
            many.case,
            many.cpu_us / few.cpu_us,
            few.case,
            many.rss_kb as f64 / few.rss_kb as f64
        );
    }
    println!(
        "{} connections, medians of {} interleaved rounds",
        rows[0].connections, rows[0].rounds
    );
    Ok(())
}
