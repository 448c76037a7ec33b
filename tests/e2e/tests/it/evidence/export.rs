//! An exported trail on a machine that has only the public key: by the product, and by the example that shares nothing
//! with it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{a_day_at_work, another_day, audit, text};

/// An export of two days' work, the keys, and the checkpoints that were kept.
struct Exported {
    _directory: tempfile::TempDir,
    data: PathBuf,
    trail: PathBuf,
    keys: PathBuf,
    kept: PathBuf,
}

impl Exported {
    async fn new() -> Self {
        let (directory, data) = a_day_at_work().await;
        let data = PathBuf::from(data);
        another_day(&data).await;
        let [trail, keys, kept] =
            ["trail.jsonl", "keys.json", "kept"].map(|name| directory.path().join(name));
        let arguments = [
            "audit",
            "export",
            text(&trail),
            "--public-keys",
            text(&keys),
            "--data",
            text(&data),
        ];
        let ran = audit(&arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let again = audit(&arguments);
        assert_eq!(again.code, 1, "nothing is overwritten");
        std::fs::rename(data.join("audit-checkpoints"), &kept).expect("checkpoints are outside the database");
        Self {
            _directory: directory,
            data,
            trail,
            keys,
            kept,
        }
    }

    /// Exit code and output of our command and of the example.
    fn verdicts(&self) -> [(i32, String); 2] {
        let ours = audit(&[
            "audit",
            "verify",
            "--export",
            text(&self.trail),
            "--key",
            text(&self.keys),
            "--against",
            text(&self.kept),
        ]);
        let python =
            std::env::var("COUNTERSIGN_TEST_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned());
        let example = Command::new(python)
            .arg(e2e::repository().join("examples/verify-audit/verify.py"))
            .args([&self.trail, &self.keys, &self.kept])
            .output()
            .expect("python runs");
        let printed = String::from_utf8_lossy(&example.stdout).into_owned();
        let complained = String::from_utf8_lossy(&example.stderr).into_owned();
        [
            (ours.code, format!("{}{}", ours.stdout, ours.stderr)),
            (
                example.status.code().unwrap_or(-1),
                format!("{printed}{complained}"),
            ),
        ]
    }
}

#[tokio::test]
async fn both_verifiers_accept_an_export_and_name_every_record_that_was_edited() {
    let exported = Exported::new().await;
    for (code, said) in exported.verdicts() {
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("OK"), "{said}");
    }
    let honest = std::fs::read_to_string(&exported.trail).expect("text");
    let records: Vec<(&str, String)> = honest
        .lines()
        .filter_map(|line| {
            let record = &serde_json::from_str::<Value>(line).expect("JSON")["record"];
            let id = format!("audit_record {}-{}", record["writer"].as_str()?, record["seq"]);
            Some((line, id))
        })
        .collect();
    assert!(records.len() > 10, "{} records", records.len());
    for (line, id) in &records {
        let edited = line.replace(r#""account":"000000000000""#, r#""account":"000000000001""#);
        assert_ne!(edited, *line);
        std::fs::write(&exported.trail, honest.replace(line, &edited)).expect("edited");
        for (code, said) in exported.verdicts() {
            assert_eq!(code, 1, "{id}: {said}");
            assert!(said.contains(id.as_str()), "{id} is not named: {said}");
        }
    }
    let (last, id) = records.last().expect("records");
    std::fs::write(&exported.trail, honest.replace(&format!("{last}\n"), "")).expect("cut");
    for (code, said) in exported.verdicts() {
        assert_eq!(code, 1, "{id} cut off: {said}");
    }
}

#[tokio::test]
async fn one_record_is_proved_without_the_others() {
    let exported = Exported::new().await;
    let trail = std::fs::read_to_string(&exported.trail).expect("text");
    let release = trail
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|line| {
            line["record"]["action"] == "GetResourceOauth2Token" && line["record"]["grant_id"].is_string()
        })
        .expect("a token was released");
    let id = format!(
        "{}-{}",
        release["record"]["writer"].as_str().expect("text"),
        release["record"]["seq"]
    );
    let proved = audit(&["audit", "prove", &id, "--data", text(&exported.data)]);
    assert_eq!(proved.code, 0, "{}", proved.stderr);
    let proof = exported.trail.with_file_name("proof.json");
    let check = |text_of_proof: &str| {
        std::fs::write(&proof, text_of_proof).expect("written");
        audit(&[
            "audit",
            "verify",
            "--proof",
            text(&proof),
            "--key",
            text(&exported.keys),
        ])
    };
    let ran = check(&proved.stdout);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("GetResourceOauth2Token"), "{}", ran.stdout);
    let ran = check(&proved.stdout.replace("\"dev-agent\"", "\"another\""));
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}
