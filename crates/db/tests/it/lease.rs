use countersign_db::{claim_lease, release_lease, renew_lease};

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
