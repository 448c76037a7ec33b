//! The refresh ledger of design D14, and revocation.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::join;
use http::StatusCode;
use serde_json::json;

use super::vendor::Next;
use super::{Ask, Person, System, Workload};

async fn connected(alice: &Person<'_>, agent: &Workload<'_>) -> String {
    agent.system.vendor.will(Next::Tokens { expires_in: 120 });
    alice.connects(agent.asks_for_token(alice).await.link()).await;
    agent.wat(alice).await
}

#[tokio::test]
async fn e05_twenty_requests_make_one_refresh_and_share_its_token() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    let old = agent.asks(&wat, &Ask::default()).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Slow(Duration::from_millis(400)));
    let ask = Ask::default();
    let answers = join_all((0..20).map(|_| agent.asks(&wat, &ask))).await;
    let new = answers[0].token().expect("a token");
    assert_ne!(Some(new), old.token());
    assert!(
        answers.iter().all(|answer| answer.token() == Some(new)),
        "{answers:?}"
    );
    assert_eq!(system.vendor.token_requests(), 2, "one exchange, one refresh");
    // The rotated refresh token was kept.
    system.clock.advance(Duration::from_hours(1));
    assert!(
        agent
            .asks(&wat_again(&agent, &alice).await, &ask)
            .await
            .token()
            .is_some_and(|token| token != new)
    );
}

async fn wat_again(agent: &Workload<'_>, alice: &Person<'_>) -> String {
    agent.wat(alice).await
}

#[tokio::test]
async fn e06_invalid_grant_asks_the_person_again() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Error("invalid_grant"));
    let answer = agent.asks(&wat, &Ask::default()).await;
    assert_eq!((answer.token(), answer.session_status()), (None, "IN_PROGRESS"));
    assert_eq!(system.grants().await[0]["state"], "NEEDS_CONSENT");
    agent.asks(&wat, &Ask::default()).await;
    assert_eq!(
        system.vendor.token_requests(),
        2,
        "a dead refresh token is not sent again"
    );
}

/// After the pause that follows an answer that never came.
fn later(system: &System) {
    system.clock.advance(Duration::from_secs(15));
}

#[tokio::test]
async fn a_request_that_failed_unprocessed_is_made_again_once_the_server_says_so() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Broken);
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let grant = &system.grants().await[0];
    assert_eq!(
        (grant["state"].as_str(), grant["reason"].as_str()),
        (Some("OUTCOME_UNKNOWN"), Some("server_error"))
    );
    let record = system.last_record("RefreshGrant").await;
    assert_eq!(
        (record["outcome"].as_str(), record["reason"].as_str()),
        (Some("failed"), Some("server_error"))
    );
    system.vendor.will(Next::Tokens { expires_in: 120 });
    later(&system);
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
    let grant = &system.grants().await[0];
    assert_eq!(
        (grant["state"].as_str(), grant["reason"].as_str()),
        (Some("ACTIVE"), None)
    );
    assert_eq!(system.last_record("RefreshGrant").await["outcome"], "done");
}

#[tokio::test]
async fn a_lost_answer_asks_the_person_again_and_says_why() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Lost);
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    system.vendor.will(Next::Tokens { expires_in: 120 });
    later(&system);
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.session_status(),
        "IN_PROGRESS"
    );
    let record = system.last_record("GetResourceOauth2Token").await;
    assert_eq!(record["detail"]["consent_reason"], "refresh_answer_lost");
    let grant = &system.grants().await[0];
    assert_eq!(
        (grant["state"].as_str(), grant["reason"].as_str()),
        (Some("NEEDS_CONSENT"), Some("refresh_answer_lost"))
    );
    assert_eq!(
        system.vendor.token_requests(),
        2,
        "a spent refresh token is not sent again"
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_never_gets_a_doubtful_refresh_token() {
    let system = System::start().await;
    system.vendor.memory.lock().expect("not poisoned").introspects = false;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Broken);
    agent.asks(&wat, &Ask::default()).await;
    system.vendor.will(Next::Tokens { expires_in: 120 });
    for _ in 0..3 {
        later(&system);
        let answer = agent.asks(&wat, &Ask::default()).await;
        assert_eq!((answer.token(), answer.session_status()), (None, "IN_PROGRESS"));
        assert_eq!(system.grants().await[0]["state"], "OUTCOME_UNKNOWN");
    }
    assert_eq!(system.vendor.token_requests(), 2);
    // The consent takes its place.
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
}

