//! Each page of the console, and `explain`, on a database with a million grants and a million audit records: asked for
//! through the gateway, one at a time, with other names each time.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use e2e::{Person, System, system::Options};
use serde_json::Value;
use url::Url;

use super::{Sample, process};

/// Requests of each page in a round: enough for a 99th percentile.
const REQUESTS: usize = 100;
/// How far a list is turned.
const PAGES: usize = 20;

/// Fills a database with `size` grants and as many records, and asks for every page in turn, `rounds` times.
pub(crate) async fn run(rounds: usize, size: u64) -> anyhow::Result<Vec<(&'static str, Vec<Sample>)>> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let system = System::start_with(Options {
        data: Some(data.clone()),
        ..Options::default()
    });
    connects(&system).await?;
    let port_base = system.port_base;
    ends(system)?;
    let names = fill(&data.join("identity.sqlite"), size)?;
    let system = System::start_with(Options {
        data: Some(data),
        port_base: Some(port_base),
        ..Options::default()
    });
    let alice = Person::new(&system, "alice");
    alice.opens(&system.account("/console")).await;
    let deep = deep(&system, &alice, "/console/grants").await?;
    let deep_audit = deep_audit(&system, &alice).await?;
    let mut cases: Vec<(&'static str, Vec<Sample>)> = cases_of(&names, &deep, &deep_audit)
        .into_iter()
        .map(|(name, _)| (name, Vec::new()))
        .collect();
    for _ in 0..rounds {
        for (index, (name, paths)) in cases_of(&names, &deep, &deep_audit).into_iter().enumerate() {
            let sample = measure(&system, &alice, name, &paths).await?;
            cases[index].1.push(sample);
        }
    }
    Ok(cases)
}

/// One grant by a consent, of which the others are copies.
async fn connects(system: &System) -> anyhow::Result<()> {
    let alice = Person::new(system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().context("a link")?)?;
    alice.consents(&link).await;
    ensure!(events.answer().await.contains("ALICE-1"), "the agent answers");
    Ok(())
}

fn ends(mut system: System) -> anyhow::Result<()> {
    ensure!(system.interrupt().success(), "the system ends");
    Ok(())
}

