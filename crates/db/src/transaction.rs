//! A transaction of either engine.

use sqlx::{SqlSafeStr, SqlStr};

use crate::pool::{Pool, assembled, in_time, postgres_query, sqlite_query};
use crate::{Engine, Result, Row, Value, row};

/// A transaction. [`Transaction::commit`] keeps its work, dropping it rolls back.
#[derive(Debug)]
pub struct Transaction {
    inner: Inner,
    pool: Pool,
    /// Kind and key of what [`crate::record_change`] recorded.
    changes: Vec<(&'static str, String)>,
}

#[derive(Debug)]
enum Inner {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Transaction {
    pub(crate) fn sqlite(pool: Pool, inner: sqlx::Transaction<'static, sqlx::Sqlite>) -> Self {
        Self {
            inner: Inner::Sqlite(inner),
            pool,
            changes: Vec::new(),
        }
    }

    pub(crate) fn postgres(pool: Pool, inner: sqlx::Transaction<'static, sqlx::Postgres>) -> Self {
        Self {
            inner: Inner::Postgres(inner),
            pool,
            changes: Vec::new(),
        }
    }

    /// The engine behind the transaction.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.pool.engine()
    }

    /// Runs a statement; answers the number of rows it changed.
    pub async fn execute(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into_sql_str();
        match &mut self.inner {
            Inner::Sqlite(tx) => Ok(sqlite_query(sql, params)
                .execute(&mut **tx)
                .await?
                .rows_affected()),
            Inner::Postgres(tx) => Ok(in_time(postgres_query(sql, params).execute(&mut **tx))
                .await?
                .rows_affected()),
        }
    }

    /// As [`Transaction::execute`], for SQL put together at run time from constants. Never pass text that came from
    /// outside.
    pub async fn execute_text(&mut self, sql: String, params: Vec<Value>) -> Result<u64> {
        let sql = assembled(sql);
        match &mut self.inner {
            Inner::Sqlite(tx) => {
                let query = sqlite_query(sql, params).persistent(false);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
            Inner::Postgres(tx) => {
                let query = postgres_query(sql, params).persistent(false);
                Ok(in_time(query.execute(&mut **tx)).await?.rows_affected())
            }
        }
    }

    /// Runs several statements without parameters, as a migration has them.
    pub(crate) async fn run_script(&mut self, sql: &'static str) -> Result<()> {
        match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop)?,
            Inner::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop)?,
        }
        Ok(())
    }

    /// The first row, if any.
    pub async fn fetch_optional(&mut self, sql: &'static str, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch_all(sql, params).await?.into_iter().next())
    }

    /// All rows.
    pub async fn fetch_all(&mut self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>> {
        self.fetch(sql.into_sql_str(), params).await
    }

    /// As [`Transaction::fetch_all`], for SQL put together from the database's own catalogue.
    pub(crate) async fn fetch_all_text(&mut self, sql: String, params: Vec<Value>) -> Result<Vec<Row>> {
        self.fetch(assembled(sql), params).await
    }

    async fn fetch(&mut self, sql: SqlStr, params: Vec<Value>) -> Result<Vec<Row>> {
        match &mut self.inner {
            Inner::Sqlite(tx) => {
                let rows = sqlite_query(sql, params).fetch_all(&mut **tx).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| Row(row::Engine::Sqlite(row)))
                    .collect())
            }
            Inner::Postgres(tx) => {
                let query = postgres_query(sql, params);
                let rows = in_time(query.fetch_all(&mut **tx)).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| Row(row::Engine::Postgres(row)))
                    .collect())
            }
        }
    }

    /// Makes the work durable. Recorded changes reach this process's own caches before it returns
    /// ([`Pool::on_commit`]), those of other replicas by their feeds.
    pub async fn commit(self) -> Result<()> {
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await?,
            Inner::Postgres(tx) => in_time(tx.commit()).await?,
        }
        if !self.changes.is_empty() {
            self.pool.committed(&self.changes);
        }
        Ok(())
    }

    pub(crate) fn changed(&mut self, kind: &'static str, key: &str) {
        self.changes.push((kind, key.to_owned()));
    }
}
