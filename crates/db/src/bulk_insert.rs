//! Many rows by one statement, which is a transaction of its own.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr, Sqlite};

use crate::pool::{Connections, postgres_query, sqlite_query};
use crate::value::bind_value;
use crate::{DbError, Pool, Result, Value};

/// Rows that a prepared `SQLite` statement has room for. A text for every number of rows would keep thousands of
/// them prepared; so the next larger one is taken, and a row whose first column is NULL is none.
const SIZES: [usize; 20] = [
    1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192, 256,
];

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// TEXT.
    Text,
    /// BIGINT.
    Int,
    /// BYTEA or BLOB.
    Bytes,
}

/// A prepared multi-row INSERT into a table, in both engines' form: `SQLite` gets the rows as `VALUES`, PostgreSQL
/// as one array a column, so that any number of rows is the same statement.
#[derive(Debug)]
pub struct BulkInsert {
    columns: &'static [(&'static str, ColumnType)],
    /// In the order of [`SIZES`].
    sqlite: Vec<Arc<str>>,
    postgres: Arc<str>,
}

impl BulkInsert {
    /// Most rows of one statement.
    pub const MAX_ROWS: usize = SIZES[SIZES.len() - 1];

    /// Into these columns of `table`, both constants of the caller. The first column must be NOT NULL.
    #[must_use]
    pub fn new(table: &'static str, columns: &'static [(&'static str, ColumnType)]) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let into = format!("INSERT INTO {table} ({})", names.join(", "));
        Self {
            columns,
            sqlite: SIZES
                .iter()
                .map(|rows| values_sql(&into, columns.len(), *rows))
                .collect(),
            postgres: unnest_sql(&into, columns),
        }
    }

    /// Inserts and commits; `values` are whole rows one after the other, at most [`Self::MAX_ROWS`]. When it returns
    /// the rows are on disk.
    pub async fn run(&self, pool: &Pool, values: Vec<Value>) -> Result<()> {
        let rows = values.len() / self.columns.len();
        if rows == 0 {
            return Ok(());
        }
        let Some(size) = SIZES.iter().position(|size| *size >= rows) else {
            return Err(DbError::Config(format!("{rows} rows in one statement")));
        };
        match &pool.0.connections {
            Connections::Sqlite(sqlite) => {
                let query = sqlite_query(text(&self.sqlite[size]), Vec::new());
                let query = bind_rows(query, values, self.columns.len());
                query.execute(&sqlite.writer).await?;
            }
            Connections::Postgres(postgres) => {
                let mut query = postgres_query(text(&self.postgres), Vec::new());
                for (index, (_, kind)) in self.columns.iter().enumerate() {
                    let column = values.iter().skip(index).step_by(self.columns.len());
                    query = match kind {
                        ColumnType::Text => query.bind(column.map(as_text).collect::<Vec<_>>()),
                        ColumnType::Int => query.bind(column.map(as_int).collect::<Vec<_>>()),
                        ColumnType::Bytes => query.bind(column.map(as_bytes).collect::<Vec<_>>()),
                    };
                }
                query.execute(&postgres.pool).await?;
            }
        }
        Ok(())
    }
}

/// Rows repeat much of the row above them: account, action, caller. Such a text is shared instead of copied.
fn bind_rows(
    mut query: Query<'static, Sqlite, SqliteArguments>,
    values: Vec<Value>,
    columns: usize,
) -> Query<'static, Sqlite, SqliteArguments> {
    let mut above: Vec<Option<Arc<str>>> = vec![None; columns];
    for (index, value) in values.into_iter().enumerate() {
        let above = &mut above[index % columns];
        query = match value {
            Value::Text(text) => {
                let text = match above {
                    Some(same) if **same == *text => Arc::clone(same),
                    _ => Arc::clone(above.insert(text.into())),
                };
                query.bind(text)
            }
            value => bind_value(query, value),
        };
    }
    query
}

/// Anonymous parameters: numbered ones cost `SQLite` time in the square of their number.
fn values_sql(into: &str, columns: usize, rows: usize) -> Arc<str> {
    let row = format!("({})", vec!["?"; columns].join(","));
    let rows = vec![row; rows].join(",");
    format!("{into} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL").into()
}

fn unnest_sql(into: &str, columns: &[(&str, ColumnType)]) -> Arc<str> {
    let arrays: Vec<String> = columns
        .iter()
        .zip(1..)
        .map(|((_, kind), number)| match kind {
            ColumnType::Text => format!("${number}::text[]"),
            ColumnType::Int => format!("${number}::bigint[]"),
            ColumnType::Bytes => format!("${number}::bytea[]"),
        })
        .collect();
    format!("{into} SELECT * FROM unnest({})", arrays.join(", ")).into()
}

fn text(sql: &Arc<str>) -> SqlStr {
    AssertSqlSafe(Arc::clone(sql)).into_sql_str()
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn as_int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(*int),
        _ => None,
    }
}

fn as_bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
