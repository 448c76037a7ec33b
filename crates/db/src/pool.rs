//! The pool: one type, two engines.

use std::sync::{Arc, PoisonError, RwLock};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use tokio::sync::Notify;

use crate::postgres::{ANSWER_TIMEOUT, Postgres};
use crate::sqlite::{Access, Sqlite};
use crate::transaction::Transaction;
use crate::value::{bind_postgres, bind_sqlite};
use crate::{Database, DbError, Result, Row, Value, row};

/// Which database engine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded default.
    Sqlite,
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
}

/// Connections to one database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) connections: Connections,
    /// Rung by each commit that recorded a change, so that this process's feed need not wait for its poll.
    pub(crate) changed: Notify,
    own_changes: RwLock<Vec<OwnChange>>,
}

/// Told the kind and key of a change that this process has committed.
type OwnChange = Box<dyn Fn(&str, &str) + Send + Sync>;

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) enum Connections {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Pool {
    /// Opens the database and checks that it answers.
    pub async fn connect(database: &Database) -> Result<Self> {
        let access = match database {
            Database::Sqlite { read_only: true, .. } => Access::Reader,
            _ => Access::Server,
        };
        Self::open(database, access).await
    }

    /// Opens the database beside the server that may be running on it, for rows that no process keeps in its memory:
    /// what this pool commits is not told to that server where the engine is `SQLite`. An audit chain of one's own is
    /// such.
    pub async fn connect_beside(database: &Database) -> Result<Self> {
        Self::open(database, Access::Appender).await
    }

    async fn open(database: &Database, access: Access) -> Result<Self> {
        let connections = match database {
            Database::Sqlite { path, .. } => Connections::Sqlite(Sqlite::open(path, access).await?),
            Database::Postgres {
                url,
                schema,
                max_connections,
            } => Connections::Postgres(Postgres::connect(url, schema, *max_connections).await?),
        };
        Ok(Self(Arc::new(Inner {
            connections,
            changed: Notify::new(),
            own_changes: RwLock::default(),
        })))
    }

    /// Calls `hear` with kind and key of every change that this process commits, before the commit returns: what
    /// it cached is gone by the time anybody is told that the change is made. It must be quick, and must not hold
    /// the pool alive.
    pub fn on_commit(&self, hear: impl Fn(&str, &str) + Send + Sync + 'static) {
        let mut own_changes = self.0.own_changes.write().unwrap_or_else(PoisonError::into_inner);
        own_changes.push(Box::new(hear));
    }

    pub(crate) fn committed(&self, changes: &[(&'static str, String)]) {
        let own_changes = self.0.own_changes.read().unwrap_or_else(PoisonError::into_inner);
        for hear in own_changes.iter() {
            for (kind, key) in changes {
                hear(kind, key);
            }
        }
        self.0.changed.notify_one();
    }

    /// The engine behind the pool, for the few statements that differ.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.0.connections {
            Connections::Sqlite(_) => Engine::Sqlite,
            Connections::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a statement; answers the number of rows it changed.
    pub async fn execute(&self, sql: &'static str, params: Vec<Value>) -> Result<u64> {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => {
                let query = sqlite_query(sql.into_sql_str(), params);
                Ok(query.execute(&sqlite.writer).await?.rows_affected())
            }
            Connections::Postgres(postgres) => {
                let query = postgres_query(sql.into_sql_str(), params);
                Ok(in_time(query.execute(&postgres.pool)).await?.rows_affected())
            }
        }
    }

    /// The first row, if any. A statement that begins with `SELECT` runs on a reader, any other (`INSERT …
    /// RETURNING`, `UPDATE … RETURNING`) on the writer.
    pub async fn fetch_optional(&self, sql: &'static str, params: Vec<Value>) -> Result<Option<Row>> {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => {
                let query = sqlite_query(sql.into_sql_str(), params);
                // All rows, not the first alone: a statement that is dropped half-way leaves its
                // connection inside a read transaction until it is next used.
                let rows = query.fetch_all(sqlite.connections_for(sql)).await?;
                Ok(rows.into_iter().next().map(|row| Row(row::Engine::Sqlite(row))))
            }
            Connections::Postgres(postgres) => {
                let query = postgres_query(sql.into_sql_str(), params);
                let row = in_time(query.fetch_optional(&postgres.pool)).await?;
                Ok(row.map(|row| Row(row::Engine::Postgres(row))))
            }
        }
    }

    /// All rows; put a `LIMIT` into the statement. Routed like [`Pool::fetch_optional`].
    pub async fn fetch_all(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => {
                let query = sqlite_query(sql.into_sql_str(), params);
                let rows = query.fetch_all(sqlite.connections_for(sql)).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| Row(row::Engine::Sqlite(row)))
                    .collect())
            }
            Connections::Postgres(postgres) => {
                let query = postgres_query(sql.into_sql_str(), params);
                let rows = in_time(query.fetch_all(&postgres.pool)).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| Row(row::Engine::Postgres(row)))
                    .collect())
            }
        }
    }

    /// Begins a write transaction. On `SQLite` it holds the one writer from here to its end
    /// (`BEGIN IMMEDIATE`), so do no other waiting inside. Dropping it rolls back.
    pub async fn begin(&self) -> Result<Transaction> {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => {
                let inner = sqlite.writer.begin_with("BEGIN IMMEDIATE").await?;
                Ok(Transaction::sqlite(self.clone(), inner))
            }
            Connections::Postgres(postgres) => {
                let inner = in_time(postgres.pool.begin()).await?;
                Ok(Transaction::postgres(self.clone(), inner))
            }
        }
    }

    /// Begins a read-only transaction that sees one moment of the database throughout.
    pub async fn snapshot(&self) -> Result<Transaction> {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => {
                let inner = sqlite.readers.begin_with("BEGIN DEFERRED").await?;
                Ok(Transaction::sqlite(self.clone(), inner))
            }
            Connections::Postgres(postgres) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let inner = in_time(postgres.pool.begin_with(begin)).await?;
                Ok(Transaction::postgres(self.clone(), inner))
            }
        }
    }

    /// Closes every connection and, on `SQLite`, releases the file for the next process.
    pub async fn close(&self) {
        match &self.0.connections {
            Connections::Sqlite(sqlite) => sqlite.close().await,
            Connections::Postgres(postgres) => postgres.pool.close().await,
        }
    }
}

/// What PostgreSQL answers, if it does: a server that is gone without a word must not hold its callers for as long as
/// TCP is patient.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> Result<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DbError::Unavailable(sqlx::Error::Io(
            std::io::ErrorKind::TimedOut.into(),
        ))),
    }
}

impl Sqlite {
    fn connections_for(&self, sql: &str) -> &sqlx::SqlitePool {
        if sql
            .trim_start()
            .get(..6)
            .is_some_and(|word| word.eq_ignore_ascii_case("SELECT"))
        {
            &self.readers
        } else {
            &self.writer
        }
    }
}

pub(crate) fn sqlite_query(
    sql: SqlStr,
    params: Vec<Value>,
) -> sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    #[expect(clippy::disallowed_methods, reason = "this crate is what the ban points to")]
    bind_sqlite(sqlx::query(sql), params)
}

pub(crate) fn postgres_query(
    sql: SqlStr,
    params: Vec<Value>,
) -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments> {
    #[expect(clippy::disallowed_methods, reason = "this crate is what the ban points to")]
    bind_postgres(sqlx::query(sql), params)
}

/// SQL that this crate put together; never from input.
pub(crate) fn assembled(sql: String) -> SqlStr {
    AssertSqlSafe(sql).into_sql_str()
}
