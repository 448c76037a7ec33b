//! Connecting to a schema of a PostgreSQL database.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{DbError, Result};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const STATEMENTS: usize = 256;
/// Milliseconds a statement may run, and a transaction may sit idle. The change feed's patience with a
/// missing sequence number is longer than both.
const STATEMENT_TIMEOUT: &str = "15000";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "15000";

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) pool: PgPool,
    pub(crate) schema: String,
}

impl Postgres {
    pub(crate) async fn connect(url: &SecretString, schema: &str, max_connections: u32) -> Result<Self> {
        check_schema_name(schema)?;
        // The driver's error would quote the URL, and the URL may hold a password.
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|_| DbError::Config("the postgres:// url cannot be parsed".to_owned()))?
            .application_name("countersign")
            .statement_cache_capacity(STATEMENTS)
            .options([
                ("search_path", schema),
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
                // A server-wide `off` must not turn an acknowledged audit record into a lost one.
                ("synchronous_commit", "on"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            schema: schema.to_owned(),
        })
    }
}

/// Schema names are put into SQL text and start-up options, so only plain lower-case identifiers pass.
fn check_schema_name(schema: &str) -> Result<()> {
    let plain = schema
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let starts = schema
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if plain && starts && schema.len() <= 63 && !schema.starts_with("pg_") {
        Ok(())
    } else {
        Err(DbError::Config(
            "a schema name is [a-z_][a-z0-9_]{0,62} and does not begin with pg_".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_names_are_plain_identifiers() {
        for good in ["identity", "_x1", "gateway_2"] {
            assert!(check_schema_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1a",
            "Identity",
            "a-b",
            "a\"b",
            "a b",
            "pg_catalog",
            &"a".repeat(64),
        ] {
            assert!(check_schema_name(bad).is_err(), "{bad}");
        }
    }
}
