//! The ready-made dashboard and alert rules name metrics that are there.

use std::{collections::BTreeSet, fs, path::Path};

use e2e::{Person, System};
use serde_json::Value;

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/monitoring")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of our metrics in a query of Prometheus.
fn named(expression: &str) -> BTreeSet<String> {
    let names = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = names.filter(|name| name.starts_with("countersign_") || name.starts_with("ELB"));
    ours.map(str::to_owned).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_name_only_what_a_scrape_has() {
    let evidence = tempfile::tempdir().expect("a directory");
    let evidence = evidence.path().to_str().expect("a text path").to_owned();
    let system = System::start_with(e2e::system::Options {
        arguments: vec!["--evidence-directory".to_owned(), evidence],
        ..Default::default()
    });
    let alice = Person::connected(&system, "alice").await;
    // A refusal of each role.
    alice
        .opens(&system.account("/identities/oauth2/authorize?request_uri=nonsense"))
        .await;
    alice.opens(&system.account("/no-such-page")).await;
    let scrape = format!("http://localhost:{}/metrics", system.port_base + 9);
    let mut there = BTreeSet::new();
    // The gauges are set every ten seconds.
    for _ in 0..40 {
        let text = reqwest::get(&scrape)
            .await
            .expect("it answers")
            .text()
            .await
            .expect("text");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned());
        there = names.collect();
        if there.contains("countersign_audit_anchor_lag_seconds") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let dashboard: Value = serde_json::from_str(&deployed("grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "an id twice");
        for target in panel["targets"].as_array().expect("targets") {
            let names = named(target["expr"].as_str().expect("PromQL"));
            assert!(!names.is_empty(), "{target}");
            wanted.extend(names);
        }
    }
    let alerts = deployed("alerts.yaml");
    let expressions = alerts
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("expr:"));
    let expressions: Vec<&str> = expressions.collect();
    assert_eq!(expressions.len(), alerts.matches("- alert:").count());
    wanted.extend(expressions.into_iter().flat_map(named));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring.md");
    let page = fs::read_to_string(page).expect("text");
    let documented = page
        .lines()
        .filter(|line| line.starts_with("| `countersign_"))
        .flat_map(named);
    let unwatched: Vec<String> = documented
        .filter(|name| name.starts_with("countersign_audit_") && !wanted.contains(name))
        .collect();
    assert!(unwatched.is_empty(), "in no alert and no panel: {unwatched:?}");
    let missing: Vec<&String> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "no scrape has {missing:?}: {there:#?}");
}

/// The value of the sample with exactly these labels.
fn sample(scrape: &str, series: &str) -> Option<f64> {
    let value = scrape
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}

#[tokio::test]
async fn requests_of_every_role_are_counted_by_route_and_status_and_polls_do_not_fill_the_log() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    alice.opens(&system.account("/console/grants/nonsense")).await;
    let stranger = Person::new(&system, "nobody");
    stranger.opens(&system.account("/console/nonsense")).await;
    let client = reqwest::Client::new();
    let to = |offset: u16, path: &str| format!("http://localhost:{}{path}", system.port_base + offset);
    for offset in [5, 6] {
        for path in ["/ping", "/nonsense"] {
            client.get(to(offset, path)).send().await.expect("an answer");
        }
    }
    let scrape = client.get(to(9, "/metrics")).send().await.expect("it answers");
    let scrape = scrape.text().await.expect("text");
    for (listener, route, status) in [
        ("gateway.app", "agent", "2xx"),
        ("gateway.app", "gateway", "3xx"),
        ("gateway.account", "binding", "2xx"),
        ("gateway.account", "identity", "4xx"),
        ("gateway.keys", "/default/jwks.json", "2xx"),
        ("agent", "/invocations", "2xx"),
        ("agent", "/ping", "2xx"),
        ("agent", "unmatched", "4xx"),
        ("binding", "/oauth2/session-binding", "2xx"),
        ("binding", "/ping", "2xx"),
        ("binding", "unmatched", "4xx"),
        ("identity.api", "/identities/oauth2/token", "2xx"),
        ("identity.front_channel", "/console/grants/{id}", "4xx"),
    ] {
        let series = format!(
            "countersign_requests_total{{listener=\"{listener}\",route=\"{route}\",status=\"{status}\"}}"
        );
        let count = sample(&scrape, &series).unwrap_or_default();
        assert!(
            count >= 1.0,
            "no {series}:\n{}",
            about(&scrape, "countersign_requests_total")
        );
        let series =
            format!("countersign_request_seconds_count{{listener=\"{listener}\",route=\"{route}\"}}");
        assert!(sample(&scrape, &series) >= Some(count), "no {series}");
    }
    assert!(!scrape.contains("nonsense"), "{}", about(&scrape, "nonsense"));

    let (log, access) = (system.log_text(), "countersign::access");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(access)).collect();
    assert!(
        lines.iter().any(|line| line.contains("/invocations")),
        "{lines:#?}"
    );
    for polled in ["/identities/stops", "/ping"] {
        assert!(
            !lines.iter().any(|line| line.contains(polled)),
            "{polled}: {lines:#?}"
        );
    }
}

/// The lines with this in them.
fn about(scrape: &str, word: &str) -> String {
    let lines: Vec<&str> = scrape.lines().filter(|line| line.contains(word)).collect();
    lines.join("\n")
}

#[tokio::test]
async fn labels_have_few_values_whatever_strangers_send() {
    let system = System::start();
    let stranger = Person::new(&system, "nobody");
    for path in [
        "/a",
        "/b?c=d",
        "/identities/x",
        "/oauth2/idpresponse?state=x&code=y",
        "/console/zzz",
    ] {
        stranger.opens(&system.account(path)).await;
    }
    let client = reqwest::Client::new();
    let api = format!("http://localhost:{}", system.port_base + 1);
    for n in 0..20 {
        let request = client
            .post(format!("{api}/identities/Operation{n}"))
            .header("x-reason", n.to_string());
        request.send().await.expect("an answer");
    }
    let scrape = format!("http://localhost:{}/metrics", system.port_base + 9);
    let text = reqwest::get(&scrape)
        .await
        .expect("it answers")
        .text()
        .await
        .expect("text");
    for word in ["Operation1", "zzz", "idpresponse", "c=d"] {
        assert!(!text.contains(word), "{word} is a label");
    }
    let series = text
        .lines()
        .filter(|line| line.starts_with("countersign_audit_not_done_total"));
    assert!(series.count() < 20);
}
