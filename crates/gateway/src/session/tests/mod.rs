//! The session store, on every engine that can be had.

use std::sync::Arc;

use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{Clock, FileKeyProvider, KeyProvider, KeyPurpose, KeyRow, NewKey, SystemRandom};
use countersign_db::testing::{TestDatabase, databases};

use super::*;
use crate::keys::Keys;

mod refresh;

const APP: &str = "http://localhost:8400";
const ACCOUNT: &str = "http://localhost:8407";

struct Replica {
    sessions: Sessions,
    clock: Arc<ManualClock>,
}

impl Replica {
    /// A session of Alice.
    async fn begins(&self) -> (Ticket, Session) {
        let begun = self.sessions.begin(login("alice"), LIMITS).await;
        begun.expect("a session")
    }

    /// The right to refresh, which nobody else has.
    async fn claims(&self, session: &Session) -> i64 {
        match self.sessions.claim_refresh(session, TIMEOUT).await {
            Ok(Claim::Ours(fence)) => fence,
            other => panic!("nobody else refreshes: {other:?}"),
        }
    }
}

const LIMITS: SessionLimits = SessionLimits {
    session_timeout_seconds: 3_600,
    idle_timeout_seconds: 600,
};

/// Of an endpoint of the provider.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Two replicas on one database, with the keys of both.
async fn replicas(database: &TestDatabase) -> [Replica; 2] {
    countersign_db::migrate(&database.pool, "gateway", MIGRATIONS, 0)
        .await
        .expect("migrations apply");
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let directory = tempfile::tempdir().expect("a directory");
    let random: SharedRandom = Arc::new(SystemRandom);
    let path = directory.path().join("key");
    let provider: Arc<dyn KeyProvider> =
        Arc::new(FileKeyProvider::open_or_create(&path, random.clone()).expect("a key file"));
    let shared: SharedClock = clock.clone();
    let new = async |seed| {
        let store = Store::new(database.pool.clone());
        let place = ("000000000000", "us-east-1");
        let (keys, _) = Keys::load(&store, &*provider, place, &shared, &random)
            .await
            .expect("keys");
        let keys = Arc::new(LiveKeys::new(keys, store.clone(), provider.clone(), place.0));
        let random = Arc::new(SeededRandom::new(seed));
        Replica {
            sessions: Sessions::new(store, keys, place.0, clock.clone(), random),
            clock: clock.clone(),
        }
    };
    [new(1).await, new(2).await]
}

fn login(subject: &str) -> Login {
    let claims = serde_json::json!({ "sub": subject, "name": "Canary Name" });
    Login {
        application: String::new(),
        issuer: "https://idp.example".to_owned(),
        subject: subject.to_owned(),
        idp_sid: Some("idp-session".to_owned()),
        auth_time: Timestamp::from_secs(999_990),
        claims: claims.as_object().expect("an object").clone(),
        access_token: "canary-access-token".to_owned().into(),
        access_expires_at: Some(Timestamp::from_secs(1_000_300)),
        refresh_token: Some("canary-refresh-token".to_owned().into()),
        id_token: "canary-id-token".to_owned().into(),
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_ticket_alone() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        for replica in [&one, &two] {
            let session = replica
                .sessions
                .find(&ticket)
                .await
                .expect("a store")
                .expect("a session");
            assert_eq!(session.login.subject, "alice", "{}", database.name);
            assert_eq!(session.login.access_token.expose_secret(), "canary-access-token");
            let mut other = Ticket {
                sid: ticket.sid,
                key: ticket.key.clone(),
            };
            other.key[0] ^= 1;
            // Cached or not, the name of a record without its key is nothing.
            assert!(
                replica.sessions.find(&other).await.expect("a store").is_none(),
                "{}",
                database.name
            );
        }
    }
}

#[tokio::test]
async fn the_record_is_sealed() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        let row = one
            .sessions
            .store
            .find(ticket.sid)
            .await
            .expect("a store")
            .expect("a row");
        let text = String::from_utf8_lossy(&row.record).into_owned();
        assert!(!text.contains("canary") && !text.contains("Canary") && !text.contains("alice"));
    }
}

