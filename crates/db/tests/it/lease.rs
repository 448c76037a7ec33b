use countersign_db::{claim_lease, params, release_lease, renew_lease};

use crate::{NOW, SECOND, databases};

#[tokio::test]
async fn one_holder_at_a_time_and_the_fence_grows() {
    for db in databases().await {
        let pool = &db.pool;
        let first = claim_lease(pool, "refresh", "a", NOW, 10 * SECOND)
            .await
            .expect("asks")
            .expect("free");
        let held = claim_lease(pool, "refresh", "b", NOW + 9 * SECOND, 10 * SECOND)
            .await
            .expect("asks");
        assert_eq!(held, None, "{}", db.name);
        let second = claim_lease(pool, "refresh", "b", NOW + 10 * SECOND, 10 * SECOND)
            .await
            .expect("asks")
            .expect("expired");
        assert!(second > first, "{}", db.name);

        assert!(
            !renew_lease(pool, "refresh", first, NOW + 11 * SECOND, SECOND)
                .await
                .expect("asks")
        );
        release_lease(pool, "refresh", first).await.expect("asks");
        let still = claim_lease(pool, "refresh", "c", NOW + 11 * SECOND, SECOND)
            .await
            .expect("asks");
        assert_eq!(still, None, "{}: who lost the lease cannot give it away", db.name);

        assert!(
            renew_lease(pool, "refresh", second, NOW + 11 * SECOND, 10 * SECOND)
                .await
                .expect("asks")
        );
        release_lease(pool, "refresh", second).await.expect("asks");
        let third = claim_lease(pool, "refresh", "c", NOW + 12 * SECOND, SECOND)
            .await
            .expect("asks");
        assert!(third.expect("released") > second, "{}", db.name);
    }
}

#[tokio::test]
async fn a_lease_of_a_clock_that_was_wrong_ends_all_the_same() {
    for db in databases().await {
        let pool = &db.pool;
        // The holder's clock was a day ahead, and was then put right.
        claim_lease(pool, "x", "a", NOW + 86_400 * SECOND, 60 * SECOND)
            .await
            .expect("asks")
            .expect("free");
        let claimed = claim_lease(pool, "x", "b", NOW, 60 * SECOND).await;
        assert!(
            claimed.expect("asks").is_some(),
            "{}: nobody waits a day",
            db.name
        );
        let held = claim_lease(pool, "x", "c", NOW, 60 * SECOND).await;
        assert_eq!(held.expect("asks"), None, "{}: the right clock's holds", db.name);
        let forever = "UPDATE lease SET lease_until = $1";
        pool.execute(forever, params![i64::MAX]).await.expect("updated");
        let held = claim_lease(pool, "x", "c", NOW, 60 * SECOND).await;
        assert_eq!(
            held.expect("asks"),
            None,
            "{}: nobody gives that one back",
            db.name
        );
    }
}

#[tokio::test]
async fn of_many_claimants_one_wins() {
    for db in databases().await {
        let claims = (0..16).map(|n| {
            let pool = db.pool.clone();
            tokio::spawn(async move { claim_lease(&pool, "x", &format!("p{n}"), NOW, SECOND).await })
        });
        let mut winners = 0;
        for claim in claims.collect::<Vec<_>>() {
            winners += usize::from(claim.await.expect("no panic").expect("asks").is_some());
        }
        assert_eq!(winners, 1, "{}", db.name);
    }
}
