//! Migrations, run by one process at a time under our own lease row (no advisory locks: servers of the
//! `CockroachDB` family have none).

use std::time::Duration;

use tokio::time::Instant;

use crate::pool::{Connections, assembled, postgres_query};
use crate::{DbError, Engine, Fence, Pool, Result, claim_lease, params, release_lease};

/// One step of a schema. Its text never changes once released.
#[derive(Clone, Debug)]
pub struct Migration {
    /// 1, 2, 3, … without gaps.
    pub version: i64,
    /// A few words, for the migration table.
    pub name: &'static str,
    /// The statements for `SQLite`; tables are `STRICT`.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL.
    pub postgres: &'static str,
}

const LEASE: &str = "migration";
const LEASE_TTL_MICROS: i64 = 120_000_000;
const LEASE_WAIT: Duration = Duration::from_mins(3);
const LEASE_RETRY: Duration = Duration::from_millis(100);

/// The tables that must exist before a lease can be taken.
const BOOTSTRAP_SQLITE: &str = "\
CREATE TABLE IF NOT EXISTS migration (owner TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, \
checksum TEXT NOT NULL, applied_at INTEGER NOT NULL, PRIMARY KEY (owner, version)) STRICT;
CREATE TABLE IF NOT EXISTS lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, \
lease_until INTEGER NOT NULL) STRICT;";
const BOOTSTRAP_POSTGRES: &str = "\
CREATE TABLE IF NOT EXISTS migration (owner TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, \
checksum TEXT NOT NULL, applied_at BIGINT NOT NULL, PRIMARY KEY (owner, version));
CREATE TABLE IF NOT EXISTS lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, fence BIGINT NOT NULL, \
lease_until BIGINT NOT NULL);";

/// This crate's own tables.
const OWN: &[Migration] = &[Migration {
    version: 1,
    name: "identity and change feed",
    sqlite: "\
CREATE TABLE database_identity (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), id TEXT NOT NULL, \
restore_epoch INTEGER NOT NULL, dev INTEGER NOT NULL) STRICT;
INSERT INTO database_identity VALUES (1, lower(hex(randomblob(16))), 0, 0);
CREATE TABLE change (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, \
recorded_at INTEGER NOT NULL) STRICT;",
    postgres: "\
CREATE TABLE database_identity (singleton BIGINT PRIMARY KEY CHECK (singleton = 1), id TEXT NOT NULL, \
restore_epoch BIGINT NOT NULL, dev BIGINT NOT NULL);
INSERT INTO database_identity VALUES (1, replace(gen_random_uuid()::text, '-', ''), 0, 0);
CREATE TABLE change (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind TEXT NOT NULL, \
key TEXT NOT NULL, recorded_at BIGINT NOT NULL);",
}];

/// Brings `owner`'s tables (and this crate's own) to the newest version in `migrations`. Every process may
/// call it at every start: an up-to-date schema is left alone, a newer one is refused.
pub async fn migrate(
    pool: &Pool,
    owner: &'static str,
    migrations: &[Migration],
    now_micros: i64,
) -> Result<()> {
    bootstrap(pool).await?;
    let started = Instant::now();
    let now = || now_micros.saturating_add(i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX));
    let fence = wait_for_lease(pool, &now).await?;
    let outcome = async {
        apply(pool, "db", OWN, fence, &now).await?;
        apply(pool, owner, migrations, fence, &now).await
    }
    .await;
    release_lease(pool, LEASE, fence).await?;
    outcome
}

/// The steps that lead to the schema of a backup: those of `owner` up to its version in `versions`.
/// [`DbError::Newer`] when there are not as many.
pub fn up_to<'m>(
    owner: &'static str,
    migrations: &'m [Migration],
    versions: &std::collections::BTreeMap<String, i64>,
) -> Result<&'m [Migration]> {
    let found = versions.get(owner).copied().unwrap_or(0);
    let known = migrations.last().map_or(0, |migration| migration.version);
    let steps = usize::try_from(found)
        .ok()
        .and_then(|steps| migrations.get(..steps));
    steps.ok_or(DbError::Newer { owner, found, known })
}

