//! `countersign audit …` on the data of a flow that happened.

mod export;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{
    Person, System,
    cli::{Ran, countersign},
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// A stopped system in which alice used a token; the directory outlives it.
async fn a_day_at_work() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut system = System::start_with(e2e::system::Options {
        data: Some(data.clone()),
        ..Default::default()
    });
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    alice
        .consents(&Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL"))
        .await;
    events.answer().await;
    assert_eq!(system.interrupt().code(), Some(0));
    (directory, data.to_str().expect("a text path").to_owned())
}

fn audit(arguments: &[&str]) -> Ran {
    countersign(arguments, [])
}

/// `audit verify --output json` of a data directory.
fn verify(data: &Path, against: Option<&Path>) -> Ran {
    let mut arguments = vec!["audit", "verify", "--output", "json", "--data", text(data)];
    arguments.extend(against.into_iter().flat_map(|kept| ["--against", text(kept)]));
    audit(&arguments)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a text path")
}

/// Starts again on the data of a stopped system.
fn start_again(data: &Path) -> System {
    let port_base = std::fs::read_to_string(data.join("port-base")).expect("it is kept");
    System::start_with(e2e::system::Options {
        data: Some(data.to_owned()),
        port_base: Some(port_base.trim().parse().expect("a port")),
        ..Default::default()
    })
}

/// Another day on the same data: further writers, records and checkpoints.
async fn another_day(data: &Path) {
    let mut system = start_again(data);
    Person::new(&system, "bob").logs_in().await;
    assert_eq!(system.interrupt().code(), Some(0));
}

/// A tampered copy, by `tests/python/tamper.py`.
#[derive(Deserialize)]
struct Tampered {
    copy: PathBuf,
    place: String,
    what: String,
}

impl Tampered {
    /// What a verifier that misses it did, or nothing.
    fn missed(&self, against: Option<&Path>) -> Option<String> {
        let ran = verify(&self.copy, against);
        let reports: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let named = reports
            .iter()
            .filter_map(|report| report["faults"].as_array())
            .flatten()
            .any(|fault| fault["place"] == self.place.as_str());
        (ran.code != 1 || !named)
            .then(|| format!("{}: exit {}, {}{}", self.what, ran.code, ran.stdout, ran.stderr))
    }
}

/// Makes a copy of `data` for each tampering of a mode.
fn tampered(data: &Path, copies: &Path, mode: &str) -> Vec<Tampered> {
    let python = std::env::var("COUNTERSIGN_TEST_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned());
    let output = Command::new(python)
        .arg(e2e::repository().join("tests/python/tamper.py"))
        .args([data, copies, Path::new(mode)])
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).expect("JSON is text");
    let tampered: Vec<Tampered> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    let databases = ["identity.sqlite", "gateway.sqlite"];
    let each = databases.map(|name| tampered.iter().any(|one| one.what.starts_with(name)));
    assert_eq!(each, [true, true], "both databases were tampered with");
    tampered
}

/// Verifies every tampered copy and fails with all that were missed.
fn none_missed(tampered: &[Tampered], against: Option<&Path>) {
    let missed: Vec<String> = tampered.iter().filter_map(|one| one.missed(against)).collect();
    assert!(
        missed.is_empty(),
        "{} of {} missed:\n{}",
        missed.len(),
        tampered.len(),
        missed.join("\n")
    );
}

#[tokio::test]
async fn verify_says_ok_and_how_far_it_is_anchored() {
    let (_directory, data) = a_day_at_work().await;
    let ran = audit(&["audit", "verify", "--data", &data]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("OK") && ran.stdout.contains("anchored"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn a_forgotten_person_is_named_by_neither_trail() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut system = System::start_with(e2e::system::Options {
        data: Some(data.clone()),
        ..Default::default()
    });
    let alice = Person::connected(&system, "alice").await;
    Person::new(&system, "bob").logs_in().await;
    let run = |arguments: &[&str], environment: &BTreeMap<String, String>| {
        let ran = countersign(arguments, environment);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran
    };
    let listed = run(&["session", "list", "--output", "json"], system.environment());
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let sessions = listed["sessions"].as_array().expect("sessions");
    let users = run(&["grant", "list", "--output", "json"], system.environment());
    let users: Value = serde_json::from_str(&users.stdout).expect("JSON");
    let key = users["grants"][0]["userKey"]
        .as_str()
        .expect("alice's key")
        .to_owned();
    let grant = users["grants"][0]["grantId"].as_str().expect("an id").to_owned();
    let hers = sessions
        .iter()
        .filter(|session| session["userKey"] == key.as_str());
    let hers = hers.count();

    // Where the gateway is not known, it is said plainly what is left to do.
    let mut no_gateway = system.environment().clone();
    no_gateway.retain(|name, _| name != "COUNTERSIGN_OPERATOR_TOKEN");
    let half = run(&["user", "forget", &key], &no_gateway);
    assert!(
        half.stderr.contains("NOT forgotten by the gateway"),
        "{}",
        half.stderr
    );
    assert!(half.stderr.contains(&key), "{}", half.stderr);
    let done = run(
        &["user", "forget", &key, "--output", "json"],
        system.environment(),
    );
    let done: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(done["gateway"]["auditDetailsErased"], true, "{done}");
    assert_eq!(done["gateway"]["sessionsEnded"], hers, "{done}");
    let page = alice.browser.one_hop(system.app("/")).await;
    assert_ne!(page.status, reqwest::StatusCode::OK, "her session has ended");

    assert_eq!(system.interrupt().code(), Some(0));
    let data = text(&data);
    for arguments in [
        &["audit", "tail", "--lines", "1000", "--data", data][..],
        &["audit", "explain", &grant, "--data", data],
    ] {
        let ran = audit(arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("Login done"),
            "the records stay: {}",
            ran.stdout
        );
        let others = arguments[1] == "explain" || ran.stdout.contains("bob@");
        assert!(others, "others are still named: {}", ran.stdout);
        assert!(!ran.stdout.to_lowercase().contains("alice"), "{}", ran.stdout);
    }
    let verified = verify(Path::new(data), None);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

#[tokio::test]
async fn explain_prints_login_consent_grant_and_token_use() {
    let (_directory, data) = a_day_at_work().await;
    let tail = audit(&["audit", "tail", "--data", &data, "-n", "1000", "--output", "json"]);
    assert_eq!(tail.code, 0, "{}", tail.stderr);
    let records: Vec<Value> = tail
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    let release = records
        .iter()
        .rfind(|record| record["action"] == "GetResourceOauth2Token" && record["grant"].is_string())
        .expect("the release of a token is on record");
    let id = release["id"].as_str().expect("a record has an id");
    let ran = audit(&["audit", "explain", id, "--data", &data]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // The lines that begin a node, without the branches before them; what follows a node is indented below it.
    let nodes: Vec<(usize, &str)> = ran
        .stdout
        .lines()
        .filter_map(|line| {
            let node = line.trim_start_matches(['│', '├', '└', '─', ' ']);
            ["login ", "authorization session ", "grant ", "use "]
                .into_iter()
                .find(|kind| node.starts_with(kind))
                .map(|kind| (line.chars().count() - node.chars().count(), kind.trim_end()))
        })
        .collect();
    let kinds: Vec<&str> = nodes.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(
        kinds,
        ["login", "authorization session", "grant", "use"],
        "{}",
        ran.stdout
    );
    assert!(
        nodes.is_sorted_by(|(above, _), (below, _)| above < below),
        "each follows from the one before:\n{}",
        ran.stdout
    );
}

#[tokio::test]
async fn every_change_of_a_record_or_checkpoint_is_found() {
    let (directory, data) = a_day_at_work().await;
    let data = Path::new(&data);
    another_day(data).await;
    assert_eq!(verify(data, None).code, 0, "before anything is changed");
    none_missed(&tampered(data, &directory.path().join("copies"), "change"), None);
}

#[tokio::test]
async fn every_deleted_record_or_checkpoint_is_found() {
    let (directory, data) = a_day_at_work().await;
    let data = Path::new(&data);
    another_day(data).await;
    none_missed(&tampered(data, &directory.path().join("copies"), "delete"), None);
}

#[tokio::test]
async fn a_last_record_cut_off_with_its_checkpoints_is_found_against_the_kept_file() {
    let (directory, data) = a_day_at_work().await;
    let data = Path::new(&data);
    let kept = directory.path().join("kept");
    std::fs::copy(data.join("audit-checkpoints"), &kept).expect("checkpoints are outside the database");
    let truncated = tampered(data, &directory.path().join("copies"), "truncate");
    for one in &truncated {
        // Nothing in this copy vouches for what was cut: it is the kept file that finds it.
        assert_eq!(verify(&one.copy, None).code, 0, "{}", one.what);
    }
    none_missed(&truncated, Some(&kept));
}

#[tokio::test]
async fn an_older_copy_put_back_is_found_against_the_checkpoints() {
    let (directory, data) = a_day_at_work().await;
    let data = Path::new(&data);
    let roles = ["identity", "gateway"];
    for role in roles {
        let older = directory.path().join(role);
        std::fs::copy(data.join(format!("{role}.sqlite")), older).expect("a copy");
    }
    let older_checkpoints = std::fs::read(data.join("audit-checkpoints")).expect("checkpoints");
    another_day(data).await;
    let kept = directory.path().join("kept");
    std::fs::copy(data.join("audit-checkpoints"), &kept).expect("checkpoints");
    assert_eq!(verify(data, Some(&kept)).code, 0, "before anything is put back");

    // Whoever puts the database back can put back the file beside it too.
    std::fs::write(data.join("audit-checkpoints"), older_checkpoints).expect("put back");
    for role in roles {
        let database = data.join(format!("{role}.sqlite"));
        let newer = std::fs::read(&database).expect("the newer one");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
        }
        std::fs::copy(directory.path().join(role), &database).expect("the older copy is put back");
        let ran = verify(data, Some(&kept));
        assert_eq!(ran.code, 1, "{role}: {}{}", ran.stdout, ran.stderr);
        let reports: Vec<Value> = serde_json::from_str(&ran.stdout).expect("reports");
        for report in &reports {
            assert_eq!(report["ok"], report["role"] != role, "{role} alone: {report}");
        }
        let place = reports
            .iter()
            .find_map(|report| report["faults"][0]["place"].as_str())
            .expect("a fault");
        assert!(place.starts_with("audit_checkpoint "), "{place}");
        std::fs::write(&database, newer).expect("the newer one again");
    }
}

#[tokio::test]
async fn a_running_system_can_be_verified() {
    let system = System::start();
    Person::new(&system, "alice").logs_in().await;
    let ran = audit(&["audit", "verify", "--data", text(&system.data)]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for role in ["identity: OK", "gateway: OK"] {
        assert!(ran.stdout.contains(role), "{}", ran.stdout);
    }
}

#[tokio::test]
async fn a_file_too_corrupt_to_read_fails_without_a_panic() {
    let (_directory, data) = a_day_at_work().await;
    for role in ["identity", "gateway"] {
        let database = Path::new(&data).join(format!("{role}.sqlite"));
        let whole = std::fs::read(&database).expect("the file");
        let length = whole.len();
        // All but the first page, the middle, the header.
        for zeroed in [4096..length, length / 8..length - length / 8, 0..100] {
            let mut corrupt = whole.clone();
            corrupt[zeroed.clone()].fill(0);
            std::fs::write(&database, corrupt).expect("corrupted");
            let ran = audit(&["audit", "verify", "--data", &data]);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, 1, "{role} {zeroed:?}: {said}");
            assert!(said.contains(role), "it names the database: {said}");
            assert!(!ran.stderr.contains("panicked"), "{said}");
        }
        std::fs::write(&database, whole).expect("whole again");
    }
}
