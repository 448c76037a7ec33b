//! A trail as a file: it verifies without the database, and whatever is changed in it is noticed.

use std::path::Path;

use countersign_audit::verify::{Export, Report, verify_export};
use countersign_audit::{AuditError, Exporter};
use countersign_crypto::JwkSet;
use proptest::prelude::*;

use crate::fixture::{Fixture, by_the_examples, fixtures, record_some};

async fn export(fixture: &Fixture) -> String {
    export_of(fixture, "identity").await
}

async fn export_of(fixture: &Fixture, role: &str) -> String {
    let mut exporter = Exporter::begin(fixture.pool(), role).await.expect("begins");
    let mut text = String::new();
    while let Some(lines) = exporter.next_lines().await.expect("reads") {
        text.push_str(&lines);
    }
    text
}

async fn verify(text: &str, keys: &JwkSet, checkpoints: &str) -> Result<Vec<Report>, AuditError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("export.jsonl");
    std::fs::write(&path, text).expect("written");
    let export = Export {
        path: &path,
        keys,
        checkpoints,
        restored: i64::MAX,
    };
    verify_export(&export, &mut |_| ()).await
}

/// The only report, or the error's text as a report that is not fine.
async fn ok(text: &str, keys: &JwkSet, checkpoints: &str) -> bool {
    verify(text, keys, checkpoints)
        .await
        .is_ok_and(|reports| reports.iter().all(|report| report.ok))
}

#[tokio::test]
async fn an_export_verifies_as_its_database_does() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        let text = export(&fixture).await;
        let lines = fixture.lines().await;
        let [exported] = verify(&text, &fixture.keys, &lines)
            .await
            .expect("an export")
            .try_into()
            .expect("one section");
        let live = fixture.verify().await;
        assert!(exported.ok, "{:?}", exported.faults);
        assert_eq!(exported.records, live.records);
        assert_eq!(exported.writers, live.writers);
        assert_eq!(exported.database, live.database);
        assert_eq!(exported.anchored_outside, live.anchored_outside);
    }
}

#[tokio::test]
async fn several_databases_share_a_file_and_each_is_there_once() {
    let system = System::with_steps(&[vec![(2, 0)], vec![(3, 0)]]).await;
    let [identity, gateway] = &system.sections()[..] else {
        panic!("two sections")
    };
    let faults = async |text: &str, kept: &str| {
        let reports = verify(text, &system.keys, kept).await.expect("an export");
        let ours: Vec<String> = reports
            .into_iter()
            .flat_map(|report| report.faults)
            .map(|fault| format!("{}: {}", fault.place, fault.what))
            .collect();
        let theirs = system.example(&[text.to_owned()], kept).remove(0);
        assert_eq!(ours.is_empty(), theirs.is_empty(), "{ours:?} {theirs:?}");
        ours
    };
    let none: [&str; 0] = [];
    assert_eq!(faults(&(gateway.clone() + identity), &system.kept).await, none);

    let missing = faults(identity, &system.kept).await;
    assert!(
        missing.len() == 1 && missing[0].contains("gateway trail is not in the export"),
        "{missing:?}"
    );
    // Without the checkpoints that were kept, nothing says that there was another.
    assert_eq!(faults(identity, "").await, none);

    let line = identity.lines().count() + 1;
    let doubled = faults(&identity.repeat(2), "").await;
    assert_eq!(
        doubled,
        [format!(
            "export line {line}: begins a second section of its database"
        )]
    );
}

#[tokio::test]
async fn a_checkpoint_that_a_crash_cut_was_never_acknowledged() {
    let system = System::with_steps(&[vec![(2, 0), (1, 0), (2, 0)]]).await;
    let (cut, kept) = (&system.kept[..system.kept.len() - 20], &system.kept);
    assert!(kept.lines().count() > 1);
    assert!(ok(&system.text, &system.keys, cut).await);
    // One that is cut elsewhere was.
    let edited = format!("{cut}\n{kept}");
    assert!(!ok(&system.text, &system.keys, &edited).await);
    for (kept, fine) in [(cut, true), (edited.as_str(), false)] {
        let [found] = &system.example(std::slice::from_ref(&system.text), kept)[..] else {
            panic!("one answer")
        };
        assert_eq!(found.is_empty(), fine, "{found:?}");
    }
}

