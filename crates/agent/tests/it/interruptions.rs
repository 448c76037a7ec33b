//! Turns that are watched from elsewhere, stopped, or cut off and taken up again.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{APP_ORIGIN, Agent, TOKEN, access_token, front_channel, issues, json_of, tool_states};

async fn waiting() -> Agent {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent.answers("GET", "/api/issues", 200, issues()).await;
    agent
}

async fn history(agent: &Agent) -> Value {
    json_of(&agent.get("alice", "/conversations/c").await)
}

async fn stop(agent: &Agent, subject: &str, origin: &str) -> StatusCode {
    let token = agent.user_token(subject, "dev-agent");
    let headers = [("x-countersign-user-token", token.as_str()), ("origin", origin)];
    let request = agent.request(Method::POST, "/conversations/c/stop", &headers, "");
    agent.send(request).await.status
}

#[tokio::test]
async fn a_turn_that_lost_its_stream_goes_on_where_it_stood() {
    let agent = waiting().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    drop(events);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(history(&agent).await["interrupted"], true);

    let (rest, text) = agent.resume("alice", "c").await.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
    assert_eq!(tool_states(&rest), ["started", "done"]);
    let after = history(&agent).await;
    assert_eq!(after["interrupted"], false);
    let roles: Vec<_> = after["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(roles, ["user", "tool", "assistant"], "the question once");
    // Nothing is left to take up.
    let (rest, text) = agent.resume("alice", "c").await.rest().await;
    assert_eq!((rest.len(), text.as_str()), (1, ""));
}

/// Alice's turn in conversation `c` lost its stream while the service was at a new issue.
async fn cut_off_in_a_write() -> Agent {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    agent
        .answers_slowly("POST", "/api/issues", Duration::from_secs(5), json!({}))
        .await;
    let mut events = agent.ask("alice", "c", "create issue: Printer on fire").await;
    events.until("tool").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    drop(events);
    assert_eq!(agent.calls("/api/issues").await.len(), 1);
    agent
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let agent = cut_off_in_a_write().await;
    let (rest, text) = agent.resume("alice", "c").await.rest().await;
    assert_eq!(tool_states(&rest), ["started", "failed"]);
    assert!(text.contains("look before trying again"), "{text}");
    assert_eq!(agent.calls("/api/issues").await.len(), 1, "one call, ever");
}

#[tokio::test]
async fn a_newer_message_does_not_make_the_model_forget_what_may_have_been_done() {
    // As the page leaves its stream when the person asks something else.
    let agent = cut_off_in_a_write().await;
    agent.ask("alice", "c", "hello").await.rest().await;
    assert_eq!(agent.calls("/api/issues").await.len(), 1);
    let after = history(&agent).await;
    let entries = after["entries"].as_array().expect("entries").iter();
    let roles: Vec<_> = entries
        .map(|entry| (entry["role"].as_str(), entry["state"].as_str()))
        .collect();
    let expected = [
        ("user", None),
        ("tool", Some("failed")),
        ("user", None),
        ("assistant", None),
    ];
    assert_eq!(
        roles,
        expected.map(|(role, state)| (Some(role), state)),
        "{after}"
    );
}

#[tokio::test]
async fn a_second_tab_sees_the_turn_from_its_beginning() {
    let agent = waiting().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(2))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let mut first = agent.ask("alice", "c", "list my open issues").await;
    first.until("consent").await;
    let seen = history(&agent).await;
    assert_eq!(seen["underWay"], true);
    assert_eq!(seen["entries"].as_array().expect("entries").len(), 1);

    let mut second = agent.watch("alice", "c").await.expect("a turn under way");
    let card = second.until("consent").await;
    assert_eq!(card["provider"], "ledgerline");
    // The tab that asked goes; the turn stays for the one that watches.
    drop(first);
    let (_, text) = second.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
    assert!(agent.watch("alice", "c").await.is_none(), "over");
    assert!(agent.watch("mallory", "c").await.is_none(), "not Mallory's");
}

#[tokio::test]
async fn a_person_stops_a_turn_of_theirs_and_nobody_elses() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    assert_eq!(stop(&agent, "mallory", APP_ORIGIN).await, StatusCode::NOT_FOUND);
    assert_eq!(
        stop(&agent, "alice", "http://evil.example").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(stop(&agent, "alice", APP_ORIGIN).await, StatusCode::NO_CONTENT);
    let (rest, _) = events.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "stopped"),
        "{rest:?}"
    );
    assert_eq!(stop(&agent, "alice", APP_ORIGIN).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_conversation_that_is_deleted_takes_its_turn_with_it() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    let token = agent.user_token("alice", "dev-agent");
    let headers = [
        ("x-countersign-user-token", token.as_str()),
        ("origin", APP_ORIGIN),
    ];
    let request = agent.request(Method::DELETE, "/conversations/c", &headers, "");
    assert_eq!(agent.send(request).await.status, StatusCode::NO_CONTENT);
    let (rest, _) = events.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "stopped")
    );
    assert_eq!(
        agent.get("alice", "/conversations/c").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_body_is_either_a_message_or_a_resumption() {
    let agent = Agent::connected().await;
    for body in [
        json!({ "sessionId": "c" }),
        json!({ "sessionId": "c", "message": "help", "resume": true }),
        json!({ "sessionId": "c", "resume": "yes" }),
    ] {
        let answer = agent.send(agent.invocation("alice", &body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}
