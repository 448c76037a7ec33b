//! Attack rows E: OAuth itself.

use http::StatusCode;
use serde_json::json;

use super::vendor::{Next, Vendor, parameters};
use super::{Ask, System, assert_invalid_session};

#[tokio::test]
async fn e01_a_state_that_is_missing_altered_anothers_or_used_is_refused() {
    let system = System::start().await;
    let (alice, bob, agent) = (
        system.person("alice"),
        system.person("bob"),
        system.workload("agent"),
    );
    let own = alice.starts(agent.asks_for_token(&alice).await.link()).await;
    let foreign = bob.starts(agent.asks_for_token(&bob).await.link()).await;
    let callback = system.vendor.agree(&own, "alice");
    let (own_state, foreign_state) = (&parameters(&own)["state"], &parameters(&foreign)["state"]);
    let without = callback.replace(&format!("&state={own_state}"), "");
    for (name, url) in [
        ("missing", without.clone()),
        ("empty", format!("{without}&state=")),
        (
            "altered",
            callback.replace(own_state, &own_state.to_ascii_lowercase()),
        ),
        ("another's", callback.replace(own_state, foreign_state)),
        ("twice", format!("{callback}&state={own_state}")),
    ] {
        let page = alice.opens(&url).await;
        assert!(
            page.status.is_client_error() && page.location().is_empty(),
            "{name}: {page:?}"
        );
    }
    let handle = alice.opens(&callback).await.handle();
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    assert_eq!(alice.opens(&callback).await.status, StatusCode::CONFLICT, "used");
    assert_eq!(system.vendor.token_requests(), 1);
}

#[tokio::test]
async fn e02_pkce_s256_goes_out_always_and_its_verifier_with_the_code() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let more = json!({
        "customParameters": {"prompt": "consent"}, "resources": ["https://api.test"], "audiences": ["api"],
    });
    let wat = agent.wat(&alice).await;
    let pending = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["write", "read"],
                more,
                ..Ask::default()
            },
        )
        .await;
    let url = alice.starts(pending.link()).await;
    let sent = parameters(&url);
    assert_eq!(
        (&*sent["code_challenge_method"], sent["code_challenge"].len()),
        ("S256", 43)
    );
    assert_eq!(&*sent["response_type"], "code");
    assert_eq!((&*sent["client_id"], &*sent["scope"]), ("client", "read write"));
    assert_eq!(
        (&*sent["prompt"], &*sent["resource"], &*sent["audience"]),
        ("consent", "https://api.test", "api")
    );
    assert!(sent["redirect_uri"].starts_with("https://account.test/identities/oauth2/callback/"));
    assert!(!sent.contains_key("request_uri") && !url.contains(pending.session_uri()));
    let handle = alice.agrees(&url, "alice").await.handle();
    assert_eq!(
        alice.completes(&handle).await.status,
        StatusCode::OK,
        "the vendor checked the verifier"
    );
    let exchange = system.vendor.memory.lock().expect("not poisoned").requests[0].clone();
    assert_eq!(exchange["redirect_uri"], sent["redirect_uri"]);
    assert_eq!(
        (exchange["code_verifier"].len(), &*exchange["resource"]),
        (43, "https://api.test")
    );
}

#[tokio::test]
async fn e02_a_code_of_another_request_is_refused_by_its_verifier() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let first = alice.starts(agent.asks(&wat, &Ask::default()).await.link()).await;
    let write = Ask {
        scopes: vec!["write"],
        ..Ask::default()
    };
    let second = alice.starts(agent.asks(&wat, &write).await.link()).await;
    let injected = parameters(&system.vendor.agree(&first, "mallory"))["code"].clone();
    let callback = Vendor::callback(&second, &[("code", &injected), ("iss", &system.vendor.issuer())]);
    let handle = alice.opens(&callback).await.handle();
    let answer = alice.completes(&handle).await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::BAD_REQUEST, "ValidationException")
    );
    assert!(answer.error().1.contains("invalid_grant"), "{answer:?}");
    assert_eq!(system.grants().await.len(), 0);
}