async fn bootstrap(pool: &Pool) -> Result<()> {
    if let Connections::Postgres(postgres) = &pool.0.connections {
        // Only when missing: the role of a hardened deployment may not create schemas.
        let known = pool
            .fetch_optional(
                "SELECT 1::BIGINT AS found FROM information_schema.schemata WHERE schema_name = $1",
                params![postgres.schema.as_str()],
            )
            .await?;
        if known.is_none() {
            let create = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", postgres.schema);
            // Two processes may both get here: PostgreSQL's IF NOT EXISTS is not atomic.
            match postgres_query(assembled(create), params![])
                .execute(&postgres.pool)
                .await
                .map_err(DbError::from)
            {
                Ok(_) | Err(DbError::Constraint(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    for attempt in 0..3 {
        match bootstrap_tables(pool).await {
            Err(error) if attempt < 2 && is_of_a_race(&error) => tokio::time::sleep(LEASE_RETRY).await,
            outcome => return outcome,
        }
    }
    Ok(())
}

/// Whether another process made the tables at the same moment: PostgreSQL's IF NOT EXISTS is not atomic, and says so
/// by a broken constraint of its catalogue, by `duplicate_table`, or by `duplicate_object` about the table's row type.
fn is_of_a_race(error: &DbError) -> bool {
    match error {
        DbError::Constraint(_) | DbError::Conflict(_) => true,
        DbError::Sql(error) => error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == "42P07" || code == "42710"),
        _ => false,
    }
}

async fn bootstrap_tables(pool: &Pool) -> Result<()> {
    let mut tx = pool.begin().await?;
    tx.run_script(match pool.engine() {
        Engine::Sqlite => BOOTSTRAP_SQLITE,
        Engine::Postgres => BOOTSTRAP_POSTGRES,
    })
    .await?;
    tx.commit().await
}

async fn wait_for_lease(pool: &Pool, now: &impl Fn() -> i64) -> Result<Fence> {
    let holder = format!("process {}", std::process::id());
    let deadline = Instant::now() + LEASE_WAIT;
    loop {
        if let Some(fence) = claim_lease(pool, LEASE, &holder, now(), LEASE_TTL_MICROS).await? {
            return Ok(fence);
        }
        if Instant::now() >= deadline {
            return Err(DbError::MigrationLease);
        }
        tokio::time::sleep(LEASE_RETRY).await;
    }
}

async fn apply(
    pool: &Pool,
    owner: &'static str,
    migrations: &[Migration],
    fence: Fence,
    now: &impl Fn() -> i64,
) -> Result<()> {
    let applied = pool
        .fetch_all(
            "SELECT version, checksum FROM migration WHERE owner = $1 ORDER BY version",
            params![owner],
        )
        .await?;
    let known = migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    let mut present = Vec::new();
    for row in &applied {
        let version = row.int("version")?;
        present.push(version);
        match migrations.iter().find(|migration| migration.version == version) {
            None => {
                return Err(DbError::Newer {
                    owner,
                    found: version,
                    known,
                });
            }
            Some(migration) if row.text("checksum")? != checksum(migration, pool.engine()) => {
                return Err(DbError::MigrationChanged { owner, version });
            }
            Some(_) => {}
        }
    }
    let missing = migrations
        .iter()
        .filter(|migration| !present.contains(&migration.version));
    for migration in missing {
        // Boxed: by far the largest step, in the future of every start.
        Box::pin(apply_one(pool, owner, migration, fence, now())).await?;
        tracing::info!(
            db.owner = owner,
            db.version = migration.version,
            "migrated: {}",
            migration.name
        );
    }
    Ok(())
}

/// One migration and its row, in one transaction that also proves that the lease is still ours.
async fn apply_one(
    pool: &Pool,
    owner: &'static str,
    migration: &Migration,
    fence: Fence,
    now_micros: i64,
) -> Result<()> {
    let mut tx = pool.begin().await?;
    let held = tx
        .execute(
            "UPDATE lease SET lease_until = $1 WHERE name = $2 AND fence = $3",
            params![now_micros.saturating_add(LEASE_TTL_MICROS), LEASE, fence.0],
        )
        .await?;
    if held != 1 {
        return Err(DbError::MigrationLease);
    }
    tx.run_script(match pool.engine() {
        Engine::Sqlite => migration.sqlite,
        Engine::Postgres => migration.postgres,
    })
    .await?;
    tx.execute(
        "INSERT INTO migration (owner, version, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
        params![
            owner,
            migration.version,
            migration.name,
            checksum(migration, pool.engine()),
            now_micros
        ],
    )
    .await?;
    tx.commit().await
}

/// FNV-1a over the text: it finds an edited migration, it is no defence against an attacker (who could
/// rewrite the row as well).
fn checksum(migration: &Migration, engine: Engine) -> String {
    let text = match engine {
        Engine::Sqlite => migration.sqlite,
        Engine::Postgres => migration.postgres,
    };
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
