//! Statement parameters.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite};

/// A statement parameter. NULL is typed because PostgreSQL infers the parameter's type from it.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// TEXT.
    Text(String),
    /// BIGINT.
    Int(i64),
    /// BYTEA or BLOB.
    Bytes(Vec<u8>),
    /// A TEXT NULL.
    NullText,
    /// A BIGINT NULL.
    NullInt,
    /// A BYTEA or BLOB NULL.
    NullBytes,
}

/// Only the kind: parameters may hold sealed values, hashes and personal data.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Int(_) => "Int(..)",
            Self::Bytes(_) => "Bytes(..)",
            Self::NullText | Self::NullInt | Self::NullBytes => "Null",
        })
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}
impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}
impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}
impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::NullText, Self::Text)
    }
}
impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        value.map_or(Self::NullText, Self::from)
    }
}
impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::NullInt, Self::Int)
    }
}
impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::NullBytes, Self::Bytes)
    }
}
impl From<Option<&[u8]>> for Value {
    fn from(value: Option<&[u8]>) -> Self {
        value.map_or(Self::NullBytes, Self::from)
    }
}

pub(crate) fn bind_sqlite(
    query: Query<'static, Sqlite, SqliteArguments>,
    params: Vec<Value>,
) -> Query<'static, Sqlite, SqliteArguments> {
    params.into_iter().fold(query, bind_value)
}

pub(crate) fn bind_value(
    query: Query<'static, Sqlite, SqliteArguments>,
    value: Value,
) -> Query<'static, Sqlite, SqliteArguments> {
    match value {
        Value::Text(text) => query.bind(text),
        Value::Int(int) => query.bind(int),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::NullText => query.bind(None::<String>),
        Value::NullInt => query.bind(None::<i64>),
        Value::NullBytes => query.bind(None::<Vec<u8>>),
    }
}

pub(crate) fn bind_postgres(
    mut query: Query<'static, Postgres, PgArguments>,
    params: Vec<Value>,
) -> Query<'static, Postgres, PgArguments> {
    for value in params {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Int(int) => query.bind(int),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::NullText => query.bind(None::<String>),
            Value::NullInt => query.bind(None::<i64>),
            Value::NullBytes => query.bind(None::<Vec<u8>>),
        };
    }
    query
}
