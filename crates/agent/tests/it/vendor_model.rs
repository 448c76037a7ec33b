//! A model behind an OpenAI-compatible endpoint: streamed text, streamed tool calls, failures.

use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{Agent, CANARY, TOKEN, access_token, issues};

const COMPLETIONS: &str = "/v1/chat/completions";

async fn agent() -> Agent {
    let agent = Agent::with_model(|base| format!("openai:test-model@{base}/v1")).await;
    agent.grants_workload_access_token().await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    agent.answers("GET", "/api/issues", 200, issues()).await;
    agent
}

fn stream(deltas: &[Value], finish: &str) -> ResponseTemplate {
    let chunk = |delta: &Value, finish: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let mut chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta, None)).collect();
    chunks.push(chunk(&json!({}), Some(finish)));
    chunks.push("data: [DONE]\n\n".to_owned());
    let body = chunks.concat();
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({ "tool_calls": [{ "index": 0, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }] })
}

#[tokio::test]
async fn text_and_tool_calls_stream_and_results_go_back() {
    let agent = agent().await;
    Mock::given(method("POST"))
        .and(path(COMPLETIONS))
        .respond_with(stream(
            &[tool_call("call_1", "list_issues", "{\"state\":\"open\"}")],
            "tool_calls",
        ))
        .up_to_n_times(1)
        .mount(&agent.world)
        .await;
    Mock::given(method("POST"))
        .and(path(COMPLETIONS))
        .and(body_partial_json(json!({ "model": "test-model" })))
        .respond_with(stream(
            &[json!({ "content": "Two " }), json!({ "content": "issues." })],
            "stop",
        ))
        .mount(&agent.world)
        .await;
    let mut events = agent.ask("alice", "c", "what is open?").await;
    let (_, text) = events.rest().await;
    assert_eq!(text, "Two issues.", "{}", events.raw);
    let calls = agent.calls(COMPLETIONS).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["tools"].as_array().map(Vec::len), Some(5));
    let second = calls[1].to_string();
    assert!(
        second.contains("ALICE-1") && second.contains("call_1"),
        "{second}"
    );
    assert!(
        !second.contains(CANARY) && !second.contains("dropped"),
        "{second}"
    );
}

#[tokio::test]
async fn a_model_that_never_ends_is_stopped() {
    let agent = agent().await;
    Mock::given(method("POST"))
        .and(path(COMPLETIONS))
        .respond_with(stream(&[tool_call("call_1", "no_such_tool", "{}")], "tool_calls"))
        .mount(&agent.world)
        .await;
    let (rest, _) = agent.ask("alice", "c", "go").await.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "too_many_steps")
    );
    assert_eq!(agent.calls(COMPLETIONS).await.len(), 8);
    assert!(
        agent.calls(TOKEN).await.is_empty(),
        "no token for a tool that does not exist"
    );
}

#[tokio::test]
async fn a_failing_vendor_is_told_without_its_words() {
    let agent = agent().await;
    agent
        .answers(
            "POST",
            COMPLETIONS,
            429,
            json!({ "error": { "message": "quota of org-secret" } }),
        )
        .await;
    let mut events = agent.ask("alice", "c", "go").await;
    let (rest, _) = events.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "model_busy")
    );
    assert!(!events.raw.contains("org-secret"));
}
