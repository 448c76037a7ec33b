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
struct Place {
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
            Place {
                role: "identity",
                database: sqlite(data.identity_database()),
                key: RootKey::File(data.identity_key()),
                checkpoints: Some(data.checkpoints()),
            },
            Place {
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
        let mut places = vec![];
        if let Some(identity) = config.identity {
            places.push(Place {
                role: "identity",
                database: identity.database.database("identity")?.read_only(),
                key: config.keys.identity()?.root,
                checkpoints: identity.checkpoint_file,
            });
        }
        if let Some(gateway) = config.gateway {
            places.push(Place {
                role: "gateway",
                database: gateway.database.database("gateway")?.read_only(),
                key: config.keys.gateway()?.root,
                checkpoints: gateway.checkpoint_file,
            });
        }
        anyhow::ensure!(
            !places.is_empty(),
            "{} has neither [identity] nor [gateway]",
            path.display()
        );
        open_all(places).await
    }
}

async fn open_all(places: Vec<Place>) -> anyhow::Result<Vec<Store>> {
    let mut stores = vec![];
    for place in places {
        let role = place.role;
        stores.push(open(place).await.with_context(|| format!("the {role} chain"))?);
    }
    Ok(stores)
}

async fn open(place: Place) -> anyhow::Result<Store> {
    let provider = place.key.open(std::sync::Arc::new(SystemRandom)).await?;
    let pool = Pool::connect(&place.database).await?;
    let (signing, persons) = keys(place.role, &pool, &*provider).await?;
    let checkpoints = match place.checkpoints.map(std::fs::read_to_string) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => None,
        Some(Err(error)) => return Err(error).context("the checkpoint file"),
    };
    Ok(Store {
        role: place.role,
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
