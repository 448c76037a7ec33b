//! Attack rows A: the person who asked, the one who agrees and the one who completes are not all the same.

use http::StatusCode;
use serde_json::json;

use super::{Ask, IMAGE, RETURN_URL, System, assert_invalid_session, text};

/// Mallory's agent asks; the victim gets as far as agreeing at the vendor, as people do whom only a workload names.
async fn victim_agrees_to_mallorys_request(system: &System) -> (String, String, String) {
    let (agent, victim) = (system.workload("agent"), system.person("victim"));
    let wat = agent.wat_for_user_id("mallory").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let on = victim.opens(pending.link()).await;
    assert_eq!(
        on.status,
        StatusCode::FOUND,
        "nobody can be recognised: the cookie alone"
    );
    let handle = victim.agrees(on.location(), "victim").await.handle();
    (wat, pending.session_uri().to_owned(), handle)
}

async fn completes_by_user_id(system: &System, handle: &str, user_id: &str) -> super::Answer {
    let body = json!({"sessionUri": handle, "userIdentifier": {"userId": user_id}});
    system
        .call(&system.binding, "/identities/CompleteResourceTokenAuth", &body)
        .await
}

#[tokio::test]
async fn a01_a_victim_cannot_complete_what_mallory_started_and_neither_can_mallory_afterwards() {
    let system = System::start().await;
    let (wat, session_uri, handle) = victim_agrees_to_mallorys_request(&system).await;
    assert_invalid_session(&completes_by_user_id(&system, &handle, "victim").await);
    system
        .assert_recorded("CompleteResourceTokenAuth", "refused", "wrong_person")
        .await;
    // Mallory, himself, with everything he can know.
    for stolen in [&handle, &session_uri] {
        assert_invalid_session(&completes_by_user_id(&system, stolen, "mallory").await);
    }
    system.assert_nothing_happened().await;
    let agent = system.workload("agent");
    assert_eq!(agent.polls(&wat, &session_uri).await.session_status(), "FAILED");
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.session_status(),
        "IN_PROGRESS",
        "consent is still needed"
    );
}

#[tokio::test]
async fn a01_the_start_page_refuses_everybody_but_the_person_for_whom_it_was_asked() {
    let system = System::start().await;
    let (mallory, victim, agent) = (
        system.person("mallory"),
        system.person("victim"),
        system.workload("agent"),
    );
    let pending = agent.asks_for_token(&mallory).await;
    let page = victim.opens(pending.link()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.body.contains("not yours") && !page.body.contains("decision"),
        "no way to go on"
    );
    assert!(page.body.contains("href=\"http://localhost:8400/\""), "but back");
    system
        .assert_recorded("StartAuthorization", "refused", "wrong_person")
        .await;
    // A form that Mallory's own page would fill in for the victim.
    let question = mallory.opens(pending.link()).await;
    assert_eq!(
        victim.answers(&question, "allow").await.status,
        StatusCode::FORBIDDEN
    );
    system.assert_nothing_happened().await;
    mallory.connects(pending.link()).await;
}

