//! Every row of the attack matrix that claims to be covered names a test that exists.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As in the matrix: `A1`, `C5b`.
    id: String,
    /// The crate that owns the defence.
    owner: String,
    /// What happens, in a few words.
    scenario: String,
    /// `covered` or `open`.
    state: State,
    /// The path of the test, `crates/x/tests/it/y.rs::a01_name`; absent while open.
    test: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum State {
    Covered,
    Open,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn matrix() -> Matrix {
    let text = fs::read_to_string(root().join("tests/attack-matrix.toml")).expect("the matrix is readable");
    toml::from_str(&text).expect("the matrix parses")
}

/// `C5b` is the prefix `c05b_` of a test function.
fn prefix(id: &str) -> String {
    let letter = id[..1].to_lowercase();
    let digits: String = id[1..].chars().take_while(char::is_ascii_digit).collect();
    let rest = &id[1 + digits.len()..];
    format!("{letter}{digits:0>2}{rest}_")
}

#[test]
fn covered_rows_name_a_test_that_exists() {
    for row in matrix().row {
        match (row.state == State::Covered, row.test) {
            (true, Some(test)) => {
                let (file, function) = test.split_once("::").expect("path::function");
                assert!(
                    function.starts_with(&prefix(&row.id)),
                    "{}: {function} is not named for its row",
                    row.id
                );
                let source = fs::read_to_string(root().join(file))
                    .unwrap_or_else(|error| panic!("{}: {file}: {error}", row.id));
                let position = source
                    .find(&format!("fn {function}("))
                    .unwrap_or_else(|| panic!("{}: no function {function} in {file}", row.id));
                let head = &source[source[..position].rfind("\n\n").unwrap_or(0)..position];
                assert!(head.contains("test"), "{}: {function} is not a test", row.id);
                assert!(!head.contains("ignore"), "{}: {function} is ignored", row.id);
            }
            (true, None) => panic!(
                "{} ({}) claims to be covered and names no test",
                row.id, row.owner
            ),
            (false, Some(test)) => panic!("{} is open but names {test}", row.id),
            (false, None) => {}
        }
        assert!(!row.scenario.is_empty(), "{}: the scenario is told", row.id);
    }
}

#[test]
fn rows_are_unique() {
    let mut seen = BTreeSet::new();
    for row in matrix().row {
        assert!(seen.insert(row.id.clone()), "{} stands twice", row.id);
    }
}
