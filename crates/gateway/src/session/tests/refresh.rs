//! One refresh of a record at a time, and none by whoever comes too late.

use super::*;

#[tokio::test]
async fn of_many_requests_one_refreshes() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, session) = one.begins().await;
        let fence = one.claims(&session).await;
        let other = two
            .sessions
            .find(&ticket)
            .await
            .expect("a store")
            .expect("a session");
        let claim = two
            .sessions
            .claim_refresh(&other, TIMEOUT)
            .await
            .expect("a store");
        assert_eq!(claim, Claim::Theirs, "{}", database.name);

        let mut renewed = login("alice");
        renewed.refresh_token = Some("rotated".to_owned().into());
        let stored = one
            .sessions
            .store_refreshed(&ticket, &session, fence, renewed)
            .await;
        assert_eq!(stored.expect("a store").expect("a session").version, 1);
        // The one who came too late can neither claim the old record nor write over the new one.
        assert_eq!(
            two.sessions
                .claim_refresh(&other, TIMEOUT)
                .await
                .expect("a store"),
            Claim::Theirs
        );
        let late = two
            .sessions
            .store_refreshed(&ticket, &other, fence - 1, login("alice"))
            .await;
        assert!(late.expect("a store").is_none());
        let now = two
            .sessions
            .reread(&ticket)
            .await
            .expect("a store")
            .expect("a session");
        let token = now.login.refresh_token.as_ref().expect("a token");
        assert_eq!((now.version, token.expose_secret()), (1, "rotated"));
    }
}

#[tokio::test]
async fn a_refresher_that_died_is_followed_and_its_late_answer_refused() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, session) = one.begins().await;
        let dead = one.claims(&session).await;
        one.clock.advance(4 * TIMEOUT);
        let early = two.sessions.claim_refresh(&session, TIMEOUT).await;
        assert_eq!(
            early.expect("a store"),
            Claim::Theirs,
            "the slowest refresh is awaited"
        );
        one.clock.advance(Duration::from_secs(11));
        let Claim::Ours(fence) = two
            .sessions
            .claim_refresh(&session, TIMEOUT)
            .await
            .expect("a store")
        else {
            panic!("the lease has ended");
        };
        assert!(fence > dead);
        let late = one
            .sessions
            .store_refreshed(&ticket, &session, dead, login("alice"))
            .await;
        assert!(late.expect("a store").is_none(), "{}", database.name);
        // Refused is who came second with a refresh token that is good once: no reason to end the session.
        let refused = one.sessions.end_refused(ticket.sid, dead).await;
        assert!(!refused.expect("a store"), "{}", database.name);
        assert!(two.sessions.reread(&ticket).await.expect("a store").is_some());
        let stored = two
            .sessions
            .store_refreshed(&ticket, &session, fence, login("alice"))
            .await;
        assert!(stored.expect("a store").is_some());
    }
}
