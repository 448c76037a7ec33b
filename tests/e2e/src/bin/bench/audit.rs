//! A trail of a million records, made by as many requests: how long it takes to verify it and to ask it.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{token, wrk};

/// Times each question is asked.
const ASKED: usize = 20;

/// Makes the trail, then measures the commands on the stopped store.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its result"
)]
pub(crate) async fn run(records: u64, as_json: bool) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let kept = directory.path().join("data").display().to_string();
    let mut case = token::vault_hit_in(directory.path().join("data")).await?;
    let mut made = 0;
    while made < records {
        let headers = token::headers(&case)?;
        let sample = wrk::run(case.pid, "POST", case.url.as_str(), &headers, &case.body)?;
        made += sample.requests;
        eprintln!("{made} records");
    }
    let system = case.server.system.as_mut().context("it runs")?;
    anyhow::ensure!(system.interrupt().code() == Some(0), "it ends in order");

    let (verified, output) = timed(&["audit", "verify", "--data", &kept, "--output", "json"])?;
    let reports: Value = serde_json::from_str(&output)?;
    anyhow::ensure!(reports[0]["ok"] == true, "{reports}");
    let (_, newest) = timed(&[
        "audit",
        "tail",
        "-n",
        "1",
        "--action",
        "GetResourceOauth2Token",
        "--data",
        &kept,
        "--output",
        "json",
    ])?;
    let newest: Value = serde_json::from_str(newest.trim())?;
    let (id, grant) = (text(&newest["id"])?, text(&newest["grant"])?);
    let questions: [(&str, Vec<&str>); 4] = [
        ("explain_record", vec!["audit", "explain", id, "--data", &kept]),
        ("explain_grant", vec!["audit", "explain", grant, "--data", &kept]),
        ("tail_20", vec!["audit", "tail", "--data", &kept]),
        (
            "report_1000",
            vec![
                "audit", "report", "--limit", "1000", "--format", "json", "--data", &kept,
            ],
        ),
    ];
    let mut rows = vec![row("verify", &mut [verified], &reports[0]["records"])];
    for (name, arguments) in &questions {
        let mut seconds = Vec::new();
        for _ in 0..ASKED {
            seconds.push(timed(arguments)?.0);
        }
        rows.push(row(name, &mut seconds, &reports[0]["records"]));
    }
    for row in rows {
        if as_json {
            println!("{row}");
        } else {
            println!(
                "{:<16} median {:>9} ms  worst {:>9} ms",
                row["case"].as_str().unwrap_or_default(),
                row["p50_ms"],
                row["worst_ms"]
            );
        }
    }
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("a text")
}

fn row(case: &str, seconds: &mut [f64], records: &Value) -> Value {
    seconds.sort_by(f64::total_cmp);
    let milliseconds = |seconds: f64| (seconds * 10_000.0).round() / 10.0;
    json!({
        "bench": "audit", "case": case, "records": records, "rounds": seconds.len(),
        "p50_ms": milliseconds(seconds[seconds.len() / 2]),
        "worst_ms": milliseconds(seconds[seconds.len() - 1]),
    })
}

/// Runs a command of the binary; the time it took from start to end, and what it printed.
fn timed(arguments: &[&str]) -> anyhow::Result<(f64, String)> {
    let began = Instant::now();
    let ran = Command::new(e2e::system::binary())
        .args(arguments)
        .stderr(Stdio::null())
        .output()?;
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(ran.status.success(), "{arguments:?}: {}", ran.status);
    Ok((seconds, String::from_utf8(ran.stdout)?))
}