fn fill(database: &std::path::Path, size: u64) -> anyhow::Result<Value> {
    let began = Instant::now();
    let filled = Command::new("python3")
        .arg("tests/python/fill_console.py")
        .arg(database)
        .args([size.to_string(), size.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("python3 runs")?;
    ensure!(filled.status.success(), "the database is filled");
    let names: Value = serde_json::from_slice(&filled.stdout)?;
    let bytes = std::fs::metadata(database)?.len();
    note(&format!(
        "{} grants and {} records, {} MB, filled in {:?}",
        names["held"],
        names["kept"],
        bytes >> 20,
        began.elapsed()
    ));
    Ok(names)
}

/// The path of the list some pages further on.
async fn deep(system: &System, alice: &Person<'_>, path: &str) -> anyhow::Result<String> {
    let mut path = path.to_owned();
    for _ in 0..PAGES {
        let page = alice.opens(&at(system, &path)).await;
        let link = page.body.split_once("<p><a href=\"").context("a next page")?.1;
        path = link
            .split_once('"')
            .context("a quote")?
            .0
            .replace("&#38;", "&")
            .replace("&amp;", "&");
    }
    Ok(path)
}

/// Likewise of a search that no index leads to.
async fn deep_audit(system: &System, alice: &Person<'_>) -> anyhow::Result<String> {
    deep(system, alice, "/console/audit?agent=agent-5").await
}

fn at(system: &System, path: &str) -> Url {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut url = system.account(path);
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    url
}

/// Pages by name, with the paths that are asked for in turn.
fn cases_of(names: &Value, deep: &str, deep_audit: &str) -> Vec<(&'static str, Vec<String>)> {
    let each = |prefix: &str, member: &str| {
        let list = names[member].as_array().map(Vec::as_slice).unwrap_or_default();
        let path = |name: &Value| format!("{prefix}{}", name.as_str().unwrap_or_default());
        list.iter().map(path).collect::<Vec<_>>()
    };
    let one = |path: &str| vec![path.to_owned()];
    let of =
        |prefix: &str, member: &str| vec![format!("{prefix}{}", names[member].as_str().unwrap_or_default())];
    vec![
        ("overview", one("/console")),
        ("agents", one("/console/agents")),
        ("agent", one("/console/agents/dev-agent")),
        ("people", one("/console/people")),
        ("person", each("/console/people/", "people")),
        ("providers", one("/console/providers")),
        ("provider", one("/console/providers/ledgerline")),
        ("grants", one("/console/grants")),
        ("grants_page_20", one(deep)),
        ("grants_of_agent", each("/console/grants?agent=", "agents")),
        (
            "grants_of_provider",
            each("/console/grants?provider=", "services"),
        ),
        ("grants_of_nobody", one("/console/grants?agent=none-such")),
        ("grants_ailing", one("/console/grants?ailing=true")),
        ("grant", each("/console/grants/", "grants")),
        ("sessions", one("/console/sessions")),
        ("stops", one("/console/stops")),
        ("principals", one("/console/principals")),
        ("principal", one("/console/principals/dev-agent")),
        (
            "simulation",
            one("/console/simulation?principal=dev-agent&action=bedrock-agentcore:GetResourceOauth2Token"),
        ),
        ("keys", one("/console/keys")),
        ("audit", one("/console/audit")),
        ("audit_refused", one("/console/audit?outcome=refused")),
        ("audit_by_reason", one("/console/audit?reason=wrong_person")),
        ("audit_of_grant", each("/console/audit?grant=", "grants")),
        ("audit_heavy_grant", of("/console/audit?grant=", "heavy_grant")),
        ("audit_of_agent", each("/console/audit?agent=", "agents")),
        ("audit_of_nobody", one("/console/audit?agent=none-such")),
        ("audit_page_20", one(deep_audit)),
        ("explain", each("/console/audit/", "records")),
        ("explain_heavy", of("/console/audit/", "heavy")),
        ("verification", one("/console/audit/verification")),
        (
            "report",
            one("/console/report?agent=&provider=&user=&grant=&from=&to="),
        ),
        ("report_of_grant", each("/console/report?grant=", "grants")),
        ("report_heavy_grant", of("/console/report?grant=", "heavy_grant")),
        ("report_of_agent", each("/console/report?agent=", "agents")),
        ("report_of_person", each("/console/report?user=", "people")),
        ("report_of_nobody", one("/console/report?agent=none-such")),
        ("health", one("/console/health")),
    ]
}

async fn measure(
    system: &System,
    alice: &Person<'_>,
    name: &str,
    paths: &[String],
) -> anyhow::Result<Sample> {
    ensure!(!paths.is_empty(), "{name}: nothing to ask for");
    let cpu = process::cpu_us(system.pid())?;
    let (mut micros, mut errors) = (Vec::with_capacity(REQUESTS), 0);
    let began = Instant::now();
    for index in 0..REQUESTS {
        let url = at(system, &paths[index % paths.len()]);
        let asked = Instant::now();
        let page = alice.browser.opens(&url).await;
        micros.push(asked.elapsed().as_secs_f64() * 1e6);
        if !page.status.is_success() || !page.body.contains("Your role: viewer") {
            errors += 1;
            note(&format!("{name}: {} for {url}", page.status));
        }
    }
    micros.sort_by(f64::total_cmp);
    let requests = u64::try_from(REQUESTS)?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    Ok(Sample {
        requests,
        errors,
        rps: REQUESTS as f64 / seconds,
        p50_us: micros[REQUESTS / 2],
        p99_us: micros[REQUESTS - 2],
        cpu_us: (process::cpu_us(system.pid())? - cpu) as f64 / REQUESTS as f64,
        rss_kb: process::rss_kb(system.pid())?,
    })
}

#[expect(clippy::print_stderr, reason = "a benchmark says how far it is")]
fn note(text: &str) {
    eprintln!("{text}");
}
