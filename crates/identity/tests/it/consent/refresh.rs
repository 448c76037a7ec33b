//! The refresh ledger of design D14, and revocation.

use std::time::Duration;

use futures_util::future::join_all;
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
    system.vendor.will(Next::Slow);
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

#[tokio::test]
async fn a_lost_answer_is_neither_success_nor_failure() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = connected(&alice, &agent).await;
    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Broken);
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        system.grants().await[0]["state"],
        "ACTIVE",
        "consent is not lost by it"
    );
    system.vendor.will(Next::Tokens { expires_in: 120 });
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "not hammered"
    );
    system.clock.advance(Duration::from_secs(5));
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
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
async fn a_revoked_grant_is_gone_here_and_at_the_vendor() {
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
