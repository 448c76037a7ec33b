//! `countersign restore`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use countersign_crypto::{Clock as _, SharedRandom, SystemClock, SystemRandom};
use countersign_identity::{Distrusted, Restored};
use serde_json::json;
use zeroize::Zeroizing;

use super::file::Reader;
use super::fill::{Contents, fill, read_all};
use super::source::Source;
use super::{drill, key};
use crate::{args::Output, config, key_provider::RootKey, output};

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration whose databases are filled. They must be empty.
    #[arg(long, value_name = "FILE", required_unless_present = "drill")]
    config: Option<PathBuf>,
    /// The passphrase that it is sealed under.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Write nothing: fill a temporary directory, open every sealed value, verify every audit chain.
    #[arg(long)]
    drill: bool,
    /// What was revoked, stopped or forgotten after the backup lives again. Everything that was handed out is void:
    /// sessions, workload access tokens, temporary credentials; access keys are inactive but the configured
    /// `initial_admin`; every grant is refreshed before it gives a token.
    #[arg(long, conflicts_with = "drill")]
    accept_resurrection: bool,
}

/// Restores, or tries to.
pub(crate) async fn run(args: &RestoreArgs, output: Output) -> anyhow::Result<ExitCode> {
    let random: SharedRandom = Arc::new(SystemRandom);
    let sources = match &args.config {
        Some(path) => Source::of_config(path)?,
        None => Vec::new(),
    };
    let reader = Reader::open(&args.file)?;
    let roots: Vec<&RootKey> = sources
        .iter()
        .flat_map(|source| [Some(&source.root), source.previous.as_ref()])
        .flatten()
        .collect();
    let passphrase = args.passphrase_file.as_deref();
    let key = key::find(&reader.header.key, passphrase, &roots, &random).await?;
    let contents = read_all(reader.unlock(key.clone()))?;
    let again = || anyhow::Ok(Reader::open(&args.file)?.unlock(key.clone()));
    if args.drill {
        return drill::run(again()?, &contents, &sources, &random, output).await;
    }
    if let Some(database) = contents.databases.iter().find(|database| database.dev) {
        bail!(
            "the {} database of the backup was made by `countersign dev`; what it trusts must not reach production",
            database.role
        );
    }
    ensure!(
        args.accept_resurrection,
        "what was revoked, stopped or forgotten after the backup would live again: --accept-resurrection takes that, \
         and makes void what was handed out"
    );
    for source in &sources {
        place_key_file(source, &contents)?;
    }
    let filled = fill(again()?, &sources, 1).await?;
    let mut distrusted = Distrusted::default();
    let mut sessions = 0;
    for database in &filled {
        let source = sources.iter().find(|source| source.role == database.from.role);
        let source = source.context("a database that was filled is configured")?;
        // Older schemas are brought to this program's before anything is changed by its statements.
        let now = SystemClock.now().as_micros();
        database.pool.close().await;
        if source.role == "gateway" {
            countersign_gateway::migrate(&source.database, now).await?;
            let pool = countersign_db::Pool::connect(&source.database.database(source.role)?).await?;
            sessions = countersign_gateway::end_sessions(&pool).await?;
            pool.close().await;
        } else {
            countersign_identity::migrate(&source.database, now).await?;
            distrusted = distrust(source, args.config.as_deref(), &random).await?;
        }
    }
    show(&contents, &distrusted, sessions, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a root key file of the backup where the configuration has it.
fn place_key_file(source: &Source, contents: &Contents) -> anyhow::Result<()> {
    let (Some(path), Some(file)) = (source.key_file(), contents.key_files.get(source.role)) else {
        return Ok(());
    };
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(present) if *present == **file => Ok(()),
        Ok(_) => bail!("{} is another key file than that of the backup", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => write_key_file(path, file),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a key file that only its owner reads.
pub(super) fn write_key_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(())
}

async fn distrust(
    source: &Source,
    config: Option<&Path>,
    random: &SharedRandom,
) -> anyhow::Result<Distrusted> {
    let provider = source.root.open_or_create(Arc::clone(random)).await?;
    let previous = match &source.previous {
        None => None,
        Some(previous) => Some(previous.open(Arc::clone(random)).await?),
    };
    let pool = countersign_db::Pool::connect(&source.database.database(source.role)?).await?;
    let restored = Restored {
        pool: &pool,
        provider: &*provider,
        previous: previous.as_deref(),
        random: &**random,
        clock: &SystemClock,
    };
    let distrusted = restored.distrust(&vouched_for(config)?).await;
    pool.close().await;
    distrusted.context("the keys of the backup do not open with the configured root key")
}

/// Access keys that the configuration itself names: whoever writes it vouches for them.
fn vouched_for(config: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(identity) = config
        .map(config::load)
        .transpose()?
        .and_then(|config| config.identity)
    else {
        return Ok(Vec::new());
    };
    let others = identity
        .other_accounts
        .iter()
        .map(|account| &account.initial_admin);
    let admins = std::iter::once(&identity.initial_admin).chain(others).flatten();
    Ok(admins.map(|admin| admin.access_key_id.clone()).collect())
}

fn show(contents: &Contents, distrusted: &Distrusted, sessions: u64, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::json(&json!({
            "rows": contents.rows,
            "grantsToRefresh": distrusted.grants,
            "accessKeysInactive": distrusted.access_keys,
            "sessionsEnded": sessions,
        }));
    }
    for database in &contents.databases {
        output::line(format!(
            "{}: database {}, restore epoch {}",
            database.role,
            database.id,
            database.restore_epoch + 1
        ));
    }
    output::line(format!(
        "{} rows; {} grants are refreshed before they give a token; {} access keys are inactive; {sessions} sessions ended",
        contents.rows, distrusted.grants, distrusted.access_keys
    ));
    Ok(())
}
