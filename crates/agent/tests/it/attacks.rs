//! Rows of the attack matrix that the agent owns.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{APP_ORIGIN, Agent, CANARY, TOKEN, WAT, front_channel, json_of, pending};

#[tokio::test]
async fn g11_only_our_own_pages_json_starts_a_turn() {
    let agent = Agent::connected().await;
    let token = agent.user_token("alice", "dev-agent");
    let person = ("x-countersign-user-token", token.as_str());
    let json_type = ("content-type", "application/json");
    let own = ("origin", APP_ORIGIN);
    let body = json!({ "message": "list my open issues", "sessionId": "c" }).to_string();
    for headers in [
        vec![person, own, ("content-type", "text/plain")],
        vec![person, own, ("content-type", "application/x-www-form-urlencoded")],
        vec![person, own, ("content-type", "application/jsonp")],
        vec![person, own],
        vec![person, own, json_type, ("content-type", "text/plain")],
        vec![person, json_type],
        vec![person, json_type, ("origin", "null")],
        vec![person, json_type, ("origin", "http://localhost:8407")],
        vec![person, json_type, ("origin", "http://evil.example")],
        vec![person, json_type, own, ("origin", "http://evil.example")],
        vec![person, json_type, own, ("sec-fetch-site", "cross-site")],
        vec![person, json_type, own, ("sec-fetch-site", "same-site")],
    ] {
        let answer = agent
            .send(agent.request(Method::POST, "/invocations", &headers, body.clone()))
            .await;
        assert!(answer.status.is_client_error(), "{headers:?}: {}", answer.status);
    }
    for method in [Method::GET, Method::PUT] {
        let answer = agent
            .send(agent.request(method, "/invocations", &[person, own, json_type], body.clone()))
            .await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(agent.calls(WAT).await.is_empty());
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    assert!(
        events.rest().await.1.contains("ALICE-1"),
        "the same from our own page works"
    );
}

#[tokio::test]
async fn only_a_token_for_this_agent_names_the_person() {
    let agent = Agent::connected().await;
    let others = [
        agent.user_token("alice", "binding"),
        agent.user_token("alice", "identity"),
        "x".to_owned(),
    ];
    for token in others {
        for (method, path) in [
            (Method::POST, "/invocations"),
            (Method::GET, "/"),
            (Method::GET, "/conversations"),
        ] {
            let headers = [
                ("x-countersign-user-token", token.as_str()),
                ("content-type", "application/json"),
                ("origin", APP_ORIGIN),
            ];
            let body = json!({ "message": "hello", "sessionId": "c" }).to_string();
            let answer = agent.send(agent.request(method, path, &headers, body)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    assert!(agent.calls(WAT).await.is_empty());
}

#[tokio::test]
async fn h01_a_consent_link_that_is_not_ours_is_never_shown() {
    for url in [
        "http://evil.example/identities/oauth2/authorize?request_uri=x",
        "http://localhost:8408/identities/oauth2/authorize",
        "http://localhost:8407@evil.example/",
        "https://localhost:8407/",
        "javascript:alert(1)",
        "not a URL",
    ] {
        let agent = Agent::start().await;
        agent.grants_workload_access_token().await;
        agent.answers("POST", TOKEN, 200, pending(url)).await;
        let mut events = agent.ask("alice", "c", "list my open issues").await;
        let (all, _) = events.rest().await;
        assert!(all.iter().all(|(name, _)| name != "consent"), "{url}");
        assert!(!events.raw.contains(url), "{url}");
        assert!(all.iter().any(|(name, _)| name == "error"), "{url}");
    }
}

#[tokio::test]
async fn h02_no_token_reaches_page_transcript_or_model() {
    let agent = Agent::connected().await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    let (_, text) = events.rest().await;
    assert!(text.contains("Printer on fire"));
    let history = agent.get("alice", "/conversations/c").await;
    let history = String::from_utf8(history.body.to_vec()).expect("text");
    let user_token = agent.user_token("alice", "dev-agent");
    let transcript = agent.unsealed("alice", "c").await;
    assert!(transcript.contains("Printer on fire"));
    for place in [&events.raw, &transcript, &history] {
        assert!(!place.contains(CANARY), "{place}");
        assert!(!place.contains(&user_token));
        assert!(!place.contains("request_uri"));
    }
    // It was there to be leaked: the identity service gave it and Ledgerline was shown it.
    let requests = agent.world.received_requests().await.expect("recorded");
    let shown = requests.iter().any(|request| {
        request.url.path() == "/api/issues"
            && request.headers["authorization"]
                .to_str()
                .is_ok_and(|value| value.contains(CANARY))
    });
    assert!(shown);
}

#[tokio::test]
async fn h03_a_conversation_of_another_person_is_not_found() {
    let agent = Agent::connected().await;
    agent
        .ask("alice", "private", "list my open issues")
        .await
        .rest()
        .await;
    assert_eq!(
        agent.get("alice", "/conversations/private").await.status,
        StatusCode::OK
    );

    assert_eq!(
        agent.get("mallory", "/conversations/private").await.status,
        StatusCode::NOT_FOUND
    );
    let list = json_of(&agent.get("mallory", "/conversations").await);
    assert_eq!(list["conversations"], json!([]));
    let token = agent.user_token("mallory", "dev-agent");
    let headers = [
        ("x-countersign-user-token", token.as_str()),
        ("origin", APP_ORIGIN),
    ];
    let delete = agent.request(Method::DELETE, "/conversations/private", &headers, "");
    assert_eq!(agent.send(delete).await.status, StatusCode::NOT_FOUND);
    // Writing under the same id begins a conversation of her own.
    agent.ask("mallory", "private", "hello").await.rest().await;
    let hers = json_of(&agent.get("mallory", "/conversations/private").await);
    assert_eq!(hers["entries"][0]["text"], "hello");
    let his = json_of(&agent.get("alice", "/conversations/private").await);
    assert_eq!(his["entries"][0]["text"], "list my open issues");
}

#[tokio::test]
async fn h04_misshapen_conversation_ids_are_refused() {
    let agent = Agent::connected().await;
    let long = "x".repeat(10_000);
    for id in [
        "",
        "a/b",
        "../../etc/passwd",
        "a\\b",
        "a b",
        "é",
        "a\n",
        "a\0b",
        "%2e%2e",
        &long,
    ] {
        for name in ["sessionId", "session_id"] {
            let body = json!({ "message": "hello", name: id });
            let answer = agent.send(agent.invocation("alice", &body)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id:?}");
            assert_eq!(json_of(&answer)["code"], "invalid_session_id");
        }
    }
    for path in ["a%2Fb", "..%2F..%2Fetc%2Fpasswd", "a%00b", "%C3%A9", "a%20b"] {
        let answer = agent.get("alice", &format!("/conversations/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert!(agent.stored().is_empty());
    assert!(agent.calls(WAT).await.is_empty());
}

#[tokio::test]
async fn h05_scopes_declined_once_are_not_asked_for_again_in_the_turn() {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    agent
        .answers(
            "POST",
            TOKEN,
            200,
            json!({ "sessionUri": crate::harness::SESSION_URI, "sessionStatus": "FAILED" }),
        )
        .await;
    let (events, text) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    assert_eq!(events.iter().filter(|(name, _)| name == "consent").count(), 1);
    assert!(text.contains("declined"), "{text}");
    assert_eq!(agent.calls(TOKEN).await.len(), 2);
}
