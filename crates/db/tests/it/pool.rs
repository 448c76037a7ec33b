use countersign_db::{
    Database, DbError, Engine, Pool, Value, database_identity, migrate, params, set_dev_mark,
};

use crate::{NOW, TABLES, databases};

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    for db in databases().await {
        let insert = "INSERT INTO item (id, number, body) VALUES ($1, $2, $3)";
        db.pool
            .execute(insert, params!["full", i64::MIN, vec![0_u8, 255]])
            .await
            .expect("inserts");
        let nulls = vec![Value::from("empty"), Value::NullInt, Value::NullBytes];
        db.pool.execute(insert, nulls).await.expect("inserts");

        let select = "SELECT id, number, body FROM item ORDER BY id DESC";
        let rows = db.pool.fetch_all(select, params![]).await.expect("reads");
        assert_eq!(rows.len(), 2, "{}", db.name);
        assert_eq!(rows[0].columns(), ["id", "number", "body"]);
        assert_eq!(rows[0].text("id").expect("text"), "full");
        assert_eq!(rows[0].int("number").expect("int"), i64::MIN);
        assert_eq!(rows[0].bytes("body").expect("bytes"), [0, 255]);
        assert_eq!(rows[1].opt_int("number").expect("null"), None);
        assert_eq!(rows[1].opt_bytes("body").expect("null"), None);
        assert!(matches!(
            rows[1].int("number"),
            Err(DbError::Column { column: "number", .. })
        ));
        assert!(
            matches!(rows[0].int("id"), Err(DbError::Column { column: "id", .. })),
            "no conversion"
        );
    }
}

#[tokio::test]
async fn returning_runs_where_it_can_write() {
    for db in databases().await {
        let row = db
            .pool
            .fetch_optional(
                "INSERT INTO item (id, number) VALUES ($1, $2) RETURNING number",
                params!["a", 7],
            )
            .await
            .expect("writes")
            .expect("a row");
        assert_eq!(row.int("number").expect("int"), 7, "{}", db.name);
    }
}

