use countersign_db::{DbError, Engine, Migration, Pool, migrate, params};

use crate::{NOW, TABLES};

fn with_second(sql: &'static str) -> Vec<Migration> {
    let mut migrations = TABLES.to_vec();
    migrations.push(Migration {
        version: 2,
        name: "second",
        sqlite: sql,
        postgres: sql,
    });
    migrations
}

#[tokio::test]
async fn migrations_run_once_and_in_order() {
    for db in countersign_db::testing::databases().await {
        let two = with_second("CREATE TABLE second_table (id TEXT)");
        migrate(&db.pool, "test", TABLES, NOW).await.expect("first");
        migrate(&db.pool, "test", &two, NOW).await.expect("second");
        migrate(&db.pool, "test", &two, NOW).await.expect("nothing to do");
        migrate(&db.pool, "other", &[], NOW).await.expect("another owner");
        let rows = db
            .pool
            .fetch_all(
                "SELECT version FROM migration WHERE owner = $1 ORDER BY version",
                params!["test"],
            )
            .await
            .expect("reads");
        let versions: Vec<i64> = rows.iter().map(|row| row.int("version").expect("int")).collect();
        assert_eq!(versions, [1, 2], "{}", db.name);
    }
}

#[tokio::test]
async fn a_newer_schema_and_a_changed_migration_are_refused() {
    for db in countersign_db::testing::databases().await {
        let two = with_second("CREATE TABLE second_table (id TEXT)");
        migrate(&db.pool, "test", &two, NOW).await.expect("migrates");
        let older = migrate(&db.pool, "test", TABLES, NOW).await;
        assert!(
            matches!(
                older,
                Err(DbError::Newer {
                    found: 2,
                    known: 1,
                    ..
                })
            ),
            "{}: {older:?}",
            db.name
        );
        let edited = with_second("CREATE TABLE second_table (id TEXT, more TEXT)");
        let changed = migrate(&db.pool, "test", &edited, NOW).await;
        assert!(
            matches!(changed, Err(DbError::MigrationChanged { version: 2, .. })),
            "{}: {changed:?}",
            db.name
        );
    }
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing_and_frees_the_lease() {
    for db in countersign_db::testing::databases().await {
        let broken = with_second("CREATE TABLE half (id TEXT); CREATE TABLE half (id TEXT);");
        migrate(&db.pool, "test", &broken, NOW)
            .await
            .expect_err("the table exists twice");
        let mended = with_second("CREATE TABLE half (id TEXT)");
        migrate(&db.pool, "test", &mended, NOW)
            .await
            .expect("the lease is free and the table is not there");
    }
}

#[tokio::test]
async fn processes_that_start_together_migrate_once() {
    for db in countersign_db::testing::databases().await {
        let mut pools = vec![db.pool.clone()];
        for _ in 0..3 {
            pools.push(match db.engine() {
                Engine::Sqlite => db.pool.clone(),
                Engine::Postgres => Pool::connect(&db.database).await.expect("a second replica"),
            });
        }
        let runs = pools
            .into_iter()
            .map(|pool| tokio::spawn(async move { migrate(&pool, "test", TABLES, NOW).await }));
        for run in runs.collect::<Vec<_>>() {
            run.await.expect("no panic").expect(db.name);
        }
    }
}
