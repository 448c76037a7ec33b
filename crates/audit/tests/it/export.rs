//! A trail as a file: it verifies without the database, and whatever is changed in it is noticed.

use std::path::Path;

use countersign_audit::verify::{Export, Report, verify_export};
use countersign_audit::{AuditError, Exporter};
use countersign_crypto::JwkSet;
use proptest::prelude::*;

use crate::fixture::{Fixture, fixtures};

async fn export(fixture: &Fixture) -> String {
    let mut exporter = Exporter::begin(fixture.pool(), "identity").await.expect("begins");
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
async fn several_databases_share_a_file() {
    let [fixture, ..] = &fixtures().await[..] else {
        panic!("SQLite is always there")
    };
    fixture.three_writers().await;
    let section = export(fixture).await;
    let both = section.repeat(2);
    let reports = verify(&both, &fixture.keys, "").await.expect("an export");
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|report| report.ok), "{reports:?}");
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
            1 => any::<Index>().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.is_empty() {
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
            Self::Cut(at) => {
                return text[..at.index(text.len())].to_owned();
            }
        }
        lines.concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_edit_or_two_are_noticed(edits in prop::collection::vec(Edit::any(), 1..=2)) {
        let (text, keys, lines) = honest();
        let mut edited = text.clone();
        for edit in &edits {
            edited = edit.apply(&edited);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let fine = runtime.block_on(ok(&edited, keys, lines));
        prop_assert_eq!(fine, edited == *text, "{:?}", edits);
    }
}

/// An export with its keys and checkpoint file, made once.
fn honest() -> &'static (String, JwkSet, String) {
    static HONEST: std::sync::LazyLock<(String, JwkSet, String)> = std::sync::LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let fixture = Fixture::new_sqlite().await;
            fixture.three_writers().await;
            (
                export(&fixture).await,
                fixture.keys.clone(),
                fixture.lines().await,
            )
        })
    });
    &HONEST
}