#[tokio::test]
async fn limits_end_a_session() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let (idle, _) = one.begins().await;
        one.clock.advance(Duration::from_secs(599));
        assert!(one.sessions.find(&idle).await.expect("a store").is_some());
        one.clock.advance(Duration::from_secs(599));
        assert!(
            one.sessions.find(&idle).await.expect("a store").is_some(),
            "{}: being seen counts",
            database.name
        );
        one.clock.advance(Duration::from_secs(601));
        assert!(
            one.sessions.find(&idle).await.expect("a store").is_none(),
            "{}: idle",
            database.name
        );

        let (busy, _) = one.sessions.begin(login("bob"), LIMITS).await.expect("a session");
        for _ in 0..11 {
            one.clock.advance(Duration::from_mins(5));
            assert!(
                one.sessions.find(&busy).await.expect("a store").is_some(),
                "{}",
                database.name
            );
        }
        one.clock.advance(Duration::from_mins(5));
        assert!(
            one.sessions.find(&busy).await.expect("a store").is_none(),
            "{}: session limit",
            database.name
        );

        one.sessions.sweep().await.expect("a store");
        assert!(
            one.sessions
                .store
                .find(busy.sid)
                .await
                .expect("a store")
                .is_none(),
            "{}",
            database.name
        );
        assert!(
            one.sessions
                .store
                .find(idle.sid)
                .await
                .expect("a store")
                .is_none(),
            "{}",
            database.name
        );
    }
}

#[tokio::test]
async fn an_end_holds_at_once_here_and_within_a_second_elsewhere() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        assert!(two.sessions.find(&ticket).await.expect("a store").is_some());
        one.sessions.end(ticket.sid).await.expect("a store");
        assert!(
            one.sessions.find(&ticket).await.expect("a store").is_none(),
            "{}",
            database.name
        );
        two.clock.advance(CACHED);
        assert!(
            two.sessions.find(&ticket).await.expect("a store").is_none(),
            "{}",
            database.name
        );
    }
}

#[tokio::test]
async fn a_cookie_is_known_for_a_second_and_not_beyond_its_session() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let sessions = &one.sessions;
        let (ticket, _) = sessions.begin(login("alice"), LIMITS).await.expect("a session");
        let cookie = sessions.seal_ticket(&ticket, APP);
        let find = async || {
            let found = sessions.find_by_cookie(APP, cookie.as_bytes()).await;
            found.expect("a store").is_some()
        };
        let recent = |scope: &str, cookie: &str| sessions.find_recent(scope, cookie.as_bytes()).is_some();
        assert!(!recent(APP, &cookie), "nobody has asked yet");
        assert!(find().await);
        assert!(recent(APP, &cookie));
        let mut other = cookie.clone().into_bytes();
        other[20] = if other[20] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("a text");
        for (scope, cookie) in [(ACCOUNT, cookie.as_str()), (APP, ""), (APP, other.as_str())] {
            assert!(!recent(scope, cookie), "{}: {scope} {cookie}", database.name);
        }
        one.clock.advance(CACHED);
        assert!(!recent(APP, &cookie), "{}: a second is over", database.name);

        // Asked for again, and then ended: at once, and for whoever had begun to look before.
        assert!(find().await && recent(APP, &cookie));
        let before = sessions.recent.begin();
        let (_, session) = sessions
            .find_by_cookie(APP, cookie.as_bytes())
            .await
            .expect("a store")
            .expect("a session");
        sessions.end(ticket.sid).await.expect("a store");
        assert!(!recent(APP, &cookie), "{}: ended", database.name);
        let now = one.clock.now();
        sessions
            .recent
            .keep((APP, cookie.as_bytes()), &session, now, before);
        assert!(!recent(APP, &cookie), "{}: ended in between", database.name);
        assert!(!find().await);
    }
}

#[tokio::test]
async fn a_session_that_runs_out_is_not_recent() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let limits = SessionLimits {
            session_timeout_seconds: 1,
            ..LIMITS
        };
        let (ticket, _) = one
            .sessions
            .begin(login("alice"), limits)
            .await
            .expect("a session");
        let cookie = one.sessions.seal_ticket(&ticket, APP);
        one.clock.advance(Duration::from_millis(500));
        let found = one.sessions.find_by_cookie(APP, cookie.as_bytes()).await;
        assert!(found.expect("a store").is_some());
        one.clock.advance(Duration::from_millis(600));
        assert!(
            one.sessions.find_recent(APP, cookie.as_bytes()).is_none(),
            "{}",
            database.name
        );
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_an_error_not_a_logout() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        assert!(one.sessions.find(&ticket).await.expect("a store").is_some());
        database.pool.close().await;
        assert!(
            one.sessions.find(&ticket).await.expect("the cache").is_some(),
            "{}",
            database.name
        );
        assert!(two.sessions.find(&ticket).await.is_err(), "{}", database.name);
        one.clock.advance(CACHED);
        assert!(one.sessions.find(&ticket).await.is_err(), "{}", database.name);
    }
}

