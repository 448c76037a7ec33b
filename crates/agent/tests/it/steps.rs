//! What a step of several tool calls comes to: shared cards, what is agreed already, Stop.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{APP_ORIGIN, Agent, TOKEN, access_token, front_channel, json_of, tool_states};
use crate::model_server::ModelServer;
use crate::models::{agent, error_of, unconsented};

/// Alice presses Stop.
async fn stop(agent: &Agent) {
    let token = agent.user_token("alice", "dev-agent");
    let headers = [
        ("x-countersign-user-token", token.as_str()),
        ("origin", APP_ORIGIN),
    ];
    let request = agent.request(Method::POST, "/conversations/c/stop", &headers, "");
    assert_eq!(agent.send(request).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn two_tools_of_one_step_share_a_card_and_a_token() {
    let server = ModelServer::start(&json!([
        { "match": { "hasToolResult": false }, "response": { "toolCalls": [
            { "name": "create_issue", "arguments": "{\"title\":\"One\"}" },
            { "name": "list_issues", "arguments": "{}" },
        ] } },
        { "match": { "hasToolResult": true }, "response": { "content": "Both done." } },
    ]));
    let agent = unconsented(&server).await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(2))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let created = json!({ "key": "ALICE-3", "title": "One" });
    agent.answers("POST", "/api/issues", 201, created).await;
    let mut events = agent.ask("alice", "c", "go").await;
    let card = events.until("consent").await;
    assert_eq!(card["scopes"], json!(["issues:read", "issues:write"]));
    assert_eq!(card["calls"].as_array().map(Vec::len), Some(2), "{card}");
    let (rest, text) = events.rest().await;
    assert_eq!(text, "Both done.");
    assert!(rest.iter().all(|(name, _)| name != "consent"), "one card");
    assert_eq!(tool_states(&rest), ["done", "done"]);
}

/// What was agreed to before is done at once and stays agreed; only what is new is asked for, and declined.
#[tokio::test]
async fn a_no_to_a_new_scope_takes_nothing_away() {
    let read = json!({ "name": "list_issues", "arguments": "{}" });
    let write = json!({ "name": "create_issue", "arguments": "{\"title\":\"One\"}" });
    let server = ModelServer::start(&json!([
        { "match": { "userMessage": "first", "hasToolResult": false }, "response": { "toolCalls": [read] } },
        { "match": { "userMessage": "second", "toolResultContains": "consent_declined", "sequenceIndex": 0 },
          "response": { "toolCalls": [read, write] } },
        { "match": { "userMessage": "second", "toolResultContains": "consent_declined" },
          "response": { "content": "You declined the writing." } },
        { "match": { "userMessage": "second" }, "response": { "toolCalls": [read, write] } },
        { "match": {}, "response": { "content": "Listed." } },
    ]));
    let agent = unconsented(&server).await;
    let read_only = json!({ "accessToken": "access-read-only", "grantedScopes": ["issues:read"] });
    agent.declines_scope("issues:write").await;
    agent.answers("POST", TOKEN, 200, read_only).await;
    let (_, text) = agent.ask("alice", "c", "first").await.rest().await;
    assert_eq!(text, "Listed.");

    let mut events = agent.ask("alice", "c", "second").await;
    let card = events.until("consent").await;
    assert!(
        events.raw.contains("\"name\":\"list_issues\",\"state\":\"done\""),
        "done before anything is asked: {}",
        events.raw
    );
    assert_eq!(card["scopes"], json!(["issues:write"]), "no more than is new");
    assert_eq!(card["knownScopes"], json!(["issues:read"]));
    let (rest, text) = events.rest().await;
    assert_eq!(text, "You declined the writing.");
    assert!(
        rest.iter().all(|(name, _)| name != "consent"),
        "asked once: {rest:?}"
    );
    assert_eq!(
        tool_states(&rest),
        ["failed", "started", "started", "done", "failed"],
        "the reading goes on"
    );
}

#[tokio::test]
async fn a_stopped_turn_begins_no_further_call_and_keeps_what_was_done() {
    let create =
        |title: &str| json!({ "name": "create_issue", "arguments": json!({ "title": title }).to_string() });
    let server = ModelServer::start(&json!([
        { "match": { "hasToolResult": false }, "response": { "toolCalls": [create("One"), create("Two")] } },
        { "match": { "hasToolResult": true }, "response": { "content": "Both done." } },
    ]));
    let agent = agent(&server).await;
    agent
        .answers_slowly(
            "POST",
            "/api/issues",
            Duration::from_secs(2),
            json!({ "key": "ALICE-3", "title": "One" }),
        )
        .await;
    let mut events = agent.ask("alice", "c", "go").await;
    events.until("tool").await;
    while agent.calls("/api/issues").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop(&agent).await;
    let (rest, _) = events.rest().await;
    assert_eq!(error_of(&rest), "stopped");
    assert_eq!(
        agent.calls("/api/issues").await.len(),
        1,
        "the second is not made"
    );
    // The first was made: a model that is asked next has to know.
    let history = json_of(&agent.get("alice", "/conversations/c").await);
    let states: Vec<&Value> = history["entries"].as_array().expect("entries")[1..]
        .iter()
        .map(|entry| &entry["state"])
        .collect();
    assert_eq!(states, ["done", "failed"]);
}

#[tokio::test]
async fn what_came_of_a_stopped_answer_stays() {
    let words = "one two three four five six seven eight nine ten eleven twelve";
    let server = ModelServer::start(&json!([
        { "match": {}, "response": { "content": words }, "chunkSize": 4, "latency": 200 },
    ]));
    let agent = agent(&server).await;
    let mut events = agent.ask("alice", "c", "count").await;
    events.until("message").await;
    stop(&agent).await;
    let (rest, _) = events.rest().await;
    assert_eq!(error_of(&rest), "stopped");
    let history = json_of(&agent.get("alice", "/conversations/c").await);
    let text = history["entries"][1]["text"].as_str().expect("an answer");
    assert!(
        !text.is_empty() && text.len() < words.len() && words.starts_with(text),
        "{text}"
    );
}
