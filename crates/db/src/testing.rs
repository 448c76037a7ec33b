//! Databases for tests: `SQLite` in a temporary directory always, and a schema of its own in PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server. Gone when the value is dropped.

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::pool::{assembled, postgres_query};
use crate::postgres::Postgres;
use crate::{Database, Engine, Pool, params};

/// The variable that names a PostgreSQL server for tests.
pub const POSTGRES_URL: &str = "COUNTERSIGN_TEST_POSTGRES_URL";

/// A database that a test may fill.
#[derive(Debug)]
pub struct TestDatabase {
    /// `sqlite` or `postgres`, for assertion messages.
    pub name: &'static str,
    /// Open for writing; nothing is migrated yet.
    pub pool: Pool,
    /// How to open it again (a second replica on PostgreSQL; after closing the pool on `SQLite`).
    pub database: Database,
    _guard: Guard,
}

#[derive(Debug)]
enum Guard {
    Directory { _directory: TempDir },
    Schema { url: String, schema: String },
}

/// A fresh database of each engine that can be had.
///
/// # Panics
/// When one cannot be created.
pub async fn databases() -> Vec<TestDatabase> {
    let mut all = vec![sqlite().await];
    #[expect(clippy::disallowed_methods, reason = "test set-up, not product code")]
    if let Ok(url) = std::env::var(POSTGRES_URL)
        && !url.is_empty()
    {
        all.push(postgres(url).await);
    }
    all
}

/// A fresh `SQLite` database.
///
/// # Panics
/// When it cannot be created.
pub async fn sqlite() -> TestDatabase {
    let directory = TempDir::new().expect("a temporary directory");
    let database = Database::Sqlite {
        path: directory.path().join("test.sqlite"),
        read_only: false,
    };
    let pool = Pool::connect(&database).await.expect("SQLite opens");
    TestDatabase {
        name: "sqlite",
        pool,
        database,
        _guard: Guard::Directory {
            _directory: directory,
        },
    }
}

async fn postgres(url: String) -> TestDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = format!(
        "test_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    drop_schema(&url, &schema).await;
    let database = Database::Postgres {
        url: url.clone().into(),
        schema: schema.clone(),
        max_connections: 5,
    };
    let pool = Pool::connect(&database).await.expect("PostgreSQL answers");
    TestDatabase {
        name: "postgres",
        pool,
        database,
        _guard: Guard::Schema { url, schema },
    }
}

async fn drop_schema(url: &str, schema: &str) {
    let postgres = Postgres::connect(&url.to_owned().into(), schema, 1)
        .await
        .expect("PostgreSQL answers");
    // A test that ends with a transaction open must not hold up all others.
    let limit = assembled("SET statement_timeout = 3000".to_owned());
    postgres_query(limit, params![])
        .execute(&postgres.pool)
        .await
        .expect("a setting of the session");
    let drop = assembled(format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"));
    postgres_query(drop, params![])
        .execute(&postgres.pool)
        .await
        .expect("the schema can be dropped");
    postgres.pool.close().await;
}

impl TestDatabase {
    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.pool.engine()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Self::Schema { url, schema } = self else {
            return;
        };
        let (url, schema) = (std::mem::take(url), std::mem::take(schema));
        // A runtime of its own: drop may run on one that is shutting down.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(drop_schema(&url, &schema));
            }
        });
        // A failure leaves a schema behind in a private test server.
        let _ = dropping.join();
    }
}
