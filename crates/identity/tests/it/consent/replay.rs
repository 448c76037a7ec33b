//! Attack rows B: the same thing twice, too late, or many times at once.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use super::vendor::Next;
use super::{Ask, System, assert_invalid_session};

#[tokio::test]
async fn b01_completing_again_is_the_same_success_without_a_second_exchange() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    for _ in 0..3 {
        assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    }
    assert_eq!(system.vendor.token_requests(), 1);
    assert_invalid_session(&system.person("bob").completes(&handle).await);
}

#[tokio::test]
async fn b02_fifty_concurrent_completions_make_one_exchange() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    system.vendor.will(Next::Slow(Duration::from_millis(400)));
    let answers = join_all((0..50).map(|_| alice.completes(&handle))).await;
    assert!(
        answers.iter().all(|answer| answer.status == StatusCode::OK),
        "{answers:?}"
    );
    assert_eq!(system.vendor.token_requests(), 1);
    assert_eq!(system.grants().await.len(), 1);
}

#[tokio::test]
async fn b03_ten_minutes_are_ten_minutes() {
    for (seconds, in_time) in [(599, true), (600, false), (601, false)] {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let pending = agent.asks_for_token(&alice).await;
        // The code itself may be kept for less: go to the vendor at the end.
        system.clock.advance(Duration::from_secs(500));
        let handle = alice.consents(pending.link()).await;
        system.clock.advance(Duration::from_secs(seconds - 500));
        let answer = alice.completes(&handle).await;
        if in_time {
            assert_eq!(answer.status, StatusCode::OK, "{seconds} s");
        } else {
            assert_invalid_session(&answer);
            system.assert_nothing_happened().await;
            let wat = agent.wat(&alice).await;
            assert_eq!(
                agent.polls(&wat, pending.session_uri()).await.session_status(),
                "FAILED"
            );
        }
    }
}

#[tokio::test]
async fn b03_links_expire_to_the_second() {
    for (seconds, status) in [(599, StatusCode::OK), (600, StatusCode::GONE)] {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let pending = agent.asks_for_token(&alice).await;
        system.clock.advance(Duration::from_secs(seconds));
        assert_eq!(alice.opens(pending.link()).await.status, status, "{seconds} s");
    }
}

