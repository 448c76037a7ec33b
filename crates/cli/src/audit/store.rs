//! The databases that hold audit chains, opened for reading only.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use countersign_audit::PersonKeys;
use countersign_crypto::{KeyProvider, SystemRandom};
use countersign_db::{Database, Pool};

use crate::{config, data_directory::DataDirectory, key_provider::RootKey};

/// One owner's chain with the keys to check and read it.
pub(super) struct Store {
    pub(super) role: &'static str,
    pub(super) pool: Pool,
    pub(super) keys: AuditKeys,
    pub(super) persons: PersonKeys,
    /// What was appended to the checkpoint file beside the database.
    pub(super) checkpoints: Option<String>,
}

/// Keys of purpose audit signing and person, as each role exports them.
pub(super) struct AuditKeys {
    pub(super) signing: countersign_crypto::JwkSet,
}

/// Where one owner keeps its chain.
struct ChainLocation {
    role: &'static str,
    database: Database,
    key: RootKey,
    checkpoints: Option<PathBuf>,
}

impl Store {
    /// Both chains of a data directory of `dev`.
    pub(super) async fn of_dev(path: &Path) -> anyhow::Result<Vec<Self>> {
        let data = DataDirectory::existing(path)?;
        let sqlite = |path| Database::Sqlite {
            path,
            read_only: true,
        };
        open_all(vec![
            ChainLocation {
                role: "identity",
                database: sqlite(data.identity_database()),
                key: RootKey::File(data.identity_key()),
                checkpoints: Some(data.checkpoints()),
            },
            ChainLocation {
                role: "gateway",
                database: sqlite(data.gateway_database()),
                key: RootKey::File(data.gateway_key()),
                checkpoints: Some(data.checkpoints()),
            },
        ])
        .await
    }

    /// The chains of the roles in a configuration file.
    pub(super) async fn of_config(path: &Path) -> anyhow::Result<Vec<Self>> {
        let config = config::load(path)?;
        let mut locations = vec![];
        if let Some(identity) = config.identity {
            locations.push(ChainLocation {
                role: "identity",
                database: identity.database.database("identity")?.read_only(),
                key: config.keys.identity()?.root,
                checkpoints: identity.checkpoint_file,
            });
        }
        if let Some(gateway) = config.gateway {
            locations.push(ChainLocation {
                role: "gateway",
                database: gateway.database.database("gateway")?.read_only(),
                key: config.keys.gateway()?.root,
                checkpoints: gateway.checkpoint_file,
            });
        }
        anyhow::ensure!(
            !locations.is_empty(),
            "{} has neither [identity] nor [gateway]",
            path.display()
        );
        open_all(locations).await
    }
}

async fn open_all(locations: Vec<ChainLocation>) -> anyhow::Result<Vec<Store>> {
    let mut stores = vec![];
    for location in locations {
        let role = location.role;
        stores.push(
            open(location)
                .await
                .with_context(|| format!("the {role} chain"))?,
        );
    }
    Ok(stores)
}

async fn open(location: ChainLocation) -> anyhow::Result<Store> {
    let provider = location.key.open(std::sync::Arc::new(SystemRandom)).await?;
    let pool = Pool::connect(&location.database).await?;
    let (signing, persons) = keys(location.role, &pool, &*provider).await?;
    let checkpoints = match location.checkpoints.map(std::fs::read_to_string) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => None,
        Some(Err(error)) => return Err(error).context("the checkpoint file"),
    };
    Ok(Store {
        role: location.role,
        persons: PersonKeys::new(&pool, persons),
        pool,
        keys: AuditKeys { signing },
        checkpoints,
    })
}

/// The role that owns the database owns the keys in it.
async fn keys(
    role: &str,
    pool: &Pool,
    provider: &dyn KeyProvider,
) -> anyhow::Result<(
    countersign_crypto::JwkSet,
    std::sync::Arc<countersign_crypto::Keyring>,
)> {
    if role == "gateway" {
        let keys = countersign_gateway::audit_keys(pool, provider).await?;
        Ok((keys.signing, keys.persons))
    } else {
        let keys = countersign_identity::audit_keys(pool, provider).await?;
        Ok((keys.signing, keys.persons))
    }
}
