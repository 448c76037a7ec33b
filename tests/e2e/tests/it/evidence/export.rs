//! An exported trail on a machine that has only the public key: by the product, and by the example that shares nothing
//! with it.

use std::path::{Path, PathBuf};
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
        let example = example("verify.py", &[&self.trail, &self.keys], Some(&self.kept));
        [(ours.code, format!("{}{}", ours.stdout, ours.stderr)), example]
    }
}

/// Exit code and output of a script in `examples/verify-audit`.
fn example(name: &str, files: &[&Path], kept: Option<&Path>) -> (i32, String) {
    let python = std::env::var("COUNTERSIGN_TEST_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned());
    let ran = Command::new(python)
        .arg(e2e::repository().join("examples/verify-audit").join(name))
        .args(files)
        .args(kept)
        .output()
        .expect("python runs");
    let (printed, complained) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    (ran.status.code().unwrap_or(-1), format!("{printed}{complained}"))
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
    for (what, edited, named) in edits(&honest) {
        assert_ne!(edited, honest, "{what}");
        std::fs::write(&exported.trail, edited).expect("edited");
        for (code, said) in exported.verdicts() {
            assert_eq!(code, 1, "{what}: {said}");
            assert!(said.contains(&named), "{what}: {named} is not named: {said}");
        }
    }
    // What a crash cut off the end of the checkpoints was never acknowledged.
    std::fs::write(&exported.trail, &honest).expect("as it was");
    let kept = std::fs::read_to_string(&exported.kept).expect("text");
    std::fs::write(&exported.kept, &kept[..kept.len() - 30]).expect("cut");
    for (code, said) in exported.verdicts() {
        assert_eq!(code, 0, "{said}");
    }
}

/// Edits of a whole export of two databases: what was done, the edited text, and what a verifier must name.
fn edits(honest: &str) -> Vec<(&'static str, String, String)> {
    let is = |line: &str, kind: &str| line.starts_with(&format!(r#"{{"{kind}":"#));
    let lines: Vec<&str> = honest.split_inclusive('\n').collect();
    let second = 1 + lines
        .iter()
        .skip(1)
        .position(|line| is(line, "export"))
        .expect("two sections");
    let (one, other) = lines.split_at(second);
    let first_record = one.iter().position(|line| is(line, "record")).expect("records");
    let (last, rest) = one.split_last().expect("an end");
    let writer = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["record"]["writer"].clone();
    let blocks: Vec<&[&str]> = rest[first_record..]
        .chunk_by(|a, b| writer(a) == writer(b))
        .collect();
    assert!(blocks.len() > 1, "{} writers", blocks.len());
    let swapped: Vec<&str> = blocks
        .iter()
        .rev()
        .flat_map(|block| block.iter().copied())
        .collect();
    let with = |middle: &[&str]| [middle, &[*last], other].concat().concat();
    let id = |line: &str| {
        let record = &serde_json::from_str::<Value>(line).expect("JSON")["record"];
        format!("{}-{}", record["writer"].as_str().expect("text"), record["seq"])
    };
    let line = |index: usize| format!("line {}", index + 1);
    let twice = [&lines[..], one].concat().concat();
    let (head, records) = rest.split_at(first_record);
    let late = [&head[..1], records, &head[1..]].concat();
    let repeated = [rest, &records[records.len() - 1..]].concat();
    let version = |from: &str| honest.replacen(from, &from.replace(":1", ":9"), 1);
    vec![
        ("empty", String::new(), line(0)),
        ("the first section alone", one.concat(), database_of(other[0])),
        ("the second section alone", other.concat(), database_of(one[0])),
        ("a section twice", twice, line(lines.len())),
        (
            "writers in another order",
            with(&[head, &swapped].concat()),
            line(first_record + blocks[blocks.len() - 1].len()),
        ),
        ("checkpoints after records", with(&late), line(1 + records.len())),
        ("a record twice", with(&repeated), line(rest.len())),
        (
            "a record removed",
            with(&[head, &records[..1], &records[2..]].concat()),
            id(records[2]),
        ),
        (
            "the last record removed",
            with(&rest[..rest.len() - 1]),
            line(rest.len() - 1),
        ),
        ("no end", [rest, other].concat().concat(), line(rest.len())),
        ("another version", version(r#"{"export":{"version":1"#), line(0)),
        (
            "another version of a checkpoint",
            version(r#"{"checkpoint":{"version":1"#),
            "audit_checkpoint 1".to_owned(),
        ),
        (
            "a member more",
            honest.replacen(r#"{"record":{"#, r#"{"record":{"more":1,"#, 1),
            line(first_record),
        ),
    ]
}

/// The id in the first line of a section.
fn database_of(header: &str) -> String {
    let header: Value = serde_json::from_str(header).expect("JSON");
    header["export"]["database"].as_str().expect("text").to_owned()
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
    let check = |text_of_proof: &str, kept: Option<&Path>| {
        std::fs::write(&proof, text_of_proof).expect("written");
        let ours = audit(&[
            "audit",
            "verify",
            "--proof",
            text(&proof),
            "--key",
            text(&exported.keys),
        ]);
        let example = example("prove.py", &[&proof, &exported.keys], kept);
        [(ours.code, format!("{}{}", ours.stdout, ours.stderr)), example]
    };
    // Since the oldest checkpoint that knew the writer.
    let kept = std::fs::read_to_string(&exported.kept).expect("text");
    let writer = release["record"]["writer"].as_str().expect("text");
    let older = exported.trail.with_file_name("older");
    let line = kept
        .lines()
        .find(|line| line.contains(writer))
        .expect("a checkpoint");
    std::fs::write(&older, format!("{line}\n")).expect("written");
    let since = audit(&[
        "audit",
        "prove",
        &id,
        "--since",
        text(&older),
        "--data",
        text(&exported.data),
    ]);
    assert_eq!(since.code, 0, "{}", since.stderr);
    for (proved, kept) in [(&proved.stdout, None), (&since.stdout, Some(&*older))] {
        for (code, said) in check(proved, kept) {
            assert_eq!(code, 0, "{said}");
            assert!(said.contains("GetResourceOauth2Token"), "{said}");
        }
        for (from, to) in [
            ("\"dev-agent\"", "\"another\""),
            ("\"index\": 0", "\"index\": 1"),
            ("\"version\": 1", "\"version\": 9"),
        ] {
            let changed = proved.replacen(from, to, 1);
            assert_ne!(changed, *proved, "{from}");
            for (code, said) in check(&changed, kept) {
                assert_eq!(code, 1, "{from}: {said}");
            }
        }
    }
    // A proof that says nothing of the checkpoint that was kept.
    assert_eq!(check(&proved.stdout, Some(&older))[1].0, 1);
}
