//! A result row of either engine.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Decode, Postgres, Row as _, Sqlite, Type};

use crate::{DbError, Result};

/// A result row. Columns are asked for by name and type; a value of another type is an error, never converted.
#[derive(Debug)]
pub struct Row(pub(crate) Engine);

#[derive(Debug)]
pub(crate) enum Engine {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A TEXT column.
    pub fn text(&self, column: &'static str) -> Result<String> {
        self.required(column)
    }

    /// A TEXT column that may be NULL.
    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>> {
        self.get(column)
    }

    /// A BIGINT column.
    pub fn int(&self, column: &'static str) -> Result<i64> {
        self.required(column)
    }

    /// A BIGINT column that may be NULL.
    pub fn opt_int(&self, column: &'static str) -> Result<Option<i64>> {
        self.get(column)
    }

    /// A BYTEA or BLOB column.
    pub fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        self.required(column)
    }

    /// A BYTEA or BLOB column that may be NULL.
    pub fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>> {
        self.get(column)
    }

    /// The value at a place of the result, for tables that only the catalogue knows.
    pub(crate) fn at<T>(&self, place: usize) -> std::result::Result<Option<T>, String>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            Engine::Sqlite(row) => row.try_get(place),
            Engine::Postgres(row) => row.try_get(place),
        }
        .map_err(|error| error.to_string())
    }

    /// The names of the columns, in the order of the result.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        match &self.0 {
            Engine::Sqlite(row) => row.columns().iter().map(Column::name).collect(),
            Engine::Postgres(row) => row.columns().iter().map(Column::name).collect(),
        }
    }

    /// Asks for an `Option`, since sqlx decodes a `SQLite` NULL as 0 or as empty when asked for a plain value.
    fn required<T>(&self, column: &'static str) -> Result<T>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        self.get(column)?.ok_or_else(|| DbError::Column {
            column,
            reason: "unexpected NULL".to_owned(),
        })
    }

    fn get<T>(&self, column: &'static str) -> Result<Option<T>>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            Engine::Sqlite(row) => row.try_get(column),
            Engine::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| DbError::Column {
            column,
            reason: error.to_string(),
        })
    }
}
