//! Whole tables as they are, for backups: read from one engine, written into either.
//!
//! What belongs to a running installation alone is left out: leases, the change feed, and the tables of migrations and
//! of the database's own identity, which a new database has already.

use std::collections::BTreeMap;

use crate::{ColumnType, DbError, Engine, Result, Row, Transaction, Value, params};

/// Tables that are not part of a dump.
const LEFT_OUT: [&str; 4] = ["lease", "change", "migration", "database_identity"];

/// A table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpTable {
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<(String, ColumnType)>,
    /// The columns of its primary key: places in `columns`.
    pub key: Vec<usize>,
}

/// The tables of the database, each behind those that it refers to.
pub async fn dump_tables(tx: &mut Transaction) -> Result<Vec<DumpTable>> {
    let names = match tx.engine() {
        Engine::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        }
        Engine::Postgres => {
            "SELECT table_name::TEXT AS name FROM information_schema.tables WHERE table_schema = current_schema() \
             AND table_type = 'BASE TABLE' ORDER BY table_name"
        }
    };
    let mut tables = BTreeMap::new();
    for row in tx.fetch_all(names, params![]).await? {
        let name = row.text("name")?;
        if !LEFT_OUT.contains(&name.as_str()) {
            let table = describe(tx, &name).await?;
            let targets = references(tx, &name).await?;
            tables.insert(name, (table, targets));
        }
    }
    let mut ordered: Vec<DumpTable> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let free = tables.iter().find(|(name, (_, targets))| {
            let waits = |target: &String| target != *name && tables.contains_key(target);
            !targets.iter().any(waits)
        });
        let Some(name) = free.map(|(name, _)| name.clone()) else {
            return Err(DbError::Config(
                "tables refer to each other in a circle".to_owned(),
            ));
        };
        ordered.extend(tables.remove(&name).map(|(table, _)| table));
    }
    Ok(ordered)
}

/// The newest version of each owner's schema.
pub async fn schema_versions(tx: &mut Transaction) -> Result<BTreeMap<String, i64>> {
    let sql = "SELECT owner, MAX(version) AS version FROM migration GROUP BY owner ORDER BY owner";
    let rows = tx.fetch_all(sql, params![]).await?;
    rows.iter()
        .map(|row| Ok((row.text("owner")?, row.int("version")?)))
        .collect()
}

/// Makes a database that was filled from a backup the one that was backed up, one restore later.
pub async fn set_restored_identity(tx: &mut Transaction, id: &str, restore_epoch: i64) -> Result<()> {
    tx.execute(
        "UPDATE database_identity SET id = $1, restore_epoch = $2 WHERE singleton = 1",
        params![id, restore_epoch],
    )
    .await
    .map(drop)
}

async fn describe(tx: &mut Transaction, table: &str) -> Result<DumpTable> {
    // Places of the primary key count from 1; 0: not in it.
    let sql = match tx.engine() {
        Engine::Sqlite => "SELECT name, type AS kind, pk FROM pragma_table_info($1) ORDER BY cid",
        Engine::Postgres => {
            "SELECT c.column_name::TEXT AS name, c.data_type::TEXT AS kind, COALESCE((SELECT k.ordinal_position::BIGINT \
             FROM information_schema.key_column_usage k JOIN information_schema.table_constraints t \
             ON t.constraint_name = k.constraint_name AND t.table_schema = k.table_schema \
             AND t.table_name = k.table_name WHERE t.constraint_type = 'PRIMARY KEY' \
             AND k.table_schema = c.table_schema AND k.table_name = c.table_name \
             AND k.column_name = c.column_name), 0) AS pk FROM information_schema.columns c \
             WHERE c.table_schema = current_schema() AND c.table_name = $1 ORDER BY c.ordinal_position"
        }
    };
    let mut described = DumpTable {
        name: table.to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
    };
    let mut key = BTreeMap::new();
    for row in tx.fetch_all(sql, params![table]).await? {
        let name = row.text("name")?;
        let kind = match row.text("kind")?.to_ascii_lowercase().as_str() {
            "text" => ColumnType::Text,
            "integer" | "bigint" => ColumnType::Int,
            "blob" | "bytea" => ColumnType::Bytes,
            other => {
                return Err(DbError::Config(format!(
                    "{table}.{name} is of type {other}, which no table of this program has"
                )));
            }
        };
        let place = row.int("pk")?;
        if place > 0 {
            key.insert(place, described.columns.len());
        }
        described.columns.push((name, kind));
    }
    described.key = key.into_values().collect();
    if described.key.is_empty() {
        return Err(DbError::Config(format!("{table} has no primary key")));
    }
    Ok(described)
}

async fn references(tx: &mut Transaction, table: &str) -> Result<Vec<String>> {
    let sql = match tx.engine() {
        Engine::Sqlite => "SELECT DISTINCT \"table\" AS name FROM pragma_foreign_key_list($1)",
        Engine::Postgres => {
            "SELECT DISTINCT target.relname::TEXT AS name FROM pg_constraint c \
             JOIN pg_class source ON source.oid = c.conrelid JOIN pg_class target ON target.oid = c.confrelid \
             JOIN pg_namespace n ON n.oid = source.relnamespace \
             WHERE c.contype = 'f' AND n.nspname = current_schema() AND source.relname = $1"
        }
    };
    let rows = tx.fetch_all(sql, params![table]).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

impl DumpTable {
    /// At most `limit` rows behind the one whose key is `after`, in the order of their keys.
    pub async fn page(
        &self,
        tx: &mut Transaction,
        after: Option<Vec<Value>>,
        limit: i64,
    ) -> Result<Vec<Vec<Value>>> {
        let key: Vec<String> = self.key.iter().map(|at| quoted(&self.columns[*at].0)).collect();
        let key = key.join(", ");
        let beyond = match &after {
            None => String::new(),
            Some(values) => format!(" WHERE ({key}) > ({})", places(1, values.len())),
        };
        let mut values = after.unwrap_or_default();
        values.push(Value::Int(limit));
        let sql = format!(
            "SELECT {} FROM {}{beyond} ORDER BY {key} LIMIT ${}",
            self.column_names(),
            quoted(&self.name),
            values.len()
        );
        let rows = tx.fetch_all_text(sql, values).await?;
        rows.iter().map(|row| self.values(row)).collect()
    }

    /// The key of a row, for the next [`Self::page`].
    #[must_use]
    pub fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().map(|at| row[*at].clone()).collect()
    }

    /// Puts a row into the table.
    pub async fn insert(&self, tx: &mut Transaction, row: Vec<Value>) -> Result<()> {
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(&self.name),
            self.column_names(),
            places(1, row.len())
        );
        tx.execute_text(sql, row).await.map(drop)
    }

    fn column_names(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| quoted(name)).collect();
        names.join(", ")
    }

    fn values(&self, row: &Row) -> Result<Vec<Value>> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, (name, kind))| {
                let value = match kind {
                    ColumnType::Text => row.at::<String>(at).map(Value::from),
                    ColumnType::Int => row.at::<i64>(at).map(Value::from),
                    ColumnType::Bytes => row.at::<Vec<u8>>(at).map(Value::from),
                };
                value.map_err(|reason| DbError::Config(format!("{}.{name}: {reason}", self.name)))
            })
            .collect()
    }
}

/// Names come from the catalogue of our own database.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `$1, $2, …`
fn places(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}