/// The product and the example excuse the same lines, and no others.
#[tokio::test]
async fn kept_checkpoints_of_before_a_restore_are_told_apart() {
    let fixture = Fixture::new_sqlite().await;
    let record = async || {
        let recorder = fixture.recorder().await;
        record_some(&recorder, 1).await;
        recorder.close().await.expect("closes");
    };
    record().await;
    let backup = fixture.backup().await;
    record().await;
    fixture.roll_back(&backup).await;
    record().await;
    let backup = fixture.backup().await;
    record().await;
    fixture.roll_back(&backup).await;
    record().await;
    fixture.restore(&backup).await;
    let unsigned = export(&fixture).await;
    record().await;
    let later = fixture.backup().await;
    record().await;
    fixture.restore(&later).await;
    record().await;
    let text = export(&fixture).await;
    let kept = fixture.lines().await;
    // Epochs and numbers: 0 1, 0 2, another 0 2, 0 3, another 0 3, 1 3, 1 4, 2 4.
    let kept: Vec<&str> = kept.split_inclusive('\n').collect();
    assert_eq!(kept.len(), 8);
    let edited = kept[3].replace("\"at\":1", "\"at\":2");
    assert_ne!(edited, kept[3]);
    for (what, export, lines, fine) in [
        ("of this life", &text, [kept[0], kept[7]].concat(), true),
        (
            "of all lives",
            &text,
            [&kept[2..4], &kept[5..]].concat().concat(),
            true,
        ),
        ("twice the same", &text, [kept[4], kept[4]].concat(), true),
        (
            "two of a life and number",
            &text,
            [kept[3], kept[4]].concat(),
            false,
        ),
        ("a fork of before the backup", &text, kept[1].to_owned(), false),
        ("nobody signed it", &text, edited, false),
        ("what was there", &unsigned, [kept[0], kept[2]].concat(), true),
        (
            "no checkpoint says that it was restored",
            &unsigned,
            kept[3].to_owned(),
            false,
        ),
        (
            "of a life that it does not know",
            &unsigned,
            kept[5].to_owned(),
            false,
        ),
    ] {
        let ours = verify(export, &fixture.keys, &lines).await.expect("an export");
        let theirs = by_the_examples(&fixture.keys, &lines, std::slice::from_ref(export), &[]).remove(0);
        assert_eq!(ours[0].ok, fine, "{what}: {}", ours[0]);
        assert_eq!(theirs.is_empty(), fine, "{what}: {theirs:?}");
    }
}

#[tokio::test]
async fn only_a_key_that_was_named_counts() {
    let [fixture, ..] = &fixtures().await[..] else {
        panic!("SQLite is always there")
    };
    fixture.three_writers().await;
    let text = export(fixture).await;
    assert!(!ok(&text, &JwkSet { keys: vec![] }, "").await);
    let other = Fixture::new_sqlite().await;
    assert!(!ok(&text, &other.keys, "").await, "another system's key");
}

#[tokio::test]
async fn what_is_no_export_is_an_error_with_its_line() {
    for text in [
        "",
        "\n",
        "{}\n",
        "{\"export\":{\"version\":2,\"role\":\"identity\",\"database\":\"x\"}}\n",
    ] {
        let error = verify(text, &JwkSet { keys: vec![] }, "")
            .await
            .expect_err("not an export");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
    let export = Export {
        path: Path::new("/nonexistent"),
        keys: &JwkSet { keys: vec![] },
        checkpoints: "",
        restored: 0,
    };
    assert!(verify_export(&export, &mut |_| ()).await.is_err());
}

/// One edit of a text.
#[derive(Debug, Clone)]
enum Edit {
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    /// Lines from the first place to the second go to the third.
    Move([prop::sample::Index; 3]),
    /// Two neighbouring blocks: the checkpoints, or the records of one writer.
    SwapBlocks(prop::sample::Index),
    RemoveSection(prop::sample::Index),
    RepeatSection(prop::sample::Index),
    Cut(prop::sample::Index),
}

impl Edit {
    fn any() -> impl Strategy<Value = Self> {
        use prop::sample::Index;
        prop_oneof![
            4 => (any::<Index>(), 1u8..95).prop_map(|(at, by)| Self::Flip(at, by)),
            1 => any::<Index>().prop_map(Self::Remove),
            1 => any::<Index>().prop_map(Self::Repeat),
            1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Self::Swap(a, b)),
            1 => any::<[Index; 3]>().prop_map(Self::Move),
            1 => any::<Index>().prop_map(Self::SwapBlocks),
            1 => any::<Index>().prop_map(Self::RemoveSection),
            1 => any::<Index>().prop_map(Self::RepeatSection),
            1 => any::<Index>().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut parts = sections(text);
        if lines.is_empty() || parts.is_empty() {
            return String::new();
        }
        match self {
            Self::Flip(at, by) => {
                let mut bytes = text.as_bytes().to_vec();
                let at = at.index(bytes.len());
                // Stays within printable ASCII, so that the line is still a line.
                if (b' '..=b'~').contains(&bytes[at]) {
                    bytes[at] = b' ' + (bytes[at] - b' ' + by) % 95;
                }
                return String::from_utf8(bytes).expect("ASCII stays ASCII");
            }
            Self::Remove(at) => {
                lines.remove(at.index(lines.len()));
            }
            Self::Repeat(at) => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at]);
            }
            Self::Swap(a, b) => {
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                lines.swap(a, b);
            }
            Self::Move(places) => {
                let [a, b, _] = places.map(|place| place.index(lines.len()));
                let moved: Vec<&str> = lines.drain(a.min(b)..a.max(b)).collect();
                let to = places[2].index(lines.len());
                lines.splice(to..to, moved);
            }
            Self::SwapBlocks(at) => {
                // Lines of a block begin alike: up to the writer's id, or the database's.
                let begins = |line: &str| line.get(..53).unwrap_or(line).to_owned();
                let mut blocks: Vec<&[&str]> = lines.chunk_by(|a, b| begins(a) == begins(b)).collect();
                let (at, count) = (at.index(blocks.len()), blocks.len());
                blocks.swap(at, (at + 1) % count);
                return blocks.concat().concat();
            }
            Self::RemoveSection(at) => {
                parts.remove(at.index(parts.len()));
                return parts.concat();
            }
            Self::RepeatSection(at) => {
                parts.push(parts[at.index(parts.len())].clone());
                return parts.concat();
            }
            Self::Cut(at) => {
                return text[..at.index(text.len())].to_owned();
            }
        }
        lines.concat()
    }
}

