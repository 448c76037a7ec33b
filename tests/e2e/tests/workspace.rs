//! The rules of the workspace that no compiler checks: which crate may use which, and what may not be in the tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The table of the design, chapter 3: what a crate may use of ours outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &["outbound"]),
    ("crypto", &[]),
    ("keys", &["crypto"]),
    ("db", &[]),
    ("audit", &["crypto", "db", "outbound"]),
    ("outbound", &[]),
    ("web", &["crypto", "outbound"]),
    ("oauth", &["crypto", "outbound"]),
    (
        "identity",
        &["api", "audit", "crypto", "db", "oauth", "outbound", "web"],
    ),
    ("gateway", &["audit", "crypto", "db", "oauth", "outbound", "web"]),
    ("binding", &["api", "crypto", "outbound", "web"]),
    ("agent", &["api", "crypto", "outbound", "web"]),
    ("playground", &["crypto", "web"]),
    (
        "cli",
        &[
            "agent",
            "api",
            "audit",
            "binding",
            "crypto",
            "db",
            "gateway",
            "identity",
            "keys",
            "oauth",
            "outbound",
            "playground",
            "web",
        ],
    ),
    ("e2e", &["api"]),
    ("moto", &[]),
    ("rust-agent", &["api", "outbound"]),
];

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

fn metadata() -> cargo_metadata::Metadata {
    MetadataCommand::new()
        .manifest_path(MANIFEST)
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

/// `countersign-crypto` is `crypto` in the table.
fn short(name: &str) -> &str {
    name.strip_prefix("countersign-").unwrap_or(name)
}

#[test]
fn no_crate_points_against_the_arrows() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| short(package.name.as_str()))
        .collect();
    let table: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    assert_eq!(
        members,
        table.keys().copied().collect::<BTreeSet<_>>(),
        "each crate of the workspace has a row in the table of the design, and no row is without a crate"
    );
    for package in metadata.workspace_packages() {
        let name = short(package.name.as_str());
        let used: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| short(&dependency.name))
            .filter(|dependency| members.contains(dependency))
            .collect();
        let forbidden: Vec<_> = used.difference(&table[name]).collect();
        assert!(
            forbidden.is_empty(),
            "{name} uses {forbidden:?}, which the design does not allow it"
        );
    }
}

#[test]
fn playground_never_shares_the_oauth_client_even_in_tests() {
    let metadata = metadata();
    let playground = metadata
        .workspace_packages()
        .into_iter()
        .find(|package| short(package.name.as_str()) == "playground")
        .expect("the playground is a member");
    assert!(
        playground
            .dependencies
            .iter()
            .all(|dependency| short(&dependency.name) != "oauth"),
        "client and server mistakes must not cancel out"
    );
}

#[test]
fn one_crypto_backend_is_compiled() {
    // The lock file also names what features that nobody turns on would need; the tree is what is compiled.
    for banned in ["ring", "openssl", "openssl-sys", "native-tls"] {
        let tree = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--workspace",
                "--all-features",
                "--manifest-path",
                MANIFEST,
                "--invert",
                banned,
            ])
            .output()
            .expect("cargo tree");
        assert!(
            tree.stdout.is_empty(),
            "{banned} is compiled (design D1):\n{}",
            String::from_utf8_lossy(&tree.stdout)
        );
        let said = String::from_utf8_lossy(&tree.stderr);
        assert!(
            said.contains("nothing to print") || said.contains("did not match any packages"),
            "{said}"
        );
    }
}

/// Every name that a record's `action` can have stands in the table of `docs/audit.md`.
#[test]
fn every_audit_action_is_documented() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let documented = std::fs::read_to_string(format!("{root}/docs/audit.md")).expect("reads");
    // What comes before the name, in code that makes records, and what an operation of the API begins with.
    let before = [
        "Entry::new(\"",
        "const ACTION: &str = \"",
        "Visit::begin(&state, \"",
        "Visit::begin(state, \"",
        "session_entry(provenance, \"",
        ".entry(\"",
    ];
    let mut actions = BTreeSet::new();
    for crate_ in ["identity", "gateway", "audit"] {
        for path in sources(&format!("{root}/crates/{crate_}/src")) {
            let text = std::fs::read_to_string(&path).expect("reads");
            // Tests make up actions of their own.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for mark in before {
                for rest in text.split(mark).skip(1) {
                    actions.extend(rest.split('"').next().map(str::to_owned));
                }
            }
        }
    }
    for path in sources(&format!("{root}/crates/api/src")) {
        let text = std::fs::read_to_string(&path).expect("reads");
        for operation in text.split("operation! {").skip(1) {
            let declared = operation
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with("///"));
            let name = declared
                .and_then(|line| line.split(':').next())
                .unwrap_or_default();
            actions.insert(name.to_owned());
        }
    }
    actions.retain(|action| action.starts_with(|first: char| first.is_ascii_uppercase()));
    assert!(actions.len() > 90, "they were found: {actions:?}");
    let missing: Vec<&String> = actions
        .iter()
        .filter(|action| !documented.contains(&format!("`{action}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/audit.md: {missing:?}");
}

/// The table of clients and operations in `docs/compatibility.md` has every operation that is offered, and says of two
/// SDKs what their programs call.
#[test]
fn the_table_of_clients_says_what_they_call() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("reads");
    let (page, javascript) = (read("docs/compatibility.md"), read("tests/node/aws_sdk.mjs"));
    // Method names are those of the operations, with underscores.
    let rust = read("tests/aws-sdk/src/main.rs").replace('_', "");
    // That every operation of the models is among its steps is the contract test's own assertion.
    let contract = read("tests/python/contract.py");
    let steps = contract.split("yield \"").skip(1);
    let offered: BTreeSet<&str> = steps
        .filter_map(|step| step.split('"').next())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect();
    let table = page.split_once("| operation | boto3 |").expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut listed = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let &["", operation, _, _, of_javascript, of_rust, _, _, ""] = cells.as_slice() else {
            panic!("{row}");
        };
        let operation = operation.trim_matches('`');
        listed.insert(operation);
        let in_javascript = javascript.contains(&format!("\"{operation}\""))
            || javascript.contains(&format!("paginate{operation}"));
        let in_rust = rust.contains(&format!(".{}()", operation.to_ascii_lowercase()));
        assert_eq!(of_javascript != "–", in_javascript, "{row}");
        assert_eq!(of_rust != "–", in_rust, "{row}");
    }
    assert_eq!(listed, offered);
}

/// Rust files in a directory and below it.
fn sources(directory: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![std::path::PathBuf::from(directory)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("reads") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}