#[tokio::test]
async fn a_server_that_refuses_to_say_whether_a_token_lives_keeps_nobody_waiting() {
    for answer in [(401, "{}"), (403, "{}"), (404, ""), (200, "<html>"), (200, "{}")] {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let wat = connected(&alice, &agent).await;
        system.clock.advance(Duration::from_secs(121));
        system.vendor.will(Next::Broken);
        agent.asks(&wat, &Ask::default()).await;
        system.vendor.will(Next::Tokens { expires_in: 120 });
        system.vendor.memory.lock().expect("not poisoned").introspection = Some(answer);
        later(&system);
        for _ in 0..3 {
            let asked = agent.asks(&wat, &Ask::default()).await;
            assert_eq!(
                (asked.token(), asked.session_status()),
                (None, "IN_PROGRESS"),
                "{answer:?}"
            );
            let record = system.last_record("GetResourceOauth2Token").await;
            assert_eq!(record["detail"]["consent_reason"], "outcome_unknown");
        }
        assert_eq!(system.vendor.token_requests(), 2, "nothing doubtful was sent");
        // Once the server says, the grant goes on.
        system.vendor.memory.lock().expect("not poisoned").introspection = None;
        later(&system);
        assert!(
            agent.asks(&wat, &Ask::default()).await.token().is_some(),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_known_to_forgive_gets_it_again_within_its_grace() {
    let known = json!({"refresh": {"reuse_grace": [{"issuer": "{vendor}", "seconds": 60}]}});
    for (pause, lives) in [(Duration::from_secs(15), true), (Duration::from_secs(55), false)] {
        let system = System::start_with(known.clone()).await;
        {
            let mut memory = system.vendor.memory.lock().expect("not poisoned");
            (memory.forgives, memory.introspects) = (true, false);
        }
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let wat = connected(&alice, &agent).await;
        system.clock.advance(Duration::from_secs(121));
        system.vendor.will(Next::Lost);
        agent.asks(&wat, &Ask::default()).await;
        system.vendor.will(Next::Tokens { expires_in: 120 });
        system.clock.advance(pause);
        let answer = agent.asks(&wat, &Ask::default()).await;
        assert_eq!(answer.token().is_some(), lives, "after {pause:?}: {answer:?}");
    }
}

/// It refuses the client, or the rate: whether the first request was processed it does not say.
#[tokio::test]
async fn a_refusal_of_something_else_leaves_the_doubt_of_an_earlier_presentation() {
    for refusal in [
        Next::Error("invalid_client"),
        Next::Status(429),
        Next::Status(404),
    ] {
        let known = json!({"refresh": {"reuse_grace": [{"issuer": "{vendor}", "seconds": 60}]}});
        let system = System::start_with(known).await;
        system.vendor.memory.lock().expect("not poisoned").introspects = false;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let wat = connected(&alice, &agent).await;
        system.clock.advance(Duration::from_secs(121));
        system.vendor.will(Next::Lost);
        agent.asks(&wat, &Ask::default()).await;
        system.vendor.will(refusal.clone());
        later(&system);
        agent.asks(&wat, &Ask::default()).await;
        assert_eq!(system.vendor.token_requests(), 3, "within the grace: {refusal:?}");
        assert_eq!(
            system.grants().await[0]["state"],
            "OUTCOME_UNKNOWN",
            "{refusal:?}"
        );
        // After it the token would count as stolen.
        system.vendor.will(Next::Tokens { expires_in: 120 });
        system.clock.advance(Duration::from_secs(75));
        let answer = agent.asks(&wat, &Ask::default()).await;
        assert_eq!(
            (answer.token(), answer.session_status()),
            (None, "IN_PROGRESS"),
            "{refusal:?}"
        );
        assert_eq!(system.vendor.token_requests(), 3, "{refusal:?}");
    }
}

#[tokio::test]
async fn who_cannot_be_reached_keeps_its_grants_and_is_left_alone_after_a_while() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Error("temporarily_unavailable"));
    for _ in 0..7 {
        assert_eq!(
            agent.asks(&wat, &Ask::default()).await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(
            agent.asks(&wat, &Ask::default()).await.status,
            StatusCode::TOO_MANY_REQUESTS,
            "not hammered"
        );
        system.clock.advance(Duration::from_secs(76));
    }
    let grant = &system.grants().await[0];
    assert_eq!(
        (grant["state"].as_str(), grant["reason"].as_str()),
        (Some("ACTIVE"), Some("provider_refused"))
    );
    system.vendor.will(Next::Tokens { expires_in: 120 });
    assert!(
        agent
            .asks(&agent.wat(&alice).await, &Ask::default())
            .await
            .token()
            .is_some()
    );
}

#[tokio::test]
async fn a_token_that_still_lives_is_renewed_while_it_is_served() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    let old = agent.asks(&wat, &Ask::default()).await;
    // 120 s of life: renewed ahead in the last 30 to 45, before anybody has to wait in the last 20.
    system.clock.advance(Duration::from_secs(95));
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        old.token(),
        "nobody waits"
    );
    for _ in 0..100 {
        let served = agent.asks(&wat, &Ask::default()).await;
        assert!(served.token().is_some());
        if served.token() != old.token() {
            assert_eq!(system.vendor.token_requests(), 2, "one exchange, one refresh");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never renewed");
}

#[tokio::test]
async fn a_token_that_still_lives_is_served_whatever_becomes_of_its_refresh() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.vendor.will(Next::Broken);
    // Too old to go out unrenewed, and not yet expired.
    system.clock.advance(Duration::from_secs(110));
    for _ in 0..3 {
        assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
    }
    assert_eq!(system.vendor.token_requests(), 2, "one attempt, then a pause");
}

#[tokio::test]
async fn c05b_a_changed_provider_never_receives_an_old_refresh_token() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system
        .control(
            "UpdateOauth2CredentialProvider",
            system.provider_config("vendor", "new-client"),
        )
        .await;
    system.clock.advance(Duration::from_secs(121));
    let answer = agent.asks(&wat, &Ask::default()).await;
    assert_eq!((answer.token(), answer.session_status()), (None, "IN_PROGRESS"));
    assert_eq!(system.vendor.token_requests(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_stop_reaches_a_refresh() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.stop("workload", "agent").await;
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(system.vendor.token_requests(), 1);
}

#[tokio::test]
async fn v04_a_revoked_grant_is_gone_here_and_at_the_vendor() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    let grant = system.grants().await[0]["grantId"].clone();
    let revoked = system.admin("RevokeGrant", json!({"grantId": grant})).await;
    assert_eq!(revoked["grant"]["state"], "REVOKED");
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.session_status(),
        "IN_PROGRESS"
    );
    let sent = system.vendor.memory.lock().expect("not poisoned").revoked.clone();
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].starts_with("refresh-"),
        "the refresh token takes its access tokens along"
    );
}

