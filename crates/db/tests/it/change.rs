use std::time::Duration;

use countersign_db::{Change, ChangeFeed, Engine, Pool, params, record_change};
use tokio::sync::broadcast::Receiver;

use crate::{NOW, databases};

async fn publish(pool: &Pool, key: &str) {
    let mut tx = pool.begin().await.expect("begins");
    record_change(&mut tx, "item", key, NOW).await.expect("records");
    tx.commit().await.expect("commits");
}

async fn next(receiver: &mut Receiver<Change>) -> String {
    tokio::time::timeout(Duration::from_secs(2), receiver.recv())
        .await
        .expect("delivered in time")
        .expect("not lagging")
        .key
}

#[tokio::test]
async fn a_change_of_this_process_is_delivered_at_once() {
    for db in databases().await {
        publish(&db.pool, "before").await;
        let feed = ChangeFeed::start(db.pool.clone()).await.expect("starts");
        let mut receiver = feed.subscribe();
        // Past the first poll, so that only the commit's own ring can be the cause.
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish(&db.pool, "after").await;
        let key = tokio::time::timeout(Duration::from_millis(150), receiver.recv())
            .await
            .expect(db.name);
        assert_eq!(key.expect("not lagging").key, "after", "{}", db.name);
        assert!(feed.fresh(), "{}", db.name);
    }
}

#[tokio::test]
async fn a_rolled_back_change_is_never_delivered() {
    for db in databases().await {
        let feed = ChangeFeed::start(db.pool.clone()).await.expect("starts");
        let mut receiver = feed.subscribe();
        let mut tx = db.pool.begin().await.expect("begins");
        record_change(&mut tx, "item", "undone", NOW)
            .await
            .expect("records");
        drop(tx);
        publish(&db.pool, "done").await;
        assert_eq!(next(&mut receiver).await, "done", "{}", db.name);
    }
}

/// Two transactions take their numbers in one order and commit in the other.
#[tokio::test]
async fn commits_out_of_order_are_all_delivered_once() {
    for db in databases().await {
        if db.engine() == Engine::Sqlite {
            continue; // one writer: numbers are taken and committed in one order
        }
        let replica = Pool::connect(&db.database).await.expect("a second replica");
        let mut slow = db.pool.begin().await.expect("begins");
        record_change(&mut slow, "item", "under way at start", NOW)
            .await
            .expect("records");
        publish(&db.pool, "before").await;
        let feed = ChangeFeed::start(replica).await.expect("starts");
        let mut receiver = feed.subscribe();

        let mut slower = db.pool.begin().await.expect("begins");
        record_change(&mut slower, "item", "low number", NOW)
            .await
            .expect("records");
        publish(&db.pool, "high number").await;
        assert_eq!(next(&mut receiver).await, "high number");
        slower.commit().await.expect("commits");
        assert_eq!(next(&mut receiver).await, "low number");
        slow.commit().await.expect("commits");
        assert_eq!(next(&mut receiver).await, "under way at start");

        publish(&db.pool, "last").await;
        assert_eq!(next(&mut receiver).await, "last", "nothing is delivered twice");
    }
}

#[tokio::test]
async fn a_burst_longer_than_a_page_arrives_whole_and_in_order() {
    for db in databases().await {
        let feed = ChangeFeed::start(db.pool.clone()).await.expect("starts");
        let mut receiver = feed.subscribe();
        let mut tx = db.pool.begin().await.expect("begins");
        for n in 0..2500 {
            record_change(&mut tx, "item", &n.to_string(), NOW)
                .await
                .expect("records");
        }
        tx.commit().await.expect("commits");
        for n in 0..2500 {
            assert_eq!(next(&mut receiver).await, n.to_string(), "{}", db.name);
        }
    }
}

#[tokio::test]
async fn who_was_away_for_longer_than_rows_are_kept_is_told() {
    for db in databases().await {
        publish(&db.pool, "0").await;
        let feed = ChangeFeed::start(db.pool.clone()).await.expect("starts");
        let mut receiver = feed.subscribe();
        // What another replica's purge leaves behind: the newest purged row, and what came later.
        let mut tx = db.pool.begin().await.expect("begins");
        for n in 1..=5 {
            record_change(&mut tx, "item", &n.to_string(), NOW)
                .await
                .expect("records");
        }
        tx.execute(
            "DELETE FROM change WHERE seq < (SELECT max(seq) FROM change)",
            params![],
        )
        .await
        .expect("purges");
        tx.commit().await.expect("commits");
        let change = tokio::time::timeout(Duration::from_secs(2), receiver.recv())
            .await
            .expect(db.name);
        assert!(change.expect("not lagging").is_everything(), "{}", db.name);
    }
}

#[tokio::test]
async fn a_feed_that_cannot_be_read_is_not_fresh() {
    for db in databases().await {
        let feed = ChangeFeed::start(db.pool.clone()).await.expect("starts");
        assert!(feed.fresh(), "{}", db.name);
        db.pool.close().await;
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert!(!feed.fresh(), "{}", db.name);
    }
}
