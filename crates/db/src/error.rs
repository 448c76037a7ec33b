//! What can go wrong, by what the caller does about it.

use std::path::PathBuf;

use sqlx::error::DatabaseError as _;

/// A failure of the database or of what it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The database cannot be reached, or no connection was free in time. Answer 503; nothing is known to
    /// have been written.
    #[error("database unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A uniqueness, foreign-key, check or not-null constraint refused the statement.
    #[error("constraint violated: {0}")]
    Constraint(String),
    /// A concurrent transaction won (serialization failure, deadlock, lock time-out). The transaction may be
    /// run again from its beginning.
    #[error("conflict with a concurrent transaction: {0}")]
    Conflict(String),
    /// A stored value is not what the store writes: corruption or tampering, never a caller's mistake.
    #[error("inconsistent row {id} of {table}: column {column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column whose value cannot be understood.
        column: &'static str,
        /// The row's key.
        id: String,
    },
    /// A result row has no such column, or its value has another type.
    #[error("column {column} cannot be read: {reason}")]
    Column {
        /// The column that was asked for.
        column: &'static str,
        /// The driver's words.
        reason: String,
    },
    /// The schema was written by a newer binary.
    #[error(
        "the schema of {owner} is at version {found}, this binary knows {known}; use the newer binary, or restore a backup of the older schema"
    )]
    Newer {
        /// Whose tables.
        owner: &'static str,
        /// The version in the database.
        found: i64,
        /// The newest version that this binary has.
        known: i64,
    },
    /// An applied migration's text differs from the one in this binary.
    #[error(
        "migration {owner} {version} was applied with another text; the binary and the database do not belong together"
    )]
    MigrationChanged {
        /// Whose tables.
        owner: &'static str,
        /// The version.
        version: i64,
    },
    /// Another process has been migrating for longer than this one waits.
    #[error("another process holds the migration lease; it expires by itself within two minutes")]
    MigrationLease,
    /// Another process has this `SQLite` file open for writing.
    #[error(
        "{path} is in use by another countersign process; stop that one first (two servers cannot share one SQLite file: use PostgreSQL for several replicas)"
    )]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The database was never set up by `migrate`.
    #[error("the database has no countersign schema; run `countersign migrate` first")]
    Uninitialized,
    /// The configured database cannot be used as written.
    #[error("database configuration: {0}")]
    Config(String),
    /// A file beside the database cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Any other refusal of a statement: a defect of ours.
    #[error("sql: {0}")]
    Sql(#[source] sqlx::Error),
}

impl DbError {
    /// Whether the same statement may succeed in a moment.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(db) => match db.kind() {
                ErrorKind::UniqueViolation
                | ErrorKind::ForeignKeyViolation
                | ErrorKind::NotNullViolation
                | ErrorKind::CheckViolation => Self::Constraint(constraint(db.as_ref())),
                _ if is_of_disk(db.as_ref()) => Self::Unavailable(error),
                _ => match db.code().as_deref() {
                    // PostgreSQL: serialization_failure, deadlock_detected, lock_not_available.
                    // SQLite: SQLITE_BUSY, SQLITE_LOCKED, SQLITE_BUSY_SNAPSHOT.
                    Some("40001" | "40P01" | "55P03" | "5" | "6" | "517") => {
                        Self::Conflict(db.message().to_owned())
                    }
                    // read_only_sql_transaction: the server has become a standby.
                    Some("25006") => Self::Unavailable(error),
                    // Connection exceptions, insufficient resources, operator intervention (shutdown).
                    Some(code)
                        if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default())
                            && code.len() == 5 =>
                    {
                        Self::Unavailable(error)
                    }
                    _ => Self::Sql(error),
                },
            },
            _ => Self::Sql(error),
        }
    }
}

/// Whether a `SQLite` file cannot be written or read just now: the disk is full, read-only or broken. The low byte of an
/// extended result code is the plain one: `SQLITE_READONLY`, `_IOERR`, `_FULL`, `_CANTOPEN`.
fn is_of_disk(error: &dyn sqlx::error::DatabaseError) -> bool {
    error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .is_some_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
}

/// Which constraint. PostgreSQL's message may quote values, so its name is preferred; SQLite's names columns.
fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    error
        .constraint()
        .map_or_else(|| error.message().to_owned(), str::to_owned)
}