#[tokio::test]
async fn a02_a_victim_who_logs_in_on_the_way_is_refused_all_the_same() {
    let system = System::start().await;
    let (mallory, victim, agent) = (
        system.person("mallory"),
        system.person("victim"),
        system.workload("agent"),
    );
    let pending = agent.asks_for_token(&mallory).await;
    let login = victim.opens_anonymously(pending.link()).await;
    assert_eq!(login.status, StatusCode::FOUND);
    assert!(
        login
            .location()
            .starts_with("https://account.test/identities/oauth2/authorize/login?request_uri=")
    );
    let back = victim.opens(login.location()).await;
    assert_eq!(
        back.location(),
        pending.link(),
        "login leads back to that one request"
    );
    assert_eq!(victim.opens(back.location()).await.status, StatusCode::FORBIDDEN);
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn a03_mallory_cannot_finish_what_the_victim_started() {
    let system = System::start().await;
    let agent = system.workload("agent");
    // Recognisable: he does not get past the start page.
    let (mallory, victim) = (system.person("mallory"), system.person("victim"));
    let pending = agent.asks_for_token(&victim).await;
    assert_eq!(mallory.opens(pending.link()).await.status, StatusCode::FORBIDDEN);
    // Not recognisable: he gets as far as completion.
    let wat = agent.wat_for_user_id("victim").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let on = mallory.opens(pending.link()).await;
    let handle = mallory.agrees(on.location(), "mallory").await.handle();
    assert_invalid_session(&completes_by_user_id(&system, &handle, "mallory").await);
    system.assert_nothing_happened().await;
    assert_invalid_session(&completes_by_user_id(&system, &handle, "victim").await);
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn a04_mallory_cannot_lend_his_account_to_a_victim_whose_link_leaked() {
    let system = System::start().await;
    let (mallory, victim, agent) = (
        system.person("mallory"),
        system.person("victim"),
        system.workload("agent"),
    );
    let pending = agent.asks_for_token(&victim).await;
    let vendor_url = victim.starts(pending.link()).await;
    // Mallory agrees with his own account, in his own browser, with the leaked vendor URL …
    let callback = system.vendor.agree(&vendor_url, "mallory");
    let page = mallory.opens(&callback).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    system
        .assert_recorded("ReceiveAuthorizationResponse", "refused", "missing_cookie")
        .await;
    // … with a cookie of a session of his own …
    let own = agent.asks_for_token(&mallory).await;
    mallory.starts(own.link()).await;
    assert_eq!(mallory.opens(&callback).await.status, StatusCode::FORBIDDEN);
    system
        .assert_recorded("ReceiveAuthorizationResponse", "refused", "other_browser")
        .await;
    // … and lures the victim to the binding page with the identifier that the link leaked.
    assert_invalid_session(&victim.completes(pending.session_uri()).await);
    system.assert_nothing_happened().await;
    // The victim's own way is still open.
    let back = victim.agrees(&vendor_url, "victim").await;
    assert_eq!(victim.completes(&back.handle()).await.status, StatusCode::OK);
    assert_eq!(system.grants().await[0]["accountId"], "victim");
}

#[tokio::test]
async fn a05_images_frames_and_fetches_open_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat_for_user_id("alice").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let frame = [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")];
    let fetch = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "no-cors")];
    for headers in [IMAGE, &frame, &fetch] {
        let page = alice.opens_with(pending.link(), headers).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{headers:?}");
        let policy = page.headers["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.contains("frame-ancestors 'none'"));
    }
    // Nothing was consumed.
    let on = alice.opens(pending.link()).await;
    assert_eq!(on.status, StatusCode::FOUND);
    let callback = system.vendor.agree(on.location(), "alice");
    assert_eq!(
        alice.opens_with(&callback, IMAGE).await.status,
        StatusCode::FORBIDDEN
    );
    assert!(alice.opens(&callback).await.location().starts_with(RETURN_URL));
}

#[tokio::test]
async fn a05_another_origins_form_answers_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let question = alice.opens(pending.link()).await;
    for origin in ["https://app.test", "https://evil.example", "null"] {
        assert_eq!(
            alice.answers_as(&question, "allow", origin).await.status,
            StatusCode::FORBIDDEN,
            "{origin}"
        );
    }
    system
        .assert_recorded("StartAuthorization", "refused", "cross_origin")
        .await;
    // A page for one session answers no other.
    let other = agent
        .asks(
            &agent.wat(&alice).await,
            &Ask {
                scopes: vec!["write"],
                ..Ask::default()
            },
        )
        .await;
    let mut mixed = alice.opens(other.link()).await;
    mixed.body = mixed
        .body
        .replace(&mixed.hidden("csrf_token"), &question.hidden("csrf_token"));
    assert_eq!(alice.answers(&mixed, "allow").await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        alice.answers(&question, "allow").await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a06_a_stolen_callback_is_worth_nothing_in_another_browser() {
    let system = System::start().await;
    let (mallory, victim, agent) = (
        system.person("mallory"),
        system.person("victim"),
        system.workload("agent"),
    );
    let wat = agent.wat_for_user_id("mallory").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let on = victim.opens(pending.link()).await;
    let callback = system.vendor.agree(on.location(), "victim");
    assert_eq!(mallory.opens(&callback).await.status, StatusCode::FORBIDDEN);
    system.assert_nothing_happened().await;
    assert_eq!(
        agent.polls(&wat, pending.session_uri()).await.session_status(),
        "IN_PROGRESS"
    );
}

#[tokio::test]
async fn a08_the_same_subject_of_another_issuer_is_another_person() {
    let system = System::start().await;
    let (alice, agent) = (system.person("1001"), system.workload("agent"));
    let mut namesake = system.person("1001");
    namesake.issuer = "https://other-idp.test".to_owned();
    let pending = agent.asks_for_token(&alice).await;
    assert_eq!(namesake.opens(pending.link()).await.status, StatusCode::FORBIDDEN);
    let handle = alice.consents(pending.link()).await;
    assert_invalid_session(&namesake.completes(&handle).await);
    system.assert_nothing_happened().await;
    let second = agent.asks_for_token(&alice).await;
    alice.connects(second.link()).await;
    assert_eq!(
        agent.asks_for_token(&namesake).await.token(),
        None,
        "nothing of the other one's vault"
    );
}

#[tokio::test]
async fn a09_a_user_id_that_differs_at_all_completes_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    for other in ["Alice", "alice ", "/alice", "al\u{ed}ce", "ali\u{301}ce"] {
        let wat = agent.wat_for_user_id("alice").await;
        let pending = agent
            .asks(
                &wat,
                &Ask {
                    force: true,
                    ..Ask::default()
                },
            )
            .await;
        let on = alice.opens(pending.link()).await;
        let handle = alice.agrees(on.location(), "alice").await.handle();
        assert_invalid_session(&completes_by_user_id(&system, &handle, other).await);
    }
    system.assert_nothing_happened().await;
    // A token and an id of the same text are two people, too.
    let wat = agent.wat_for_user_id(&alice.published_id()).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let handle = alice.consents(pending.link()).await;
    assert_invalid_session(&alice.completes(&handle).await);
}

#[tokio::test]
async fn a09_a_published_user_id_is_recognised_at_the_start_page() {
    let system = System::start().await;
    let (alice, bob, agent) = (
        system.person("alice"),
        system.person("bob"),
        system.workload("agent"),
    );
    let wat = agent.wat_for_user_id(&alice.published_id()).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    assert_eq!(bob.opens(pending.link()).await.status, StatusCode::FORBIDDEN);
    let handle = alice.consents(pending.link()).await;
    assert_eq!(
        completes_by_user_id(&system, &handle, &alice.published_id())
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a10_a_person_stopped_on_the_way_completes_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let key = countersign_crypto::UserKey::jwt(&alice.issuer, &alice.subject).to_hex();
    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let handle = alice.consents(pending.link()).await;
    let write = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["write"],
                ..Ask::default()
            },
        )
        .await;
    for subject in [key, alice.published_id()] {
        system.stop("user", &subject).await;
        let refused = alice.completes(&handle).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
        system
            .assert_recorded("CompleteResourceTokenAuth", "refused", "user_stopped")
            .await;
        system.assert_nothing_happened().await;
        let minted = agent
            .mint("ForJWT", json!({"userToken": alice.token("agent")}))
            .await;
        assert_eq!(minted.status, StatusCode::FORBIDDEN);
        assert_eq!(
            agent.asks(&wat, &Ask::default()).await.status,
            StatusCode::FORBIDDEN,
            "nor with an older WAT"
        );
        assert_eq!(alice.opens(write.link()).await.status, StatusCode::FORBIDDEN);
        system
            .admin("Start", json!({"subjectKind": "user", "subject": subject}))
            .await;
    }
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    system.stop("provider", "vendor").await;
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::FORBIDDEN,
        "a stored token stays in the vault"
    );
}

