//! Connecting to a schema of a PostgreSQL database.
//!
//! A connection is encrypted, and the server's certificate checked against its name, unless the server is on this
//! machine or the URL says otherwise in so many words. It is never one to a server that only reads: after a fail-over
//! the old address may lead to a standby for a while.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Row as _};

use crate::{DbError, Result};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const STATEMENTS: usize = 256;
/// Milliseconds a statement may run, and a transaction may sit idle. The change feed's patience with a
/// missing sequence number is longer than both.
const STATEMENT_TIMEOUT: &str = "15000";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "15000";
/// After this nobody waits for an answer any more: longer than the server lets a statement run, since it is there for
/// servers that have gone without a word.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

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
            .map_err(|_| DbError::Config("the postgres:// url cannot be parsed".to_owned()))?;
        let ssl_mode = ssl_mode(url.expose_secret(), &options)?;
        let options = options
            .ssl_mode(ssl_mode)
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
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let row = connection.fetch_one("SHOW transaction_read_only").await?;
                    if row.try_get::<String, _>(0)? == "on" {
                        let standby = "the server only reads: a standby, or a primary that was demoted";
                        return Err(sqlx::Error::Io(std::io::Error::other(standby)));
                    }
                    Ok(())
                })
            })
            .connect_with(options.clone())
            .await;
        let pool = match pool {
            Ok(pool) => pool,
            Err(error @ (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_))) => {
                return Err(not_reached(&options, error).await);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            pool,
            schema: schema.to_owned(),
        })
    }
}

/// Why there is no connection at the start: a pool tries until its time is up, and says no more than that.
async fn not_reached(options: &PgConnectOptions, error: sqlx::Error) -> DbError {
    let once = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await;
    let cause = match once {
        Ok(Err(cause)) => cause,
        Ok(Ok(_)) => error,
        Err(_) => sqlx::Error::Io(std::io::Error::other(format!(
            "no answer in {} s",
            ACQUIRE_TIMEOUT.as_secs()
        ))),
    };
    let place = format!("{}:{}", options.get_host(), options.get_port());
    DbError::Unavailable(sqlx::Error::Io(std::io::Error::other(format!(
        "{place}: {cause}"
    ))))
}

/// What the URL says, or else the whole check. Encryption that an attacker on the way can talk the client out of is
/// refused.
fn ssl_mode(url: &str, options: &PgConnectOptions) -> Result<PgSslMode> {
    let said = url.split_once('?').is_some_and(|(_, query)| {
        query
            .split('&')
            .any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="))
    });
    let local = options.get_socket().is_some()
        || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]")
        || options.get_host().starts_with('/');
    match options.get_ssl_mode() {
        PgSslMode::Allow | PgSslMode::Prefer if said => Err(DbError::Config(
            "sslmode=allow and sslmode=prefer protect from nobody: use verify-full (the default), verify-ca, require or disable"
                .to_owned(),
        )),
        _ if !said && local => Ok(PgSslMode::Disable),
        _ if !said => Ok(PgSslMode::VerifyFull),
        mode => Ok(mode),
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
    fn the_way_to_another_machine_is_encrypted_and_the_server_known() {
        let mode = |url: &str| {
            let options = PgConnectOptions::from_str(url).expect(url);
            ssl_mode(url, &options).map(|mode| format!("{mode:?}"))
        };
        let same = |url: &str, expected: &str| assert_eq!(mode(url).expect(url), expected, "{url}");
        same("postgres://u@db.example/d", "VerifyFull");
        same("postgres://u@10.0.0.5/d", "VerifyFull");
        same("postgres://u@localhost.evil.example/d", "VerifyFull");
        same("postgres://u@127.0.0.1/d", "Disable");
        same("postgres://u@localhost/d?sslmode=verify-full", "VerifyFull");
        same("postgres://u@db.example/d?sslmode=disable", "Disable");
        same("postgres://u@db.example/d?sslmode=require", "Require");
        for weak in ["allow", "prefer"] {
            mode(&format!("postgres://u@db.example/d?sslmode={weak}")).expect_err(weak);
        }
    }

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
