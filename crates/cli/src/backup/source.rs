//! Where the databases and root keys of an installation are.

use std::path::{Path, PathBuf};

use countersign_db::DatabaseConfig;

use crate::config;
use crate::data_directory::{DEV_ACCOUNT, DEV_REGION, DataDirectory};
use crate::key_provider::RootKey;

/// One role's database, and what wraps its keys.
#[derive(Debug)]
pub(super) struct Source {
    /// `identity` or `gateway`.
    pub(super) role: &'static str,
    pub(super) database: DatabaseConfig,
    pub(super) root: RootKey,
    pub(super) previous: Option<RootKey>,
    /// Whose audit trail it is: account and region.
    pub(super) place: (String, String),
    /// Where the trail's checkpoints are appended too.
    pub(super) checkpoint_file: Option<PathBuf>,
}

impl Source {
    /// Of the roles in a configuration file.
    pub(super) fn of_config(path: &Path) -> anyhow::Result<Vec<Self>> {
        let config = config::load(path)?;
        let mut sources = Vec::new();
        if let Some(identity) = &config.identity {
            let keys = config.keys.identity()?;
            sources.push(Self {
                role: "identity",
                database: identity.database.clone(),
                root: keys.root,
                previous: keys.previous,
                place: (identity.account.clone(), identity.region.clone()),
                checkpoint_file: identity.checkpoint_file.clone(),
            });
        }
        if let Some(gateway) = &config.gateway {
            let keys = config.keys.gateway()?;
            sources.push(Self {
                role: "gateway",
                database: gateway.database.clone(),
                root: keys.root,
                previous: keys.previous,
                place: (gateway.account.clone(), gateway.region.clone()),
                checkpoint_file: gateway.checkpoint_file.clone(),
            });
        }
        anyhow::ensure!(
            !sources.is_empty(),
            "{} has neither [identity] nor [gateway]",
            path.display()
        );
        Ok(sources)
    }

    /// Of a data directory of `countersign dev`.
    pub(super) fn of_dev(path: &Path) -> anyhow::Result<Vec<Self>> {
        let data = DataDirectory::existing(path)?;
        let of = |role, database: PathBuf, key| Self {
            checkpoint_file: Some(data.checkpoints()),
            ..Self::of_files(role, &database, key)
        };
        Ok(vec![
            of("identity", data.identity_database(), data.identity_key()),
            of("gateway", data.gateway_database(), data.gateway_key()),
        ])
    }

    /// A SQLite file and a key file.
    pub(super) fn of_files(role: &'static str, database: &Path, key: PathBuf) -> Self {
        Self {
            role,
            database: DatabaseConfig {
                url: format!("sqlite:{}", database.display()).into(),
                schema: None,
                max_connections: None,
            },
            root: RootKey::File(key),
            previous: None,
            place: (DEV_ACCOUNT.to_owned(), DEV_REGION.to_owned()),
            checkpoint_file: None,
        }
    }

    /// The file that holds the root key, or held it.
    pub(super) fn key_file(&self) -> Option<&Path> {
        [Some(&self.root), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find_map(RootKey::file)
    }
}
