//! What a database is: its own id, how often it was restored, and whether it is a development one.

use crate::{DbError, Pool, Result, params};

/// The identity of a database, created with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// 32 hexadecimal digits, random.
    pub id: String,
    /// How often a backup was restored into it; audit checkpoints carry it.
    pub restore_epoch: i64,
    /// Set by `dev`; `serve` and `restore` refuse such a database.
    pub dev: bool,
}

/// Reads the identity. [`DbError::Uninitialized`] when [`crate::migrate`] never ran.
pub async fn database_identity(pool: &Pool) -> Result<DatabaseIdentity> {
    let row = pool
        .fetch_optional(
            "SELECT id, restore_epoch, dev FROM database_identity WHERE singleton = 1",
            params![],
        )
        .await
        .map_err(|error| {
            if is_missing_table(&error) {
                DbError::Uninitialized
            } else {
                error
            }
        })?
        .ok_or(DbError::Uninitialized)?;
    Ok(DatabaseIdentity {
        id: row.text("id")?,
        restore_epoch: row.int("restore_epoch")?,
        dev: row.int("dev")? != 0,
    })
}

/// Marks the database as a development one, for good.
pub async fn set_dev_mark(pool: &Pool) -> Result<()> {
    pool.execute(
        "UPDATE database_identity SET dev = 1 WHERE singleton = 1",
        params![],
    )
    .await?;
    Ok(())
}

pub(crate) fn is_missing_table(error: &DbError) -> bool {
    // PostgreSQL: undefined_table. SQLite has no code of its own for it.
    matches!(error, DbError::Sql(sqlx::Error::Database(db))
        if db.code().as_deref() == Some("42P01") || db.message().starts_with("no such table"))
}
