//! Login, first token, second token, refusal: over HTTP, with people who follow links and fill forms.

use e2e::{HttpBrowser, Person, System};
use reqwest::StatusCode;
use serde_json::json;
use url::Url;

/// The consent link that an open stream shows next.
async fn consent_link(events: &mut e2e::sse::Events) -> Url {
    let consent = events.until("consent").await;
    Url::parse(consent.data["url"].as_str().expect("a consent card has a link")).expect("a URL")
}

#[tokio::test]
async fn a_person_consents_once_and_the_agent_goes_on_by_itself() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    let chat = alice.logs_in().await;
    assert_eq!(chat.status, StatusCode::OK);
    assert_eq!(
        chat.url,
        system.app("/"),
        "after the login the browser is where it wanted to go"
    );

    let mut events = alice.asks("list my open issues", "first").await;
    let consent = events.until("consent").await;
    assert_eq!(consent.data["provider"], "ledgerline");
    assert_eq!(consent.data["scopes"], json!(["issues:read"]));
    assert!(consent.data["expiresAt"].is_number());
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    assert_eq!(
        link.origin(),
        system.account("/").origin(),
        "a consent link is our own start page"
    );

    let done = alice.consents(&link).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(
        done.body.contains("alice"),
        "the page names the account that was connected:\n{}",
        done.body
    );

    let answer = events.answer().await;
    assert!(
        answer.contains("ALICE-1") && answer.contains("ALICE-2"),
        "{answer}"
    );
    assert!(!answer.contains("BOB"), "{answer}");

    let mut again = alice.asks("list my open issues", "second").await;
    let mut names = vec![];
    let mut text = String::new();
    while let Some(event) = again.next().await {
        if event.name == "message" {
            text.push_str(event.data["text"].as_str().unwrap_or_default());
        }
        names.push(event.name);
    }
    assert!(
        !names.contains(&"consent".to_owned()),
        "the second question needs no consent: {names:?}"
    );
    assert!(text.contains("ALICE-1"), "{text}");
    assert_eq!(names.last().map(String::as_str), Some("done"));
}

#[tokio::test]
async fn a_wider_scope_asks_for_just_that_scope() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let link = consent_link(&mut events).await;
    alice.consents(&link).await;
    events.answer().await;
    let mut events = alice.asks("create issue Buy more coffee", "s").await;
    let consent = events.until("consent").await;
    assert_eq!(consent.data["scopes"], json!(["issues:write"]));
    alice
        .consents(&Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL"))
        .await;
    let answer = events.answer().await;
    assert!(answer.contains("Created ALICE-"), "{answer}");
}

#[tokio::test]
async fn what_is_denied_at_the_provider_is_told_and_does_not_loop() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let link = consent_link(&mut events).await;
    let page = alice.starts_consent(&link).await;
    let back = alice.decides_at_ledgerline(&page, "alice", "deny").await;
    assert_eq!(back.query("error").as_deref(), Some("access_denied"));
    let told = alice.opens(&back.url).await;
    assert!(
        !told.body.contains("confirm-binding"),
        "there is nothing to confirm:\n{}",
        told.body
    );
    let mut consents = 0;
    while let Some(event) = events.next().await {
        consents += usize::from(event.name == "consent");
    }
    assert_eq!(consents, 0, "a denial is not asked again in the same turn");
}

#[tokio::test]
async fn saying_no_at_the_start_page_never_reaches_the_provider() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let link = consent_link(&mut events).await;
    let page = alice.opens(&link).await;
    let after = alice.browser.submits(&page, &[("decision", "deny")]).await;
    assert!(
        after
            .hops
            .iter()
            .all(|url| url.port() != system.ledgerline("/").port()),
        "{:?}",
        after.hops
    );
}

#[tokio::test]
async fn people_do_not_see_each_other() {
    let system = System::start();
    let (alice, bob) = (Person::new(&system, "alice"), Person::new(&system, "bob"));
    alice.logs_in().await;
    bob.logs_in().await;
    let mut events = alice.asks("list my open issues", "shared-name").await;
    let link = consent_link(&mut events).await;
    alice.consents(&link).await;
    events.answer().await;
    let mut events = bob.asks("list my open issues", "shared-name").await;
    let link = consent_link(&mut events).await;
    bob.consents(&link).await;
    let answer = events.answer().await;
    assert!(answer.contains("BOB-1") && !answer.contains("ALICE"), "{answer}");
}

#[tokio::test]
async fn mallorys_link_is_not_for_victoria() {
    let system = System::start();
    let (mallory, victoria) = (Person::new(&system, "bob"), Person::new(&system, "alice"));
    mallory.logs_in().await;
    victoria.logs_in().await;
    let mut events = mallory.asks("list my open issues", "s").await;
    let link = consent_link(&mut events).await;
    let page = victoria.opens(&link).await;
    assert!(
        page.status == StatusCode::FORBIDDEN,
        "{} {}",
        page.status,
        page.url
    );
    assert!(
        !page.body.contains("name=\"decision\""),
        "she is not asked anything:\n{}",
        page.body
    );
    assert!(!page.body.contains("bob"), "nor told whose it is:\n{}", page.body);
    // The link still works for whom it is for.
    mallory.consents(&link).await;
    assert!(events.answer().await.contains("BOB-1"));
}

#[tokio::test]
async fn logout_ends_both_origins() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let out = alice.browser.opens(system.app("/logout")).await;
    let out = if out.form().is_some() {
        alice.browser.submits(&out, &[]).await
    } else {
        out
    };
    assert_eq!(out.url.path(), "/logged-out", "{:?}", out.hops);
    let response = alice
        .posts_invocation(&json!({ "message": "hello", "sessionId": "s" }))
        .await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let page = alice
        .browser
        .opens(system.account("/oauth2/session-binding"))
        .await;
    assert!(
        page.body.contains("name=\"password\""),
        "the account origin asks for a login again: {}",
        page.url
    );
}

#[tokio::test]
async fn a_restart_keeps_the_data_and_ctrl_c_exits_zero() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = |port_base| e2e::system::Options {
        data: Some(directory.path().join("data")),
        port_base,
        ..Default::default()
    };
    let mut system = System::start_with(options(None));
    let port_base = system.port_base;
    let jar = {
        let alice = Person::new(&system, "alice");
        alice.logs_in().await;
        let mut events = alice.asks("list my open issues", "s").await;
        let link = consent_link(&mut events).await;
        alice.consents(&link).await;
        events.answer().await;
        alice.browser.clone()
    };
    assert_eq!(system.interrupt().code(), Some(0), "{}", system.log_text());
    let system = System::start_with(options(Some(port_base)));
    let mut alice = Person::new(&system, "alice");
    alice.browser = jar.reconnected();
    let mut events = alice.asks("list my open issues", "s2").await;
    let answer = events.answer().await;
    assert!(
        answer.contains("ALICE-1"),
        "login, grant and consent survive: {answer}"
    );
}

#[tokio::test]
async fn nobody_reaches_the_agent_without_a_login() {
    let system = System::start();
    let stranger = HttpBrowser::new();
    let page = stranger.opens(system.app("/")).await;
    assert!(page.body.contains("name=\"password\""), "{}", page.url);
    for path in [
        "/identities/oauth2/token",
        "/identities/x",
        "/countersign/ListGrants",
    ] {
        let page = stranger.one_hop(system.account(path)).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
    }
    let page = stranger.one_hop(system.url(5, "/")).await;
    assert!(
        page.status.is_client_error(),
        "the task's own port wants the gateway's token: {}",
        page.status
    );
}
