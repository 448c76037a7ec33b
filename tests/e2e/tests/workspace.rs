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
    ("audit", &["crypto", "db"]),
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
