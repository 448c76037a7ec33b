//! Opening a `SQLite` file: one writer connection, a pool of readers, one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::{DbError, Result};

/// `SQLite` serialises writers anyway; one connection makes them queue in order instead of by busy retries.
const WRITERS: u32 = 1;
const READERS: u32 = 4;
/// How long a statement waits for a lock that another process (a backup, an offline reader) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Prepared statements kept a connection. Multi-row inserts have one text a batch size.
const STATEMENTS: usize = 256;

#[derive(Debug)]
pub(crate) struct Sqlite {
    /// Equal to `readers` when the file was opened read-only: a write then fails in `SQLite` itself.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    /// Held, never read: the operating system drops the lock with the file, also when the process dies.
    lock: Option<File>,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// By its one server.
    Server,
    /// For reading, beside the server.
    Reader,
    /// For adding rows, beside the server.
    Appender,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, access: Access) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS);
        if access != Access::Server && !path.exists() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(DbError::Io {
                path: path.to_owned(),
                source,
            });
        }
        if access == Access::Reader {
            let readers = pool(READERS).connect_with(options.read_only(true)).await?;
            return Ok(Self {
                writer: readers.clone(),
                readers,
                lock: None,
            });
        }
        let lock = match access {
            Access::Server => Some(exclusive_lock(path)?),
            Access::Reader | Access::Appender => None,
        };
        let options = options
            .create_if_missing(access == Access::Server)
            .journal_mode(SqliteJournalMode::Wal)
            // Commit returns only after fsync: the audit record is on disk before a token leaves.
            .synchronous(SqliteSynchronous::Full)
            // Deleted secrets and person keys are overwritten, not left in free pages.
            .pragma("secure_delete", "ON");
        let writer = pool(WRITERS).connect_with(options.clone()).await?;
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self {
            writer,
            readers,
            lock,
        })
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        // Last, so that the writer's closing folds the write-ahead log into the file.
        self.writer.close().await;
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "the database lock could not be released; it ends with the process");
        }
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The lock is on a file of its own: `SQLite`'s own locks live on the database file, and closing any
/// descriptor of that file would drop them (POSIX advisory locks).
fn exclusive_lock(path: &Path) -> Result<File> {
    let lock_path = lock_path(path);
    let io = |source| DbError::Io {
        path: lock_path.clone(),
        source,
    };
    let mut open = OpenOptions::new();
    open.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let file = open.open(&lock_path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DbError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
