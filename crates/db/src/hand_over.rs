//! The end of a database whose content goes on in another one: nothing may be written here any more, or the two would
//! part and a single-use refresh token be presented by both.
//!
//! It is a lease that nobody gives back. Leases are not part of a backup, so that the new database does not have it.
//! Another one marks a database for as long as it is being restored.

use std::time::Duration;

use crate::identity::is_missing_table;
use crate::{Database, DbError, Engine, Pool, Result, Transaction, params};

const LEASE: &str = "hand-over";
const RESTORE: &str = "restore";
/// How long a connection that was closed may stay in PostgreSQL's list: its process ends by itself, a moment later.
const LINGERING: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(100);

/// Marks the database as handed over, for good. [`DbError::Config`] while anybody has the `SQLite` file open for writing
/// or other connections of this program to the PostgreSQL database remain, and then nothing has changed.
pub async fn hand_over(database: Database) -> Result<()> {
    let pool = Pool::connect(&database.by_one_connection()).await?;
    let handed_over = mark_if_alone(&pool).await;
    pool.close().await;
    handed_over
}

async fn mark_if_alone(pool: &Pool) -> Result<()> {
    let before = is_handed_over(pool).await?;
    mark_handed_over(pool).await?;
    // Who comes after the mark sees it; who came before it is counted.
    let alone = alone(pool).await;
    if alone.is_err() && !before {
        pool.execute("DELETE FROM lease WHERE name = $1", params![LEASE])
            .await?;
    }
    alone
}

async fn mark_handed_over(pool: &Pool) -> Result<()> {
    pool.execute(
        "INSERT INTO lease (name, holder, fence, lease_until) VALUES ($1, $1, 1, $2) ON CONFLICT (name) DO NOTHING",
        params![LEASE, i64::MAX],
    )
    .await?;
    Ok(())
}

/// Marks, together with its content, a database that is being restored: until [`restored`] nothing may begin there.
pub async fn mark_restoring(tx: &mut Transaction) -> Result<()> {
    let sql = "INSERT INTO lease (name, holder, fence, lease_until) VALUES ($1, $1, 1, $2)";
    tx.execute(sql, params![RESTORE, i64::MAX]).await?;
    Ok(())
}

/// Ends a restore.
pub async fn restored(pool: &Pool) -> Result<()> {
    pool.execute("DELETE FROM lease WHERE name = $1", params![RESTORE])
        .await?;
    Ok(())
}

/// Whether a restore into this database was begun and has not ended. `false` for one that was never migrated.
pub async fn is_restoring(pool: &Pool) -> Result<bool> {
    is_marked(pool, RESTORE).await
}

/// Whether [`hand_over`] would be refused, as it refuses. Changes nothing.
pub async fn ensure_unused(database: Database) -> Result<()> {
    let pool = Pool::connect(&database.by_one_connection()).await?;
    let unused = alone(&pool).await;
    pool.close().await;
    unused
}

async fn alone(pool: &Pool) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        let others = other_connections(pool).await?;
        if others == 0 {
            return Ok(());
        }
        if waited >= LINGERING {
            return Err(DbError::Config(format!(
                "{others} connections of countersign to this database are open: end every replica first"
            )));
        }
        tokio::time::sleep(AGAIN).await;
        waited += AGAIN;
    }
}

/// Whether this database was marked as handed over. `false` for one that was never migrated.
pub async fn is_handed_over(pool: &Pool) -> Result<bool> {
    is_marked(pool, LEASE).await
}

async fn is_marked(pool: &Pool, lease: &str) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM lease WHERE name = $1 AND lease_until = $2";
    match pool.fetch_optional(sql, params![lease, i64::MAX]).await {
        Ok(row) => Ok(row.is_some()),
        Err(error) if is_missing_table(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn other_connections(pool: &Pool) -> Result<i64> {
    // A SQLite file that is open for writing is locked.
    if pool.engine() == Engine::Sqlite {
        return Ok(0);
    }
    let row = pool
        .fetch_optional(
            "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE application_name = 'countersign' \
             AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()",
            params![],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int("n"))
}