#[tokio::test]
async fn a_handover_code_is_for_one_use_one_origin_and_one_state() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        let code = async || {
            one.sessions
                .begin_handover(&ticket, APP, "state")
                .await
                .expect("a code")
        };
        let redeem = async |code: &str, origin, state| {
            two.sessions
                .redeem_handover(code, origin, state)
                .await
                .expect("a store")
                .map(|ticket| ticket.sid)
        };

        let good = code().await;
        assert_eq!(
            redeem(&good, ACCOUNT, "state").await,
            None,
            "{}: other origin",
            database.name
        );
        assert_eq!(
            redeem(&good, APP, "other").await,
            None,
            "{}: other state",
            database.name
        );
        assert_eq!(redeem("forged", APP, "state").await, None, "{}", database.name);
        assert_eq!(
            redeem(&good, APP, "state").await,
            Some(ticket.sid),
            "{}",
            database.name
        );
        assert_eq!(
            redeem(&good, APP, "state").await,
            None,
            "{}: replay",
            database.name
        );

        let late = code().await;
        one.clock.advance(HANDOVER_LIFETIME);
        assert_eq!(redeem(&late, APP, "state").await, None, "{}: late", database.name);

        let orphan = code().await;
        one.sessions.end(ticket.sid).await.expect("a store");
        assert_eq!(
            redeem(&orphan, APP, "state").await,
            None,
            "{}: after logout",
            database.name
        );
    }
}

#[tokio::test]
async fn of_many_redemptions_one_succeeds() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        let code = one
            .sessions
            .begin_handover(&ticket, APP, "state")
            .await
            .expect("a code");
        let replicas = [&one, &two, &one, &two, &one, &two];
        let redemptions = replicas.map(|replica| replica.sessions.redeem_handover(&code, APP, "state"));
        let redeemed = futures_util::future::join_all(redemptions).await;
        let count = redeemed
            .into_iter()
            .filter(|result| matches!(result, Ok(Some(_))))
            .count();
        assert_eq!(count, 1, "{}", database.name);
    }
}

#[tokio::test]
async fn a12_a_ticket_of_one_origin_is_nothing_on_the_other() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let (ticket, _) = one.begins().await;
        let cookie = one.sessions.seal_ticket(&ticket, APP);
        assert!(one.sessions.open_ticket(&cookie, APP).is_some());
        assert!(
            one.sessions.open_ticket(&cookie, ACCOUNT).is_none(),
            "{}",
            database.name
        );
        let code = one
            .sessions
            .begin_handover(&ticket, APP, "state")
            .await
            .expect("a code");
        assert!(
            one.sessions.open_ticket(&code, APP).is_none(),
            "{}: a code is no cookie",
            database.name
        );
    }
}

#[tokio::test]
async fn keys_are_kept_and_the_first_of_a_version_wins() {
    for database in databases().await {
        let [one, _] = replicas(&database).await;
        let directory = tempfile::tempdir().expect("a directory");
        let random: SharedRandom = Arc::new(SeededRandom::new(9));
        let provider = FileKeyProvider::open_or_create(&directory.path().join("key"), random.clone())
            .expect("a key file");
        let new = NewKey {
            account: "222222222222",
            resource: "r",
            purpose: KeyPurpose::Session,
            version: 1,
        };
        let clock = ManualClock::new(one.clock.now());
        let first = KeyRow::generate_symmetric(&provider, &*random, &clock, new)
            .await
            .expect("a key");
        let second = KeyRow::generate_symmetric(&provider, &*random, &clock, new)
            .await
            .expect("a key");
        let store = &one.sessions.store;
        store.insert_key(&first).await.expect("a store");
        store.insert_key(&second).await.expect("a store");
        let kept = store.list_keys("222222222222").await.expect("a store");
        assert_eq!(kept.len(), 1, "{}", database.name);
        assert_eq!((&kept[0].id, &kept[0].wrapped), (&first.id, &first.wrapped));
        assert_eq!(store.list_keys("111111111111").await.expect("a store").len(), 0);
    }
}

#[tokio::test]
async fn sessions_end_by_person_and_by_the_providers_session() {
    for database in databases().await {
        let [one, two] = replicas(&database).await;
        let mut tickets = Vec::new();
        for subject in ["alice", "alice", "bob"] {
            let mut login = login(subject);
            login.idp_sid = Some(format!("of-{subject}"));
            tickets.push(one.sessions.begin(login, LIMITS).await.expect("a session").0);
        }
        let alice = login("alice").user_key();
        let listed = one.sessions.store.list(Some(&alice), one.clock.now(), 10).await;
        assert_eq!(listed.expect("a store").len(), 2);
        let bobs = idp_session("https://idp.example", "of-bob");
        assert_eq!(
            two.sessions.end_idp_session(&bobs).await.expect("a store"),
            [tickets[2].sid]
        );
        assert_eq!(two.sessions.end_all(&alice).await.expect("a store").len(), 2);
        one.clock.advance(Duration::from_secs(1));
        for ticket in &tickets {
            assert!(
                one.sessions.find(ticket).await.expect("a store").is_none(),
                "{}",
                database.name
            );
        }
        assert_eq!(
            one.sessions
                .store
                .list(None, one.clock.now(), 10)
                .await
                .expect("a store")
                .len(),
            0
        );
    }
}