#[tokio::test]
async fn b03_a_code_is_kept_for_five_minutes() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    system.clock.advance(Duration::from_mins(5));
    assert_invalid_session(&alice.completes(&handle).await);
    assert_eq!(alice.describes(&handle).await.body["state"], "EXPIRED");
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn b04_completing_before_the_callback_changes_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    assert_invalid_session(&alice.completes(pending.session_uri()).await);
    let vendor_url = alice.starts(pending.link()).await;
    assert_invalid_session(&alice.completes(pending.session_uri()).await);
    system.assert_nothing_happened().await;
    let handle = alice.agrees(&vendor_url, "alice").await.handle();
    assert_invalid_session(&alice.completes(pending.session_uri()).await);
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b05_the_same_callback_twice_counts_once() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let vendor_url = alice.starts(agent.asks_for_token(&alice).await.link()).await;
    let callback = system.vendor.agree(&vendor_url, "alice");
    let handle = alice.opens(&callback).await.handle();
    let again = alice.opens(&callback).await;
    assert_eq!((again.status, again.location()), (StatusCode::CONFLICT, ""));
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b06_a_second_code_loses_the_session() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let vendor_url = alice.starts(agent.asks_for_token(&alice).await.link()).await;
    let handle = alice.agrees(&vendor_url, "alice").await.handle();
    let injected = alice.agrees(&vendor_url, "mallory").await;
    assert_eq!(injected.status, StatusCode::FORBIDDEN);
    system
        .assert_recorded("ReceiveAuthorizationResponse", "refused", "second_code")
        .await;
    assert_invalid_session(&alice.completes(&handle).await);
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn b07_a_callback_after_the_end_is_told_so_and_its_code_dropped() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let vendor_url = alice.starts(agent.asks_for_token(&alice).await.link()).await;
    system.clock.advance(Duration::from_mins(10));
    let page = alice.agrees(&vendor_url, "alice").await;
    assert_eq!(page.status, StatusCode::GONE);
    assert!(page.body.contains("expired"));
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn b08_a_link_belongs_to_the_first_browser() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let other_browser = system.person("alice");
    let pending = agent.asks_for_token(&alice).await;
    let first = alice.starts(pending.link()).await;
    assert_eq!(
        other_browser.opens(pending.link()).await.status,
        StatusCode::FORBIDDEN
    );
    system
        .assert_recorded("StartAuthorization", "refused", "other_browser")
        .await;
    // The same browser may go back and go on again, until a code is held.
    assert_eq!(alice.starts(pending.link()).await, first);
    let handle = alice.agrees(&first, "alice").await.handle();
    assert_eq!(alice.opens(pending.link()).await.status, StatusCode::CONFLICT);
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b08_a_question_answered_in_two_browsers_goes_on_in_one() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let other_browser = system.person("alice");
    let pending = agent.asks_for_token(&alice).await;
    let (here, there) = (
        alice.opens(pending.link()).await,
        other_browser.opens(pending.link()).await,
    );
    assert_eq!(alice.answers(&here, "allow").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        other_browser.answers(&there, "allow").await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn b08_previews_and_prefetches_consume_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat_for_user_id("alice").await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let scanner = system.person("scanner");
    let head = scanner
        .request(http::Method::HEAD, pending.link())
        .body(axum::body::Body::empty())
        .expect("a request");
    let head = scanner.send(head).await;
    assert_eq!(
        (head.status, head.headers.contains_key("set-cookie")),
        (StatusCode::OK, false)
    );
    for header in [
        ("sec-purpose", "prefetch"),
        ("purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
    ] {
        let page = scanner.opens_with(pending.link(), &[header]).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::SERVICE_UNAVAILABLE, ""),
            "{header:?}"
        );
    }
    assert_eq!(alice.opens(pending.link()).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn b09_session_identifiers_that_we_did_not_make_are_refused() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let uri = pending.session_uri();
    let prefix = "urn:ietf:params:oauth:request_uri:";
    let misshapen = [
        uri[..uri.len() - 1].to_owned(),
        format!("{prefix}{}", uri[prefix.len()..].to_ascii_uppercase()),
        format!("{}%00", &uri[..uri.len() - 3]),
        format!("{prefix}{}", "a".repeat(1025)),
        uri.replace(prefix, "urn:ietf:params:oauth:other:"),
    ];
    for wrong in &misshapen {
        let answer = alice.completes(wrong).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException"),
            "{wrong}"
        );
        assert_eq!(
            agent.polls(&wat, wrong).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
        let link = format!("https://account.test/identities/oauth2/authorize?request_uri={wrong}");
        assert_eq!(
            alice.opens(&link).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    // One of ours, guessed: as unknown as any.
    let guessed = "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy";
    assert_invalid_session(&alice.completes(guessed).await);
    assert_invalid_session(&agent.polls(&wat, guessed).await);
    for query in ["", "?request_uri=", "?request_uri=a&request_uri=b"] {
        let page = alice
            .opens(&format!(
                "https://account.test/identities/oauth2/authorize{query}"
            ))
            .await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(alice.opens(pending.link()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b12_one_person_cannot_fill_the_database_with_sessions() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let mut answers = Vec::new();
    for number in 0..21 {
        let resource = format!("https://api.test/{number}");
        let more = serde_json::json!({"resources": [resource]});
        answers.push(
            agent
                .asks(
                    &wat,
                    &Ask {
                        more,
                        ..Ask::default()
                    },
                )
                .await,
        );
    }
    let refused = answers.pop().expect("21 answers");
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(
        (refused.status, refused.error().0),
        (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException")
    );
    let bob = system.person("bob");
    assert_eq!(
        agent.asks_for_token(&bob).await.status,
        StatusCode::OK,
        "nobody else is affected"
    );
    system.clock.advance(Duration::from_mins(10));
    assert_eq!(agent.asks_for_token(&alice).await.status, StatusCode::OK);
}

/// What was seen to be over stays over, and what came before the jump does not get more time than it was given.
#[tokio::test]
async fn b11_a_clock_that_jumps_back_brings_nothing_back_to_life() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let (link, uri) = (pending.link().to_owned(), pending.session_uri().to_owned());
    system.clock.advance(Duration::from_mins(10));
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.polls(&wat, &uri).await.session_status(), "FAILED");
    system.clock.retreat(Duration::from_mins(5));
    assert_eq!(agent.polls(&wat, &uri).await.session_status(), "FAILED");
    assert_eq!(alice.opens(&link).await.status, StatusCode::GONE);

    // One whose code is held, and which nobody has looked at since.
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    system.clock.retreat(Duration::from_mins(20));
    assert_invalid_session(&alice.completes(&handle).await);
    system.clock.advance(Duration::from_mins(20));
    assert_invalid_session(&alice.completes(&handle).await);
    system.assert_nothing_happened().await;

    // A token that the vendor has let expire meanwhile is not taken for a living one.
    let wat = agent.wat(&alice).await;
    alice
        .connects(agent.asks(&wat, &Ask::default()).await.link())
        .await;
    let old = agent.asks(&wat, &Ask::default()).await;
    system.clock.retreat(Duration::from_mins(30));
    let wat = agent.wat(&alice).await;
    let new = agent.asks(&wat, &Ask::default()).await;
    assert!(new.token().is_some() && new.token() != old.token(), "{new:?}");
    let grant = system.grants().await[0]["grantId"].clone();
    system.admin("RevokeGrant", json!({"grantId": grant})).await;
    system.clock.retreat(Duration::from_mins(10));
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), None, "revoked");
}

#[tokio::test]
async fn b13_an_older_session_does_not_overwrite_what_a_forced_one_brought() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let force = Ask {
        force: true,
        ..Ask::default()
    };
    // Before a code is held the newer request takes the place of the older.
    let first = agent.asks(&wat, &Ask::default()).await;
    let second = agent.asks(&wat, &force).await;
    assert_ne!(first.session_uri(), second.session_uri());
    assert_eq!(alice.opens(first.link()).await.status, StatusCode::CONFLICT);
    assert_eq!(
        agent.polls(&wat, first.session_uri()).await.session_status(),
        "FAILED"
    );

    // A held code is out of its reach: both go on, and the last request wins whichever is finished first.
    let older = alice.consents(second.link()).await;
    system.clock.advance(Duration::from_secs(1));
    let third = agent.asks(&wat, &force).await;
    let newer = alice.consents(third.link()).await;
    assert_eq!(alice.completes(&newer).await.status, StatusCode::OK);
    let token = agent.asks(&wat, &Ask::default()).await;
    assert_invalid_session(&alice.completes(&older).await);
    assert_eq!(system.vendor.token_requests(), 1, "the older code is never sent");
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), token.token());
    assert_eq!(
        agent.polls(&wat, second.session_uri()).await.session_status(),
        "FAILED"
    );
    assert_eq!(system.grants().await.len(), 1);
    system
        .assert_recorded("CompleteResourceTokenAuth", "refused", "superseded")
        .await;
}

