//! `countersign audit export`: whole trails as a file that verifies where neither the database nor a secret is.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use countersign_audit::{Counted, Exporter};
use countersign_crypto::JwkSet;

use super::{command::ExportArgs, store::Store};
use crate::output;

pub(super) async fn run(stores: &[Store], args: &ExportArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.public_keys {
        let keys = stores.iter().flat_map(|store| store.keys.signing.keys.clone());
        let keys = serde_json::to_string_pretty(&JwkSet { keys: keys.collect() })?;
        std::fs::write(path, keys + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out: Box<dyn std::io::Write + Send> = match &args.file {
        Some(path) => Box::new(BufWriter::new(create(path)?)),
        None => Box::new(std::io::stdout()),
    };
    let mut records = 0;
    for store in stores {
        let mut exporter = Exporter::begin(&store.pool, store.role).await?;
        while let Some(lines) = exporter
            .next_lines()
            .await
            .with_context(|| format!("cannot export the {} chain", store.role))?
        {
            out.write_all(lines.as_bytes())
                .context("cannot write the export")?;
        }
        records += exporter.records_written();
    }
    out.flush().context("cannot write the export")?;
    let databases = u64::try_from(stores.len()).unwrap_or(u64::MAX);
    let (records, databases) = (Counted(records, "record"), Counted(databases, "database"));
    output::note(format!("{records} of {databases}"));
    Ok(())
}

/// Readable by its owner only: pseudonyms and network addresses are in it. Nothing is overwritten.
fn create(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists already; name another file", path.display())
        }
        opened => opened.with_context(|| format!("cannot write {}", path.display())),
    }
}