#[tokio::test]
async fn the_same_person_in_a_new_browser_session_starts_again() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let mut later = system.person("alice");
    later.sid = "another login".to_owned();
    let told = later.opens(pending.link()).await;
    assert_eq!(told.status, StatusCode::FORBIDDEN);
    assert!(told.body.contains("signed in again"));
    let handle = alice.consents(pending.link()).await;
    assert_invalid_session(&later.completes(&handle).await);
    system
        .assert_recorded("CompleteResourceTokenAuth", "refused", "other_browser_session")
        .await;
    assert_eq!(
        text(&alice.describes(&handle).await.body["state"]),
        "CODE_HELD",
        "the session is unchanged"
    );
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);

    let system = System::start_with(json!({"sid": "warn"})).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    let mut later = system.person("alice");
    later.sid = "another login".to_owned();
    assert_eq!(later.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_installation_may_refuse_people_it_cannot_recognise() {
    let system = System::start_with(json!({"start_login": "required"})).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat_for_user_id("alice").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    assert_eq!(alice.opens(pending.link()).await.status, StatusCode::FORBIDDEN);
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
}

#[tokio::test]
async fn a_person_who_declines_at_the_start_page_goes_back_with_the_refusal() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let pending = agent
        .asks(
            &wat,
            &Ask {
                more: json!({"customState": "st"}),
                ..Ask::default()
            },
        )
        .await;
    let question = alice.opens(pending.link()).await;
    let back = alice.answers(&question, "deny").await;
    assert!(back.location().starts_with(RETURN_URL));
    assert_eq!(
        (
            back.parameter("error").as_deref(),
            back.parameter("state").as_deref()
        ),
        (Some("access_denied"), Some("st"))
    );
    assert_eq!(
        text(&alice.describes(&back.handle()).await.body["state"]),
        "DENIED"
    );
    assert_eq!(
        agent.polls(&wat, pending.session_uri()).await.session_status(),
        "FAILED"
    );
    assert_invalid_session(&alice.completes(&back.handle()).await);
    system.assert_nothing_happened().await;
}

/// The original's behaviour, at the workload's own risk: what Mallory knows from the link is what completes.
#[tokio::test]
async fn a_workload_may_choose_the_session_uri_as_its_return_handle() {
    let system = System::start().await;
    let choice = json!({"workloadName": "agent", "returnHandle": "session-uri"});
    system.admin("PutReturnHandle", choice).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    assert_invalid_session(&alice.completes(pending.session_uri()).await);
    let handle = alice.consents(pending.link()).await;
    assert_eq!(handle, pending.session_uri());
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_no_needs_no_answer_of_the_provider() {
    let system = System::start().await;
    system.vendor.memory.lock().expect("not poisoned").away = true;
    // Nor what was once known of it.
    let system = system.restarted_with(|_| ()).await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let question = alice.opens(pending.link()).await;
    let on = alice.answers(&question, "allow").await;
    assert_eq!(on.status, StatusCode::SERVICE_UNAVAILABLE, "{on:?}");
    let back = alice.answers(&question, "deny").await;
    assert_eq!(
        back.parameter("error").as_deref(),
        Some("access_denied"),
        "{back:?}"
    );
}