/// What each database's section is, up to the next.
fn sections(text: &str) -> Vec<String> {
    let mut sections: Vec<String> = vec![];
    for line in text.split_inclusive('\n') {
        match sections.last_mut() {
            Some(section) if !line.starts_with(r#"{"export":"#) => section.push_str(line),
            _ => sections.push(line.to_owned()),
        }
    }
    sections
}

/// Whether the same sections are there, in whatever order.
fn same(a: &str, b: &str) -> bool {
    let [mut a, mut b] = [sections(a), sections(b)];
    a.sort_unstable();
    b.sort_unstable();
    a == b
}

/// What was written: 0 begins another writer, 1 makes a checkpoint, more are so many records; by which writer.
type Steps = Vec<(u8, usize)>;

/// An export of one or two databases, their keys and the checkpoints that were kept.
struct System {
    text: String,
    keys: JwkSet,
    kept: String,
}

impl System {
    async fn with_steps(databases: &[Steps]) -> Self {
        let mut system = Self {
            text: String::new(),
            keys: JwkSet { keys: vec![] },
            kept: String::new(),
        };
        for (role, steps) in ["identity", "gateway"].into_iter().zip(databases) {
            let fixture = Fixture::new_sqlite().await;
            let mut writers = vec![fixture.recorder_of(role, fixture.pool()).await];
            for (step, writer) in steps {
                let writer = &writers[writer % writers.len()];
                match step {
                    0 => writers.push(fixture.recorder_of(role, fixture.pool()).await),
                    1 => writer.checkpoint().await.expect("a checkpoint"),
                    records => record_some(writer, usize::from(*records)).await,
                }
            }
            for writer in writers {
                writer.close().await.expect("closes");
            }
            system.text.push_str(&export_of(&fixture, role).await);
            system.keys.keys.extend(fixture.keys.keys.clone());
            system.kept.push_str(&fixture.lines().await);
        }
        system
    }

    fn sections(&self) -> Vec<String> {
        sections(&self.text)
    }

    fn example(&self, exports: &[String], kept: &str) -> Vec<Vec<String>> {
        by_the_examples(&self.keys, kept, exports, &[])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..ProptestConfig::with_cases(10) })]

    /// By the product and by the example.
    #[test]
    fn any_edit_or_two_of_any_trails_are_noticed(
        databases in prop::collection::vec(prop::collection::vec((0u8..5, 0usize..4), 0..8), 1..=2),
        edits in prop::collection::vec(prop::collection::vec(Edit::any(), 1..=2), 60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let system = runtime.block_on(System::with_steps(&databases));
        let mut edited = vec![system.text.clone()];
        edited.extend(edits.iter().map(|edits| {
            edits.iter().fold(system.text.clone(), |text, edit| edit.apply(&text))
        }));
        let theirs = system.example(&edited, &system.kept);
        for (index, (text, theirs)) in edited.iter().zip(theirs).enumerate() {
            let honest = same(text, &system.text);
            let edit = index.checked_sub(1).map(|index| &edits[index]);
            let fine = runtime.block_on(ok(text, &system.keys, &system.kept));
            prop_assert_eq!(fine, honest, "by the product: {:?}", edit);
            prop_assert_eq!(theirs.is_empty(), honest, "by the example: {:?} {:?}", edit, theirs);
        }
    }
}
