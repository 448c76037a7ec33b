//! `countersign restore`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use countersign_crypto::{Clock as _, SharedRandom, SystemClock, SystemRandom};
use countersign_identity::{Distrusted, Replayed, Restored};
use serde_json::json;
use zeroize::Zeroizing;

use super::file::Reader;
use super::fill::{Contents, fill, read_all};
use super::source::Source;
use super::{drill, key};
use crate::{args::Output, config, key_provider::RootKey, output};

/// How long after a hand-over nobody doubts that this is where the databases go on.
const HAND_OVER_LIMIT: Duration = Duration::from_hours(24);

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
    /// The audit log as it was in the end (`countersign audit export`): what was revoked, stopped, forgotten or deleted
    /// after the backup is so in the restored databases, too, and --accept-resurrection is not needed.
    #[arg(long, value_name = "FILE", conflicts_with = "drill")]
    audit_export: Option<PathBuf>,
    /// For any backup that was not made with `--hand-over`, within 24 hours: what was revoked, stopped or forgotten
    /// after it lives again. Everything that was handed out is void:
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
    let created_at = reader.header.created_at.clone();
    let contents = read_all(reader.unlock(key.clone()))?;
    let again = || anyhow::Ok(Reader::open(&args.file)?.unlock(key.clone()));
    if args.drill {
        return drill::run(again()?, (&contents, &created_at), &sources, &random, output).await;
    }
    let continued = admitted(args, &contents, &created_at)?;
    for source in &sources {
        place_key_file(source, &contents)?;
    }
    let filled = fill(again()?, &sources, 1).await?;
    let mut distrusted = Distrusted::default();
    let mut replayed = Replayed::default();
    let mut sessions = 0;
    for database in &filled {
        let source = sources.iter().find(|source| source.role == database.from.role);
        let source = source.context("a database that was filled is configured")?;
        // Older schemas are brought to this program's before anything is changed by its statements.
        let now = SystemClock.now().as_micros();
        database.pool.close().await;
        if source.role == "gateway" {
            countersign_gateway::migrate(&source.database, now).await?;
            if continued {
                continue;
            }
            let pool = countersign_db::Pool::connect(&source.database.database(source.role)?).await?;
            sessions = countersign_gateway::end_sessions(&pool).await?;
            pool.close().await;
        } else {
            countersign_identity::migrate(&source.database, now).await?;
            let trust = match &args.audit_export {
                _ if continued => Trust::Everything,
                None => Trust::Nothing {
                    vouched_for: vouched_for(args.config.as_deref())?,
                },
                Some(path) => Trust::TheLog {
                    path,
                    otherwise: args.accept_resurrection,
                },
            };
            (distrusted, replayed) = settle(source, &trust, &random).await?;
        }
    }
    end(&contents, &sources).await?;
    if continued && output == Output::Text {
        output::line("handed over: everything that was handed out stays good");
    }
    show(&contents, &distrusted, &replayed, sessions, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the backup continues where its servers handed over; an error if it may not be restored.
fn admitted(args: &RestoreArgs, contents: &Contents, created_at: &str) -> anyhow::Result<bool> {
    if let Some(database) = contents.databases.iter().find(|database| database.dev) {
        bail!(
            "the {} database of the backup was made by `countersign dev`; what it trusts must not reach production",
            database.role
        );
    }
    // One that says so and is not continued at once may have been restored and gone on before.
    let continued = !args.accept_resurrection
        && contents.databases.iter().all(|database| database.handed_over)
        && is_recent(created_at);
    ensure!(
        args.accept_resurrection || args.audit_export.is_some() || continued,
        "what was revoked, stopped or forgotten after the backup would live again: --audit-export FILE with the newer \
         audit log prevents it, --accept-resurrection takes it, and makes void what was handed out"
    );
    Ok(continued)
}

/// Lets servers start on what was restored. On all of it, or nothing: a gateway's sessions are no better than the grants
/// that they stand for.
async fn end(contents: &Contents, sources: &[Source]) -> anyhow::Result<()> {
    let filled = |source: &&Source| {
        let mut databases = contents.databases.iter();
        databases.any(|database| database.role == source.role)
    };
    for source in sources.iter().filter(filled) {
        let pool = countersign_db::Pool::connect(&source.database.database(source.role)?).await?;
        countersign_db::restored(&pool).await?;
        pool.close().await;
    }
    Ok(())
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

/// Whether a backup was made within [`HAND_OVER_LIMIT`].
fn is_recent(created_at: &str) -> bool {
    let now = SystemClock.now();
    // Times of one form, to the second, have the order of their texts.
    let seconds = |time: &str| time.get(..19).map(str::to_owned);
    let (first, last) = (now.minus(HAND_OVER_LIMIT).to_string(), now.to_string());
    (seconds(&first)..=seconds(&last)).contains(&seconds(created_at))
}

/// What of a restored database is believed.
enum Trust<'a> {
    /// It was handed over.
    Everything,
    /// What the newer audit log leaves of it; with `otherwise` also where the log cannot be followed.
    TheLog { path: &'a Path, otherwise: bool },
    /// It is older than the world; only these access keys go on.
    Nothing { vouched_for: Vec<String> },
}

/// Brings the keys under the configured root key, and makes void what is not believed.
async fn settle(
    source: &Source,
    trust: &Trust<'_>,
    random: &SharedRandom,
) -> anyhow::Result<(Distrusted, Replayed)> {
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
    let settled = settle_by(&restored, trust).await;
    pool.close().await;
    settled
}

async fn settle_by(restored: &Restored<'_>, trust: &Trust<'_>) -> anyhow::Result<(Distrusted, Replayed)> {
    let foreign = "the keys of the backup do not open with the configured root key";
    Ok(match trust {
        Trust::Everything => {
            restored.carry_on().await.context(foreign)?;
            (Distrusted::default(), Replayed::default())
        }
        Trust::Nothing { vouched_for } => {
            let distrusted = restored.distrust(vouched_for).await.context(foreign)?;
            (distrusted, Replayed::default())
        }
        Trust::TheLog { path, otherwise } => {
            restored.rewrap().await.context(foreign)?;
            let replayed = restored.replay(path).await?;
            restored.begin_anew().await.context(foreign)?;
            ensure!(
                *otherwise || replayed.unresolved.is_empty(),
                "these records name people whom the backup does not know, so that what they say cannot be done \
                 again: {}. Restore into an empty database with --accept-resurrection too, and do it by hand",
                replayed.unresolved.join(", ")
            );
            (Distrusted::default(), replayed)
        }
    })
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

fn show(
    contents: &Contents,
    distrusted: &Distrusted,
    replayed: &Replayed,
    sessions: u64,
    output: Output,
) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::json(&json!({
            "rows": contents.rows,
            "grantsToRefresh": distrusted.grants,
            "accessKeysInactive": distrusted.access_keys,
            "sessionsEnded": sessions,
            "recordsReplayed": replayed.records,
            "recordsApplied": replayed.applied,
            "recordsUnresolved": replayed.unresolved,
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
    if replayed.records > 0 {
        output::line(format!(
            "{} newer records of the audit log, {} of them done again",
            replayed.records, replayed.applied
        ));
        for id in &replayed.unresolved {
            output::line(format!(
                "record {id} is about somebody whom the backup does not know: do it again by hand"
            ));
        }
    }
    output::line(format!(
        "{} rows; {} grants are refreshed before they give a token; {} access keys are inactive; {sessions} sessions ended",
        contents.rows, distrusted.grants, distrusted.access_keys
    ));
    Ok(())
}
