//! The conformance suite: each test runs on `SQLite`, and on PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server.

mod change;
mod lease;
mod migrate;
mod pool;

use countersign_db::testing::TestDatabase;
use countersign_db::{Migration, migrate};

/// 2023-11-14T22:13:20Z, in microseconds.
const NOW: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;

const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "a table of every type",
    sqlite: "CREATE TABLE item (id TEXT PRIMARY KEY, number INTEGER, body BLOB) STRICT; \
             CREATE TABLE part (id TEXT PRIMARY KEY, item TEXT NOT NULL REFERENCES item (id)) STRICT;",
    postgres: "CREATE TABLE item (id TEXT PRIMARY KEY, number BIGINT, body BYTEA); \
               CREATE TABLE part (id TEXT PRIMARY KEY, item TEXT NOT NULL REFERENCES item (id));",
}];

/// Fresh databases with [`TABLES`].
async fn databases() -> Vec<TestDatabase> {
    let databases = countersign_db::testing::databases().await;
    for database in &databases {
        migrate(&database.pool, "test", TABLES, NOW)
            .await
            .expect("migrates");
    }
    databases
}