#[tokio::test]
async fn constraints_are_told_from_other_errors() {
    for db in databases().await {
        let insert = "INSERT INTO item (id) VALUES ($1)";
        db.pool.execute(insert, params!["a"]).await.expect("inserts");
        let again = db.pool.execute(insert, params!["a"]).await;
        assert!(
            matches!(again, Err(DbError::Constraint(_))),
            "{}: {again:?}",
            db.name
        );
        let orphan = db
            .pool
            .execute(
                "INSERT INTO part (id, item) VALUES ($1, $2)",
                params!["p", "none"],
            )
            .await;
        assert!(
            matches!(orphan, Err(DbError::Constraint(_))),
            "{}: {orphan:?}",
            db.name
        );
        let wrong = db.pool.execute("SELECT nonsense", params![]).await;
        assert!(matches!(wrong, Err(DbError::Sql(_))), "{}: {wrong:?}", db.name);
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    for db in databases().await {
        let mut tx = db.pool.begin().await.expect("begins");
        tx.execute("INSERT INTO item (id) VALUES ($1)", params!["a"])
            .await
            .expect("inserts");
        drop(tx);
        // The next writer runs only after the rollback.
        db.pool
            .execute("INSERT INTO item (id) VALUES ($1)", params!["b"])
            .await
            .expect("inserts");
        let rows = db
            .pool
            .fetch_all("SELECT id FROM item", params![])
            .await
            .expect("reads");
        assert_eq!(rows.len(), 1, "{}", db.name);
    }
}

#[tokio::test]
async fn a_snapshot_sees_one_moment() {
    for db in databases().await {
        let mut snapshot = db.pool.snapshot().await.expect("begins");
        let count = "SELECT count(*) AS n FROM item";
        let before = snapshot
            .fetch_optional(count, params![])
            .await
            .expect("reads")
            .expect("row");
        db.pool
            .execute("INSERT INTO item (id) VALUES ($1)", params!["a"])
            .await
            .expect("inserts");
        let after = snapshot
            .fetch_optional(count, params![])
            .await
            .expect("reads")
            .expect("row");
        assert_eq!(
            before.int("n").expect("n"),
            after.int("n").expect("n"),
            "{}",
            db.name
        );
        let write = snapshot
            .execute("INSERT INTO item (id) VALUES ($1)", params!["b"])
            .await;
        assert!(write.is_err(), "{}: a snapshot is read-only", db.name);
    }
}

#[tokio::test]
async fn many_writers_queue_without_conflicts() {
    for db in databases().await {
        let tasks = (0..40_i64).map(|n| {
            let pool = db.pool.clone();
            tokio::spawn(async move {
                let mut tx = pool.begin().await?;
                tx.execute(
                    "INSERT INTO item (id, number) VALUES ($1, $2)",
                    params![n.to_string(), n],
                )
                .await?;
                tx.commit().await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic").expect("commits");
        }
        let rows = db
            .pool
            .fetch_all("SELECT id FROM item", params![])
            .await
            .expect("reads");
        assert_eq!(rows.len(), 40, "{}", db.name);
    }
}

#[tokio::test]
async fn two_servers_on_one_sqlite_file_are_refused() {
    let db = countersign_db::testing::sqlite().await;
    let second = Pool::connect(&db.database)
        .await
        .expect_err("the first holds the file");
    assert!(matches!(second, DbError::InUse { .. }));
    assert!(
        second
            .to_string()
            .contains("in use by another countersign process"),
        "{second}"
    );
    db.pool.close().await;
    Pool::connect(&db.database).await.expect("free again");
}

#[tokio::test]
async fn a_read_only_pool_works_beside_a_server_and_after_it() {
    let db = countersign_db::testing::sqlite().await;
    migrate(&db.pool, "test", TABLES, NOW).await.expect("migrates");
    db.pool
        .execute("INSERT INTO item (id) VALUES ($1)", params!["a"])
        .await
        .expect("inserts");
    let read_only = db.database.clone().read_only();
    for stopped in [false, true] {
        if stopped {
            db.pool.close().await;
        }
        let reader = Pool::connect(&read_only).await.expect("opens");
        let rows = reader
            .fetch_all("SELECT id FROM item", params![])
            .await
            .expect("reads");
        assert_eq!(rows.len(), 1, "stopped: {stopped}");
        let write = reader
            .execute("INSERT INTO item (id) VALUES ($1)", params!["b"])
            .await;
        assert!(write.is_err(), "stopped: {stopped}");
        reader.close().await;
    }
    let missing = Database::Sqlite {
        path: "/nonexistent/x.sqlite".into(),
        read_only: true,
    };
    assert!(matches!(Pool::connect(&missing).await, Err(DbError::Io { .. })));
}

#[tokio::test]
async fn commits_are_durable_by_configuration() {
    for db in databases().await {
        let (sql, column, expected) = match db.engine() {
            // The pragma is read on the connection that writes. 2 is FULL.
            Engine::Sqlite => ("PRAGMA synchronous", "synchronous", "2"),
            Engine::Postgres => ("SHOW synchronous_commit", "synchronous_commit", "on"),
        };
        let row = db
            .pool
            .fetch_optional(sql, params![])
            .await
            .expect("reads")
            .expect("row");
        let value = row
            .text(column)
            .or_else(|_| row.int(column).map(|n| n.to_string()))
            .expect("a value");
        assert_eq!(value, expected, "{}", db.name);
    }
}

#[tokio::test]
async fn a_database_has_an_identity_and_keeps_its_dev_mark() {
    for db in countersign_db::testing::databases().await {
        assert!(
            matches!(database_identity(&db.pool).await, Err(DbError::Uninitialized)),
            "{}",
            db.name
        );
        migrate(&db.pool, "test", TABLES, NOW).await.expect("migrates");
        let identity = database_identity(&db.pool).await.expect("there");
        assert_eq!(
            (identity.id.len(), identity.restore_epoch, identity.dev),
            (32, 0, false),
            "{}",
            db.name
        );
        set_dev_mark(&db.pool).await.expect("marks");
        let marked = database_identity(&db.pool).await.expect("there");
        assert_eq!((marked.id, marked.dev), (identity.id, true));
    }
}
