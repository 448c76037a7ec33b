//! A restore that writes nothing but a temporary directory, and looks at everything that came out of it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use countersign_audit::verify::{self, Trail};
use countersign_crypto::{JwkSet, KeyProvider, SharedRandom};
use countersign_db::Pool;
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
    let (mut wrong, mut tried) = (Vec::new(), Vec::new());
    for filled in fill(lines, &targets, 0).await? {
        let role = filled.from.role.clone();
        let included = match contents.key_files.get(&role) {
            Some(file) => Some(included(&path(&role, "key"), file)?),
            None => None,
        };
        let source = sources.iter().find(|source| source.role == role);
        let roots = candidates(source, included.as_ref());
        let opened = open(&filled.pool, &role, &roots, random).await?;
        if included.is_some_and(|included| included.file() == opened.root.file()) {
            tried.push(role);
        }
        look(&filled, &opened, &mut wrong).await?;
        filled.pool.close().await;
    }
    let ok = wrong.is_empty();
    if ok {
        // One that was not needed has opened nothing yet.
        for source in sources
            .iter()
            .filter(|source| tried.iter().any(|role| role == source.role))
        {
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

/// What may open a backup: its own key file, the configured root key, or, where the backup is of before no server was
/// started since that was replaced, the one of before.
fn candidates(source: Option<&Source>, included: Option<&RootKey>) -> Vec<RootKey> {
    let Some(source) = source else {
        return included.into_iter().cloned().collect();
    };
    [included, Some(&source.root), source.previous.as_ref()]
        .into_iter()
        .flatten()
        .map(|root| source.root.with_customer_keys_for(root))
        .collect()
}

/// What has opened the keys of a database.
struct Opened {
    root: RootKey,
    provider: Arc<dyn KeyProvider>,
    /// What the trail is verified with.
    signing: JwkSet,
}

/// The first root key that the keys of the audit trail are under.
async fn open(pool: &Pool, role: &str, roots: &[RootKey], random: &SharedRandom) -> anyhow::Result<Opened> {
    let mut failed = None;
    for root in roots {
        match open_with(pool, role, root, random).await {
            Ok(opened) => return Ok(opened),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.with_context(|| format!("the configuration has no [{role}]"))?)
}

async fn open_with(pool: &Pool, role: &str, root: &RootKey, random: &SharedRandom) -> anyhow::Result<Opened> {
    let provider = root.open(Arc::clone(random)).await?;
    let signing = if role == "gateway" {
        countersign_gateway::audit_keys(pool, &*provider).await?.signing
    } else {
        countersign_identity::audit_keys(pool, &*provider).await?.signing
    };
    Ok(Opened {
        root: root.clone(),
        provider,
        signing,
    })
}

async fn look(filled: &Filled, opened: &Opened, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let role = filled.from.role.as_str();
    if role != "gateway" {
        for damage in countersign_identity::integrity(&filled.pool, &*opened.provider).await? {
            wrong.push(format!(
                "{}.{} of row {}: {}",
                damage.table, damage.column, damage.id, damage.fault
            ));
        }
    }
    let role = if role == "gateway" { "gateway" } else { "identity" };
    let trail = Trail {
        pool: &filled.pool,
        role,
        keys: &opened.signing,
        checkpoints: "",
        restored: 0,
    };
    let report = verify::verify(&trail, &mut |_| ()).await?;
    if !report.ok {
        wrong.push(report.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use countersign_crypto::{SystemClock, SystemRandom};
    use countersign_identity::{Identity, Parts};

    use super::super::file::Reader;
    use super::super::{BackupArgs, fill::read_all, key};
    use super::*;
    use crate::config;

    /// An identity service and its configuration.
    struct Place(tempfile::TempDir);

    impl Place {
        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        fn configure(&self, keys: &str) -> std::path::PathBuf {
            let path = self.0.path().join("config.toml");
            let config = format!(
                r#"
[keys]
{keys}
[identity]
account = "000000000000"
listen_api = "localhost:1"
listen_front_channel = "localhost:2"
api_hosts = ["localhost:1"]
front_channel_url = "http://localhost:2"
[identity.database]
url = "sqlite:{}"
"#,
                self.path("identity.sqlite")
            );
            std::fs::write(&path, config).unwrap();
            path
        }

        /// Starts and ends the service, which makes its keys or wraps them anew.
        async fn start(&self, config: &Path) {
            let config = config::load(config).unwrap();
            let keys = config.keys.identity().unwrap();
            let previous = match keys.previous {
                Some(previous) => Some(previous.open(random()).await.unwrap()),
                None => None,
            };
            let parts = Parts {
                clock: Arc::new(SystemClock),
                random: random(),
                key_provider: keys.root.open_or_create(random()).await.unwrap(),
                previous_key_provider: previous,
            };
            let identity = Identity::start(config.identity.unwrap(), parts).await.unwrap();
            identity.close().await.unwrap();
        }

        async fn backup(&self, config: &Path, name: &str, include_keys: bool) {
            let args = BackupArgs {
                file: self.path(name).into(),
                config: Some(config.to_owned()),
                data: None,
                passphrase_file: Some(self.passphrase()),
                root_key: false,
                include_keys,
                hand_over: false,
                unrecorded: false,
            };
            super::super::run(&args, Output::Json).await.unwrap();
        }

        fn passphrase(&self) -> std::path::PathBuf {
            let path = self.0.path().join("passphrase");
            std::fs::write(&path, "correct horse battery staple").unwrap();
            path
        }

        async fn drilled(&self, config: &Path, name: &str) -> anyhow::Result<ExitCode> {
            let file = self.path(name);
            let open = || Reader::open(Path::new(&file)).unwrap();
            let header = open().header.key;
            let passphrase = self.passphrase();
            let key = key::find(&header, Some(&passphrase), &[], &random()).await?;
            let contents = read_all(open().unlock(key.clone()))?;
            let sources = Source::of_config(config)?;
            let about = (&contents, "2026-11-24T00:00:00Z");
            run(open().unlock(key), about, &sources, &random(), Output::Json).await
        }
    }

    fn random() -> SharedRandom {
        Arc::new(SystemRandom)
    }

    /// Backups of before and after the change, without and with the key file.
    #[tokio::test]
    async fn a_backup_opens_before_and_after_a_change_of_root_key() {
        let place = Place(tempfile::tempdir().unwrap());
        let (old, new) = (place.path("old.key"), place.path("new.key"));
        let config = place.configure(&format!("identity = '{old}'"));
        place.start(&config).await;
        place.backup(&config, "before", false).await;
        place.backup(&config, "before-with-key", true).await;
        let changing = format!("identity = '{new}'\nprevious.identity = '{old}'");
        let config = place.configure(&changing);
        place.start(&config).await;
        place.backup(&config, "after", false).await;
        for name in ["before", "before-with-key", "after"] {
            let drilled = place.drilled(&config, name).await.unwrap();
            assert_eq!(drilled, ExitCode::SUCCESS, "{name}");
        }
        let noted = |key: &str| Path::new(&format!("{key}.backed-up")).exists();
        assert!(!noted(&new), "its file was in none of them");
        place.backup(&config, "after-with-key", true).await;
        let drilled = place.drilled(&config, "after-with-key").await.unwrap();
        assert_eq!(drilled, ExitCode::SUCCESS);
        assert!(noted(&new));

        let stranger = place.configure(&format!("identity = '{}'", place.path("stranger.key")));
        config::load(&stranger)
            .unwrap()
            .keys
            .identity()
            .unwrap()
            .root
            .open_or_create(random())
            .await
            .unwrap();
        assert!(place.drilled(&stranger, "before").await.is_err());
    }

    #[test]
    fn customers_keys_go_with_every_root_key_that_is_tried() {
        let customer = BTreeMap::from([("000000000000".to_owned(), ["arn:x".to_owned()].into())]);
        let file = |name: &str| RootKey::File(name.into());
        let mut source = Source::of_files("identity", Path::new("db"), "root".into());
        source.root = RootKey::WithCustomerKeys(Box::new(source.root), customer.clone());
        source.previous = Some(file("previous"));
        let tried = candidates(Some(&source), Some(&file("included")));
        let files: Vec<_> = tried.iter().filter_map(RootKey::file).collect();
        assert_eq!(files, ["included", "root", "previous"].map(Path::new));
        for root in &tried {
            let RootKey::WithCustomerKeys(_, theirs) = root else {
                panic!("{root:?} opens no customer's key");
            };
            assert_eq!(*theirs, customer);
        }
    }
}
