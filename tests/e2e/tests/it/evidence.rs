//! `countersign audit …` on the data of a flow that happened.

use e2e::{Person, System, cli::countersign};
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

fn audit(arguments: &[&str]) -> e2e::cli::Ran {
    countersign(arguments, [])
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
    let positions: Vec<usize> = [
        "Login",
        "CompleteResourceTokenAuth",
        "grant",
        "GetResourceOauth2Token",
    ]
    .iter()
    .map(|word| {
        ran.stdout
            .find(word)
            .unwrap_or_else(|| panic!("no {word} in:\n{}", ran.stdout))
    })
    .collect();
    assert!(positions.is_sorted(), "the chain is in order:\n{}", ran.stdout);
}

#[tokio::test]
async fn a_deleted_last_record_is_found_against_the_checkpoints() {
    let (directory, data) = a_day_at_work().await;
    let kept = directory.path().join("kept");
    std::fs::copy(directory.path().join("data/audit-checkpoints"), &kept)
        .expect("checkpoints are outside the database");
    let older = directory.path().join("older.sqlite");
    let database = directory.path().join("data/identity.sqlite");
    std::fs::copy(&database, &older).expect("a copy");

    // Another day goes by, then the older copy is put back.
    let mut system = System::start_with(e2e::system::Options {
        data: Some(directory.path().join("data")),
        port_base: Some(
            std::fs::read_to_string(directory.path().join("data/port-base"))
                .expect("kept")
                .trim()
                .parse()
                .expect("a port"),
        ),
        ..Default::default()
    });
    Person::new(&system, "bob").logs_in().await;
    assert_eq!(system.interrupt().code(), Some(0));
    let newer = directory.path().join("newer-checkpoints");
    std::fs::copy(directory.path().join("data/audit-checkpoints"), &newer).expect("checkpoints");
    assert_eq!(
        audit(&[
            "audit",
            "verify",
            "--data",
            &data,
            "--against",
            newer.to_str().expect("text")
        ])
        .code,
        0
    );
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
    }
    std::fs::copy(&older, &database).expect("the older copy is put back");
    let ran = audit(&[
        "audit",
        "verify",
        "--data",
        &data,
        "--against",
        newer.to_str().expect("text"),
    ]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains("identity"),
        "it names the place: {}",
        ran.stdout
    );
}
