//! Every test that `docs/compatibility-alb.md` names is a test that exists.

use std::{fs, path::Path};

#[test]
fn every_row_names_a_test_that_exists() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let page = fs::read_to_string(root.join("docs/compatibility-alb.md")).expect("the page is readable");
    let mut rows = 0;
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        let last = line
            .trim_end_matches([' ', '|'])
            .rsplit('|')
            .next()
            .expect("a cell")
            .trim();
        if last == "test" {
            continue;
        }
        let (file, function) = last
            .trim_matches('`')
            .split_once("::")
            .unwrap_or_else(|| panic!("no test in the last cell of {line}"));
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let position = source
            .find(&format!("fn {function}("))
            .unwrap_or_else(|| panic!("no function {function} in {file}"));
        let head = &source[source[..position].rfind("\n\n").unwrap_or(0)..position];
        assert!(
            head.contains("test]") || head.contains("tokio::test"),
            "{function} in {file} is not a test"
        );
        assert!(!head.contains("ignore"), "{function} in {file} is ignored");
        rows += 1;
    }
    assert!(rows >= 60, "{rows} rows are read");
}

#[test]
fn every_reason_of_the_gateway_is_documented() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("readable");
    let (source, page) = (read("crates/gateway/src/reason.rs"), read("docs/gateway.md"));
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""))
        .map(|(_, name)| name.trim_end_matches("\","))
        .collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not in docs/gateway.md"
        );
    }
}