/// A damaged value, or a key that is gone: nobody tries that for three days, or without end.
#[tokio::test]
async fn v05_a_revocation_whose_token_does_not_open_ends_and_says_so() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    connected(&alice, &agent).await;
    let grant = system.grants().await[0]["grantId"].clone();
    system
        .vendor
        .memory
        .lock()
        .expect("not poisoned")
        .refuses_revocations = 1;
    system.admin("RevokeGrant", json!({ "grantId": grant })).await;
    let system = system
        .damaged(&["UPDATE revocation SET refresh_token = substr(refresh_token, 1, 20)"])
        .await;
    system.clock.advance(Duration::from_secs(31));
    system
        .assert_recorded("RevokeAtProvider", "failed", "vault_unreadable")
        .await;
    assert_eq!(system.grants().await[0]["revocation"]["state"], "FAILED");
}

/// Of two people's grants one is damaged, and of a third person the name of the account.
#[tokio::test]
async fn v05_a_damaged_grant_keeps_nobody_from_what_is_beside_it() {
    let system = System::start().await;
    let agent = system.workload("agent");
    for name in ["alice", "bob", "carol"] {
        let person = system.person(name);
        person.connects(agent.asks_for_token(&person).await.link()).await;
        // Ids are in the order of time, and of one millisecond in none.
        system.clock.advance(Duration::from_secs(1));
    }
    let system = system
        .damaged(&[
            "UPDATE oauth2_grant SET scopes = '{not a list' WHERE id = (SELECT MIN(id) FROM oauth2_grant)",
            "UPDATE oauth2_grant SET account_identity = x'00' WHERE id = (SELECT MAX(id) FROM oauth2_grant)",
        ])
        .await;
    let agent = system.workload("agent");
    assert_eq!(system.grants().await.len(), 2);
    let page = system.admin("ListGrants", json!({"maxResults": 2})).await;
    assert_eq!(page["grants"].as_array().map(Vec::len), Some(2), "{page}");
    let bob = system.person("bob");
    let answer = agent.asks(&agent.wat(&bob).await, &Ask::default()).await;
    assert!(answer.token().is_some(), "{answer:?}");
    // Who lost a grant by it gets another one, and who keeps it can have one more.
    for name in ["alice", "carol"] {
        let person = system.person(name);
        let ask = Ask {
            force: true,
            ..Ask::default()
        };
        let pending = agent.asks(&agent.wat(&person).await, &ask).await;
        person.connects(pending.link()).await;
        let answer = agent.asks(&agent.wat(&person).await, &Ask::default()).await;
        assert!(answer.token().is_some(), "{name}: {answer:?}");
    }
}

