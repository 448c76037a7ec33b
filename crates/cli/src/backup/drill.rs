//! A restore that writes nothing but a temporary directory, and looks at everything that came out of it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use countersign_audit::verify::{self, Trail};
use countersign_crypto::{KeyProvider, SharedRandom};
use serde_json::json;
use zeroize::Zeroizing;

use super::file::Lines;
use super::fill::{Contents, Filled, fill};
use super::source::Source;
use super::verified;
use crate::key_provider::RootKey;
use crate::{args::Output, output};

/// Fills temporary databases, opens every sealed value, verifies every audit chain. 1 when something is wrong.
pub(super) async fn run(
    lines: Lines,
    (contents, created_at): (&Contents, &str),
    sources: &[Source],
    random: &SharedRandom,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let path = |role: &str, kind: &str| directory.path().join(format!("{role}.{kind}"));
    let targets: Vec<Source> = ["identity", "gateway"]
        .map(|role| Source::of_files(role, &path(role, "sqlite"), path(role, "key")))
        .into();
    let mut wrong = Vec::new();
    for filled in fill(lines, &targets, 0).await? {
        let role = filled.from.role.clone();
        let root = match contents.key_files.get(&role) {
            Some(file) => included(&path(&role, "key"), file)?,
            None => configured(sources, &role)?,
        };
        let provider = root.open(Arc::clone(random)).await?;
        look(&filled, &*provider, &mut wrong).await?;
        filled.pool.close().await;
    }
    let ok = wrong.is_empty();
    if ok {
        for source in sources {
            note_key_file(source, contents, created_at, random).await?;
        }
    }
    match output {
        Output::Json => output::json(&json!({"ok": ok, "rows": contents.rows, "wrong": wrong}))?,
        Output::Text => {
            wrong.iter().for_each(output::line);
            let verdict = if ok {
                "OK: every value opens and every audit chain verifies"
            } else {
                "NOT OK"
            };
            output::line(format!("{verdict}; {} rows", contents.rows));
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `countersign doctor` does not warn of a key file any more when a backup holds the very same key.
async fn note_key_file(
    source: &Source,
    contents: &Contents,
    created_at: &str,
    random: &SharedRandom,
) -> anyhow::Result<()> {
    let (Some(path), Some(file)) = (source.root.file(), contents.key_files.get(source.role)) else {
        return Ok(());
    };
    if std::fs::read(path).map(Zeroizing::new).ok().as_ref() != Some(file) {
        return Ok(());
    }
    let key_id = source.root.open(Arc::clone(random)).await?.key_id();
    verified::note(path, &key_id, created_at)
        .with_context(|| format!("cannot write beside {}", path.display()))
}

fn included(path: &Path, file: &Zeroizing<Vec<u8>>) -> anyhow::Result<RootKey> {
    super::restore::write_key_file(path, file)?;
    Ok(RootKey::File(path.to_owned()))
}

fn configured(sources: &[Source], role: &str) -> anyhow::Result<RootKey> {
    let source = sources.iter().find(|source| source.role == role);
    let source = source.with_context(|| format!("the configuration has no [{role}]"))?;
    Ok(source.previous.as_ref().unwrap_or(&source.root).clone())
}

async fn look(filled: &Filled, provider: &dyn KeyProvider, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let role = filled.from.role.as_str();
    let signing = if role == "gateway" {
        countersign_gateway::audit_keys(&filled.pool, provider)
            .await?
            .signing
    } else {
        for damage in countersign_identity::integrity(&filled.pool, provider).await? {
            wrong.push(format!(
                "{}.{} of row {}: {}",
                damage.table, damage.column, damage.id, damage.fault
            ));
        }
        countersign_identity::audit_keys(&filled.pool, provider)
            .await?
            .signing
    };
    let role = if role == "gateway" { "gateway" } else { "identity" };
    let trail = Trail {
        pool: &filled.pool,
        role,
        keys: &signing,
        checkpoints: "",
    };
    let report = verify::verify(&trail, &mut |_| ()).await?;
    if !report.ok {
        wrong.push(report.to_string());
    }
    Ok(())
}
