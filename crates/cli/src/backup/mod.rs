//! `countersign backup` and `countersign restore`: the databases of an installation in one encrypted file, and back into
//! either engine.

mod drill;
mod file;
mod fill;
mod key;
mod record;
mod restore;
mod source;
mod verified;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use countersign_crypto::{Clock as _, SharedRandom, SystemClock, SystemRandom};
use countersign_db::{
    Pool, Value, database_identity, dump_tables, ensure_unused, hand_over, is_handed_over, is_restoring,
    schema_versions,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{args::Output, output};
use file::{Database, Header, Line, Table, Writer};
pub(crate) use restore::{RestoreArgs, run as restore};
use source::Source;
pub(crate) use verified::is_noted as backup_is_verified;

/// Rows read at a time.
const PAGE: i64 = 500;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct BackupArgs {
    /// The file to write. It must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration whose databases are backed up.
    #[arg(long, value_name = "FILE", required_unless_present = "data")]
    config: Option<PathBuf>,
    /// The data directory of `countersign dev`.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// Seal it under the passphrase in this file, of 12 characters at least.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "root_key",
        conflicts_with = "root_key"
    )]
    passphrase_file: Option<PathBuf>,
    /// Seal it under the identity service's root key instead, as one of AWS KMS.
    #[arg(long)]
    root_key: bool,
    /// Put root key files into it. Without them it is of use only together with these files.
    #[arg(long, conflicts_with = "root_key")]
    include_keys: bool,
    /// Hand the databases over to the place where the backup is restored: no server starts on them again, and the
    /// restore makes nothing void. End the servers first.
    #[arg(long, conflicts_with = "data")]
    hand_over: bool,
    /// Make it although it cannot be put on the audit trail: where the database is damaged or may only be read, or its
    /// root key is lost.
    #[arg(long)]
    unrecorded: bool,
}

/// Writes the backup. Servers may run: each database is read as of one moment.
pub(crate) async fn run(args: &BackupArgs, output: Output) -> anyhow::Result<()> {
    let random: SharedRandom = Arc::new(SystemRandom);
    let sources = match (&args.config, &args.data) {
        (Some(path), _) => Source::of_config(path)?,
        (None, Some(path)) => Source::of_dev(path)?,
        (None, None) => anyhow::bail!("name what to back up with --config FILE or --data DIR"),
    };
    let (key_header, key) = if let Some(path) = &args.passphrase_file {
        key::of_passphrase(&key::passphrase(path)?, &random)?
    } else {
        let identity = sources.iter().find(|source| source.role == "identity");
        let root = &identity.context("--root-key needs [identity]")?.root;
        key::of_root_key(root, &random).await?
    };
    let header = Header::new(SystemClock.now().to_string(), key_header);
    let mut writer = Writer::create(&args.file, &header, key, &random)?;
    if args.include_keys {
        for source in &sources {
            include_key(&mut writer, source)?;
        }
    }
    for source in &sources {
        before(source, args)
            .await
            .with_context(|| format!("the {} database", source.role))?;
    }
    if !args.unrecorded {
        // Before anything is read; after a hand-over nothing is written any more.
        for source in &sources {
            let details = [("keyFiles", args.include_keys), ("handOver", args.hand_over)];
            record::record(source, &details, &random).await.with_context(|| {
                format!(
                    "the backup cannot be put on the audit trail of the {} database; --unrecorded makes it all the same",
                    source.role
                )
            })?;
        }
    }
    if args.hand_over {
        for source in &sources {
            hand_over(source.database.database(source.role)?)
                .await
                .with_context(|| format!("the {} database", source.role))?;
        }
    }
    let mut rows = 0;
    for source in &sources {
        let written = database(&mut writer, source).await;
        rows += written.with_context(|| format!("the {} database", source.role))?;
    }
    let bytes = writer.finish()?;
    let file = args.file.display().to_string();
    match output {
        Output::Json => output::json(&json!({"file": file, "bytes": bytes, "rows": rows})),
        Output::Text => {
            output::line(format!("{file}: {rows} rows, {bytes} bytes"));
            if !args.include_keys && sources.iter().any(|source| source.key_file().is_some()) {
                output::note("The root key files are not in it: keep them as well, in another place.");
            }
            if args.hand_over {
                output::note(
                    "No server starts on these databases again: restore this file, once, within 24 hours.",
                );
            }
            output::note("Try it: countersign restore --drill");
            Ok(())
        }
    }
}

fn include_key(writer: &mut Writer, source: &Source) -> anyhow::Result<()> {
    let path = source.key_file();
    let path = path.with_context(|| format!("the root key of {} is not a file", source.role))?;
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let content = Zeroizing::new(content);
    writer.put(&Line::KeyFile {
        role: source.role.to_owned(),
        content: Zeroizing::new(hex::encode(&*content)),
    })
}

/// A hand-over that comes too early leaves no record of a backup that was not made; and what was handed over lives
/// elsewhere, so that no later file of it may pass for the hand-over.
async fn before(source: &Source, args: &BackupArgs) -> anyhow::Result<()> {
    let database = source.database.database(source.role)?;
    let pool = Pool::connect(&database.clone().read_only()).await?;
    let restoring = is_restoring(&pool).await;
    let handed_over = is_handed_over(&pool).await;
    pool.close().await;
    anyhow::ensure!(!restoring?, "the restore into it did not end");
    if args.hand_over {
        return Ok(ensure_unused(database).await?);
    }
    anyhow::ensure!(
        !handed_over?,
        "it was handed over and goes on elsewhere; where the file of the hand-over is lost, make it again by --hand-over"
    );
    Ok(())
}

/// All tables of a database, as of one moment.
async fn database(writer: &mut Writer, source: &Source) -> anyhow::Result<u64> {
    let pool = Pool::connect(&source.database.database(source.role)?.read_only()).await?;
    let identity = database_identity(&pool).await?;
    let mut snapshot = pool.snapshot().await?;
    writer.put(&Line::Database(Database {
        role: source.role.to_owned(),
        id: identity.id,
        restore_epoch: identity.restore_epoch,
        dev: identity.dev,
        handed_over: is_handed_over(&pool).await?,
        schema: schema_versions(&mut snapshot).await?,
    }))?;
    let mut count = 0;
    for table in dump_tables(&mut snapshot).await? {
        let columns = table.columns.iter();
        writer.put(&Line::Table(Table {
            name: table.name.clone(),
            columns: columns
                .map(|(name, kind)| (name.clone(), (*kind).into()))
                .collect(),
        }))?;
        let mut after = None;
        loop {
            let page = table.page(&mut snapshot, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(table.key_of(last));
            count += page.len() as u64;
            for row in page {
                writer.put(&Line::Row(row.into_iter().map(shown).collect()))?;
            }
        }
    }
    drop(snapshot);
    pool.close().await;
    Ok(count)
}

/// A value as JSON; bytes in hexadecimal under `x`.
fn shown(value: Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.into(),
        Value::Int(int) => int.into(),
        Value::Bytes(bytes) => json!({"x": hex::encode(bytes)}),
        Value::NullText | Value::NullInt | Value::NullBytes => serde_json::Value::Null,
    }
}
