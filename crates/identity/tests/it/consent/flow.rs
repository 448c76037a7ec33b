//! The whole way, and what makes two requests the same one.

use http::StatusCode;
use serde_json::json;

use super::{Ask, System, text};

#[tokio::test]
async fn a_person_consents_once_and_the_agent_has_its_token() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    assert_eq!(
        (pending.status, pending.session_status(), pending.token()),
        (StatusCode::OK, "IN_PROGRESS", None)
    );
    assert!(
        pending
            .link()
            .starts_with("https://account.test/identities/oauth2/authorize?request_uri=urn%3Aietf")
    );

    let question = alice.opens(pending.link()).await;
    assert_eq!(question.status, StatusCode::OK);
    for shown in [
        "alice",
        "agent",
        "vendor",
        "read",
        "name=\"decision\" value=\"allow\"",
        "value=\"deny\"",
    ] {
        assert!(question.body.contains(shown), "{shown} is not shown");
    }
    let on = alice.answers(&question, "allow").await;
    let back = alice.agrees(on.location(), "alice@vendor").await;
    assert_eq!(system.vendor.token_requests(), 0, "the code waits for the person");
    let wat = agent.wat(&alice).await;
    assert_eq!(
        agent.polls(&wat, pending.session_uri()).await.session_status(),
        "IN_PROGRESS"
    );
    let handle = back.handle();
    assert_ne!(handle, pending.session_uri());

    assert_eq!(alice.describes(&handle).await.body["state"], "CODE_HELD");
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    let described = alice.describes(&handle).await.body;
    assert_eq!(
        (
            text(&described["state"]),
            text(&described["accountId"]),
            &described["personBound"]
        ),
        ("COMPLETED", "alice@vendor", &json!(true))
    );

    let polled = agent.polls(&wat, pending.session_uri()).await;
    assert!(
        polled.token().is_some_and(|token| token.starts_with("access-")),
        "{polled:?}"
    );
    assert_eq!(polled.body["grantedScopes"], json!(["read"]));
    let again = agent.asks_for_token(&alice).await;
    assert_eq!(again.token(), polled.token());
    let record = system.last_record("GetResourceOauth2Token").await;
    assert_eq!(text(&record["outcome"]), "done");
    assert_eq!(record["grant"], polled.body["grantId"]);
    assert_eq!(
        (
            text(&record["sid"]),
            text(&record["workload"]),
            text(&record["provider"])
        ),
        ("sid-alice", "agent", "vendor")
    );
    system.identity.close().await.expect("closed");
}

#[tokio::test]
async fn an_equal_request_gets_its_session_back_and_another_supersedes_it() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let ask = Ask::default();
    let first = agent.asks(&wat, &ask).await;
    assert_eq!(agent.asks(&wat, &ask).await.session_uri(), first.session_uri());
    let other_state = Ask {
        more: json!({"customState": "other"}),
        ..ask.clone()
    };
    let second = agent.asks(&wat, &other_state).await;
    assert_ne!(second.session_uri(), first.session_uri());
    assert_eq!(
        agent.polls(&wat, first.session_uri()).await.session_status(),
        "FAILED"
    );
    assert_eq!(alice.opens(first.link()).await.status, StatusCode::CONFLICT);
    // Another scope set is another slot.
    let third = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["write"],
                ..ask.clone()
            },
        )
        .await;
    assert_ne!(third.session_uri(), second.session_uri());
    assert_eq!(
        agent.polls(&wat, second.session_uri()).await.session_status(),
        "IN_PROGRESS"
    );
    // A session whose code is held is out of reach.
    let handle = alice.consents(second.link()).await;
    let forced = agent
        .asks(
            &wat,
            &Ask {
                force: true,
                ..other_state
            },
        )
        .await;
    assert_ne!(forced.session_uri(), second.session_uri());
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn force_withholds_the_old_grant_from_its_own_polls_alone() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let first = agent.asks(&wat, &Ask::default()).await;
    alice.connects(first.link()).await;
    let old = agent.asks(&wat, &Ask::default()).await;
    let forced = agent
        .asks(
            &wat,
            &Ask {
                force: true,
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(forced.token(), None);
    assert_eq!(
        agent.polls(&wat, forced.session_uri()).await.token(),
        None,
        "the old grant is withheld"
    );
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        old.token(),
        "and is still there"
    );
    alice.connects(forced.link()).await;
    let new = agent.polls(&wat, forced.session_uri()).await;
    assert!(new.token().is_some() && new.token() != old.token());
}

#[tokio::test]
async fn requests_that_lack_a_person_or_would_override_are_refused_by_name() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let alone = agent.mint("", json!({})).await;
    let answer = agent
        .asks(text(&alone.body["workloadAccessToken"]), &Ask::default())
        .await;
    assert_eq!(answer.body["fieldList"][0]["name"], "workloadIdentityToken");
    let answer = agent
        .asks(
            &wat,
            &Ask {
                more: json!({"customParameters": {"redirect_uri": "x"}}),
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(answer.error().0, "ValidationException");
    let path = "/identities/api-key";
    let body = json!({"workloadIdentityToken": wat, "resourceCredentialProviderName": "key"});
    let answer = system.call(&system.admin, path, &body).await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::NOT_FOUND, "ResourceNotFoundException")
    );
}