/// What the vendor still takes is the pair that it gave last, also where the grant ended before that came back.
#[tokio::test]
async fn v04_a_pair_that_comes_after_the_end_of_its_grant_is_withdrawn_until_the_vendor_answers() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    let grant = system.grants().await[0]["grantId"].clone();
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Slow(Duration::from_secs(1)));
    // That of the token which is being spent, and the first of the new one.
    system
        .vendor
        .memory
        .lock()
        .expect("not poisoned")
        .refuses_revocations = 2;
    let ask = Ask::default();
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        system.admin("RevokeGrant", json!({ "grantId": grant })).await;
    };
    join!(agent.asks(&wat, &ask), revoke);
    for _ in 0..100 {
        let sent = system.vendor.memory.lock().expect("not poisoned").revoked.clone();
        if sent.len() >= 3 {
            assert!(sent[0] != sent[1] && sent[1] == sent[2], "{sent:?}");
            return;
        }
        system.clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never withdrawn");
}

/// What the vault holds goes from key to key: the grant of one person, and the consent that another has not ended yet.
#[tokio::test]
async fn grants_and_sessions_outlive_the_key_they_were_sealed_under() {
    let system = System::start().await;
    let (alice, bob, agent) = (
        system.person("alice"),
        system.person("bob"),
        system.workload("agent"),
    );
    let wat = connected(&alice, &agent).await;
    let link = agent.asks_for_token(&bob).await.link().to_owned();
    let vault_keys = async || {
        let mut keys = system.admin("ListKeys", json!({})).await["keys"].take();
        let keys = keys.as_array_mut().expect("a list");
        keys.retain(|key| key["purpose"] == "vault");
        std::mem::take(keys)
    };
    system.admin("RotateKey", json!({"purpose": "vault"})).await;
    system.clock.advance(Duration::from_secs(10));
    let mut left = vault_keys().await[0]["sealedValues"].clone();
    assert!(
        left.as_i64() > Some(3),
        "tokens, the secret of the provider, a session: {left}"
    );
    for _ in 0..100 {
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = vault_keys().await[0]["sealedValues"].clone();
    }
    let old = vault_keys().await[0]["keyId"].clone();
    let retired = system.admin("RetireKey", json!({"keyId": old})).await;
    assert_eq!(retired["key"]["state"], "RETIRED");

    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
    system.clock.advance(Duration::from_secs(121));
    let refreshed = agent.asks(&wat, &Ask::default()).await;
    assert!(refreshed.token().is_some(), "{refreshed:?}");
    bob.connects(&link).await;
    let wat = agent.wat(&bob).await;
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
}