#[tokio::test]
async fn b14_sessions_that_end_out_of_order_each_bring_their_own_scopes() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let scopes = |scopes: &[&'static str]| Ask {
        scopes: scopes.to_vec(),
        ..Ask::default()
    };
    let (read, write) = (scopes(&["read"]), scopes(&["write"]));
    let (first, second) = (agent.asks(&wat, &read).await, agent.asks(&wat, &write).await);
    let first_handle = alice.consents(first.link()).await;
    let second_handle = alice.consents(second.link()).await;
    assert_eq!(alice.completes(&second_handle).await.status, StatusCode::OK);
    assert_eq!(
        agent.asks(&wat, &read).await.token(),
        None,
        "what was consented to for the one is not served for the other"
    );
    assert_eq!(alice.completes(&first_handle).await.status, StatusCode::OK);
    for (ask, session) in [(&read, &first), (&write, &second)] {
        let mut poll = ask.clone();
        poll.more = json!({"sessionUri": session.session_uri()});
        let polled = agent.asks(&wat, &poll).await;
        assert_eq!(polled.body["grantedScopes"], json!(ask.scopes), "{polled:?}");
        assert_eq!(agent.asks(&wat, ask).await.token(), polled.token());
    }
    assert_eq!(system.grants().await.len(), 2);
}
