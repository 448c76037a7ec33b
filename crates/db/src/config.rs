//! Which database, from configuration.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{DbError, Result};

/// Connections of one process to PostgreSQL when nothing else is configured.
const DEFAULT_MAX_CONNECTIONS: u32 = 16;

/// The `[….database]` table of a configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    pub url: SecretString,
    /// PostgreSQL only: the schema that holds this owner's tables, `[a-z_][a-z0-9_]{0,62}`.
    #[serde(default)]
    pub schema: Option<String>,
    /// PostgreSQL only: most connections of this process, 2 to 200, default 16.
    #[serde(default)]
    pub max_connections: Option<u32>,
}

/// A database to connect to.
#[derive(Clone, Debug)]
pub enum Database {
    /// A `SQLite` file.
    Sqlite {
        /// The file; created when missing unless read-only.
        path: PathBuf,
        /// Read-write opening takes an exclusive lock for the pool's life, so that a second server on the
        /// file is refused; read-only opening works beside it.
        read_only: bool,
    },
    /// A schema of a PostgreSQL database.
    Postgres {
        /// `postgres://…`; may hold a password.
        url: SecretString,
        /// The schema, created by [`crate::migrate`] when missing.
        schema: String,
        /// Most connections of this pool.
        max_connections: u32,
    },
}

impl DatabaseConfig {
    /// The configured database, opened for writing. `default_schema` is the owner's name.
    pub fn database(&self, default_schema: &str) -> Result<Database> {
        let url = self.url.expose_secret();
        if let Some(path) = url.strip_prefix("sqlite:") {
            if self.schema.is_some() || self.max_connections.is_some() {
                return Err(DbError::Config(
                    "schema and max_connections apply to PostgreSQL only".to_owned(),
                ));
            }
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(['?', '\0']) || path == ":memory:" {
                return Err(DbError::Config("sqlite: needs a plain file path".to_owned()));
            }
            return Ok(Database::Sqlite {
                path: PathBuf::from(path),
                read_only: false,
            });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let max_connections = self.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS);
            if !(2..=200).contains(&max_connections) {
                return Err(DbError::Config("max_connections must be 2 to 200".to_owned()));
            }
            let schema = self.schema.clone().unwrap_or_else(|| default_schema.to_owned());
            return Ok(Database::Postgres {
                url: self.url.clone(),
                schema,
                max_connections,
            });
        }
        Err(DbError::Config(
            "the url must begin with sqlite: or postgres://".to_owned(),
        ))
    }
}

impl Database {
    /// The same database, by a pool of one connection.
    pub(crate) fn by_one_connection(self) -> Self {
        match self {
            Self::Postgres { url, schema, .. } => Self::Postgres {
                url,
                schema,
                max_connections: 1,
            },
            file @ Self::Sqlite { .. } => file,
        }
    }

    /// The same database, opened for reading only (of PostgreSQL, by read-only transactions).
    #[must_use]
    pub fn read_only(self) -> Self {
        match self {
            Self::Sqlite { path, .. } => Self::Sqlite {
                path,
                read_only: true,
            },
            postgres @ Self::Postgres { .. } => postgres,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> DatabaseConfig {
        DatabaseConfig {
            url: url.to_owned().into(),
            schema: None,
            max_connections: None,
        }
    }

    #[test]
    fn urls_select_the_engine() {
        assert!(matches!(
            config("sqlite:a/b.sqlite").database("identity"),
            Ok(Database::Sqlite { path, read_only: false }) if path == std::path::Path::new("a/b.sqlite")
        ));
        assert!(matches!(
            config("postgres://u@h/d").database("identity"),
            Ok(Database::Postgres { schema, max_connections: 16, .. }) if schema == "identity"
        ));
    }

    #[test]
    fn unusable_urls_are_refused() {
        for url in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:x?mode=ro",
            "mysql://h/d",
            "",
        ] {
            assert!(
                matches!(config(url).database("identity"), Err(DbError::Config(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn the_password_is_never_printed() {
        let config = config("postgres://u:hunter2@h/d");
        let database = config.database("identity").expect("valid");
        assert!(!format!("{config:?}{database:?}").contains("hunter2"));
    }
}