#[tokio::test]
async fn e03_a_failed_exchange_is_final_and_says_the_vendors_word() {
    for (next, code) in [
        (Next::Error("invalid_client"), "invalid_client"),
        (Next::Broken, "unexpected_status"),
    ] {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
        system.vendor.will(next);
        for _ in 0..2 {
            let answer = alice.completes(&handle).await;
            assert_eq!(
                (answer.status, answer.error().0),
                (StatusCode::BAD_REQUEST, "ValidationException")
            );
            assert!(answer.error().1.contains(code), "{answer:?}");
        }
        assert_eq!(system.vendor.token_requests(), 1, "never a second exchange");
        assert_invalid_session(&system.person("bob").completes(&handle).await);
        assert_eq!(alice.describes(&handle).await.body["error"], code);
    }
}

#[tokio::test]
async fn c09_declined_scopes_are_remembered_and_no_loop_begins() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let both = Ask {
        scopes: vec!["read", "write", "offline_access"],
        ..Ask::default()
    };
    let pending = agent.asks(&wat, &both).await;
    system.vendor.will(Next::Granted("read"));
    alice.connects(pending.link()).await;
    let polled = agent.polls(&wat, pending.session_uri()).await;
    assert_eq!(polled.body["grantedScopes"], json!(["offline_access", "read"]));
    assert_eq!(
        agent.asks(&wat, &both).await.token(),
        polled.token(),
        "declined is decided"
    );
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        polled.token(),
        "and what was granted covers less"
    );
    let more = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["admin"],
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(more.session_status(), "IN_PROGRESS");
    let forced = agent.asks(&wat, &Ask { force: true, ..both }).await;
    assert_eq!(forced.session_status(), "IN_PROGRESS");
}

#[tokio::test]
async fn another_account_at_the_service_replaces_the_first_or_is_refused() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    alice
        .connects(agent.asks(&wat, &Ask::default()).await.link())
        .await;
    let write = Ask {
        scopes: vec!["write"],
        ..Ask::default()
    };
    let second = alice.starts(agent.asks(&wat, &write).await.link()).await;
    let handle = alice.agrees(&second, "alice-at-work").await.handle();
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    let record = system.last_record("CompleteResourceTokenAuth").await;
    assert_eq!(record["detail"]["replaced_other_account"], 1, "{record}");
    // The page can say so.
    let told = alice.describes(&handle).await.body;
    assert_eq!(told["accountId"], "alice-at-work", "{told}");
    assert!(told["replacedAccountId"].is_string(), "{told}");
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        None,
        "one account at a time"
    );

    let system = System::start_with(json!({"account_change": "refuse"})).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    alice
        .connects(agent.asks(&wat, &Ask::default()).await.link())
        .await;
    let second = alice.starts(agent.asks(&wat, &write).await.link()).await;
    let handle = alice.agrees(&second, "alice-at-work").await.handle();
    let answer = alice.completes(&handle).await;
    assert!(answer.error().1.contains("other_account"), "{answer:?}");
    assert!(
        agent.asks(&wat, &Ask::default()).await.token().is_some(),
        "the first stays"
    );
    assert_eq!(
        system.vendor.memory.lock().expect("not poisoned").revoked.len(),
        1,
        "the second is given back"
    );
}

#[tokio::test]
async fn tokens_beside_an_id_token_that_does_not_hold_are_given_back() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let openid = Ask {
        scopes: vec!["openid"],
        ..Ask::default()
    };
    let handle = alice
        .consents(agent.asks(&agent.wat(&alice).await, &openid).await.link())
        .await;
    system.vendor.will(Next::Says(
        r#"{"access_token":"a","refresh_token":"refresh-canary","token_type":"Bearer","id_token":"x.y.z"}"#,
    ));
    let refused = alice.completes(&handle).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    let revoked = system.vendor.memory.lock().expect("not poisoned").revoked.clone();
    assert_eq!(revoked, ["refresh-canary"]);
    assert_eq!(system.grants().await.len(), 0);
}
