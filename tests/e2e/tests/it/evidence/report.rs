//! What an operator asks after a day at work: reports, searches, and what was kept elsewhere.

use std::path::Path;

use e2e::{Person, System, cli::countersign};
use serde_json::Value;

use super::{audit, text};

fn json(arguments: &[&str]) -> Value {
    let mut all = vec!["audit"];
    all.extend(arguments);
    all.extend(["--output", "json"]);
    let ran = audit(&all);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// Every line of every file below a directory that ends with `.ndjson`.
fn exported(directory: &Path) -> Vec<Value> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).expect("reads") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(exported(&path));
        } else if path.extension().is_some_and(|end| end == "ndjson") {
            let text = std::fs::read_to_string(&path).expect("reads");
            found.extend(
                text.lines()
                    .map(|line| serde_json::from_str::<Value>(line).expect("JSON")),
            );
        }
    }
    found
}

#[tokio::test]
async fn the_trail_of_a_day_is_reported_searched_and_kept_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, elsewhere) = (directory.path().join("data"), directory.path().join("elsewhere"));
    std::fs::create_dir(&elsewhere).expect("a directory");
    let mut system = System::start_with(e2e::system::Options {
        data: Some(data.clone()),
        arguments: vec!["--evidence-directory".to_owned(), text(&elsewhere).to_owned()],
        ..Default::default()
    });
    Person::connected(&system, "alice").await;

    // Through the API of the running server, then on the stopped store.
    let asked = ["audit", "report", "--workload", "dev-agent", "--output", "json"];
    let online = countersign(&asked, system.environment());
    assert_eq!(online.code, 0, "{}", online.stderr);
    let online: Value = serde_json::from_str(&online.stdout).expect("JSON");
    assert_eq!(system.interrupt().code(), Some(0));

    let data = text(&data);
    let report = json(&["report", "--data", data, "--provider", "ledgerline"]);
    let releases = report["releases"].as_array().expect("releases");
    assert!(!releases.is_empty(), "{report}");
    assert_eq!(
        online["releases"][0]["record"], releases[0]["record"],
        "both say the same"
    );
    let release = &releases[0];
    assert_eq!(release["workload"], "dev-agent");
    assert_eq!(release["account"]["state"], "known", "{release}");
    assert!(
        matches!(release["validity"]["state"].as_str(), Some("valid" | "ended")),
        "{release}"
    );
    let csv = audit(&["audit", "report", "--data", data, "--format", "csv"]);
    assert_eq!(csv.stdout.lines().count(), releases.len() + 1, "{}", csv.stdout);
    let page = audit(&["audit", "report", "--data", data, "--format", "html"]);
    assert!(page.stdout.starts_with("<!doctype html>") && page.stdout.contains("dev-agent"));
    assert_eq!(
        json(&[
            "report",
            "--data",
            data,
            "--from",
            "1970-01-01",
            "--to",
            "1970-01-02"
        ])["releases"],
        Value::Array(vec![])
    );

    let found = audit(&[
        "audit",
        "tail",
        "--data",
        data,
        "--action",
        "Login",
        "--outcome",
        "done",
        "--output",
        "json",
    ]);
    let logins: Vec<Value> = found
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(logins.len(), 1, "{}", found.stdout);
    let sid = logins[0]["sid"].as_str().expect("a login has one");
    let of_login = audit(&["audit", "tail", "--data", data, "--sid", sid, "--output", "json"]);
    assert!(
        of_login.stdout.contains("GetWorkloadAccessTokenForJWT"),
        "both trails: {}",
        of_login.stdout
    );
    assert_eq!(
        audit(&["audit", "tail", "--data", data, "--from", "tomorrow"]).code,
        1
    );

    // The last checkpoint of the identity service is elsewhere too, and every record under it.
    let kept = elsewhere.join("checkpoints");
    let verified = audit(&["audit", "verify", "--data", data, "--against", text(&kept)]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let events = exported(&elsewhere);
    let handed_on = events
        .iter()
        .filter(|event| event["activity_name"] == "GetResourceOauth2Token");
    assert!(handed_on.count() >= releases.len());
    assert!(events.iter().all(|event| event["metadata"]["version"] == "1.5.0"));
}
