//! Requests and histories.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{APP_ORIGIN, Agent, json_of};

#[tokio::test]
async fn a_reload_shows_what_was_said() {
    let agent = Agent::connected().await;
    agent
        .answers(
            "POST",
            "/api/issues",
            201,
            json!({ "key": "ALICE-3", "title": "Zoë's bug" }),
        )
        .await;
    agent
        .ask("alice", "c-1", "list my open issues")
        .await
        .rest()
        .await;
    let (_, text) = agent
        .ask("alice", "c-1", "create issue: Zoë's bug")
        .await
        .rest()
        .await;
    assert_eq!(text, "Created ALICE-3: Zoë's bug.");
    agent.ask("alice", "c-2", "hello").await.rest().await;

    let history = json_of(&agent.get("alice", "/conversations/c-1").await);
    let roles: Vec<_> = history["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["role"])
        .collect();
    assert_eq!(roles, ["user", "tool", "assistant", "user", "tool", "assistant"]);
    assert_eq!(history["entries"][1]["state"], "done");
    let list = json_of(&agent.get("alice", "/conversations").await);
    let titles: Vec<_> = list["conversations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["title"])
        .collect();
    assert_eq!(titles, ["hello", "list my open issues"]);

    let token = agent.user_token("alice", "dev-agent");
    let person = ("x-countersign-user-token", token.as_str());
    let foreign = agent.request(Method::DELETE, "/conversations/c-1", &[person], "");
    assert_eq!(agent.send(foreign).await.status, StatusCode::FORBIDDEN);
    let own = agent.request(
        Method::DELETE,
        "/conversations/c-1",
        &[person, ("origin", APP_ORIGIN)],
        "",
    );
    assert_eq!(agent.send(own).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        agent.get("alice", "/conversations/c-1").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn both_spellings_of_the_body_are_understood_and_others_refused() {
    let agent = Agent::connected().await;
    for body in [
        json!({ "message": "hello", "sessionId": "a" }),
        json!({ "user_message": "hello", "session_id": "a" }),
        json!({ "message": "hello" }),
    ] {
        let answer = agent.send(agent.invocation("alice", &body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}");
    }
    for (body, status) in [
        (json!({}), StatusCode::BAD_REQUEST),
        (json!([]), StatusCode::BAD_REQUEST),
        (json!({ "message": 7, "sessionId": "a" }), StatusCode::BAD_REQUEST),
        (
            json!({ "message": "hello", "sessionId": 7 }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "message": "  ", "sessionId": "a" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "message": "hello", "userId": "bob" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "message": "x".repeat(16_001), "sessionId": "a" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "message": "x".repeat(70_000), "sessionId": "a" }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let answer = agent.send(agent.invocation("alice", &body)).await;
        assert_eq!(answer.status, status);
    }
    let mut broken = agent.invocation("alice", &Value::Null);
    for body in ["{", "\u{0}", "{\"message\":\"a\",\"message\":\"b\"}"] {
        broken.body = body.to_owned().into();
        assert_eq!(
            agent.send(broken.clone()).await.status,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_conversation_gets_another_title_and_keeps_it() {
    let agent = Agent::connected().await;
    agent.ask("alice", "c", "list my open issues").await.rest().await;
    let rename = async |subject: &str, origin: &str, body: serde_json::Value| {
        let token = agent.user_token(subject, "dev-agent");
        let headers = [("x-countersign-user-token", token.as_str()), ("origin", origin)];
        let request = agent.request(Method::PATCH, "/conversations/c", &headers, body.to_string());
        agent.send(request).await.status
    };
    let title = json!({ "title": "Printers" });
    assert_eq!(
        rename("mallory", APP_ORIGIN, title.clone()).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        rename("alice", "http://evil.example", title.clone()).await,
        StatusCode::FORBIDDEN
    );
    for bad in [
        json!({ "title": " " }),
        json!({ "title": "x".repeat(81) }),
        json!({ "title": "a\nb" }),
        json!({}),
        json!({ "title": "a", "turn": 7 }),
    ] {
        assert_eq!(rename("alice", APP_ORIGIN, bad).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(rename("alice", APP_ORIGIN, title).await, StatusCode::NO_CONTENT);
    agent.ask("alice", "c", "help").await.rest().await;
    let shown = json_of(&agent.get("alice", "/conversations/c").await);
    assert_eq!(shown["title"], "Printers");
}

#[tokio::test]
async fn keys_of_a_directory_that_is_not_there_are_an_error_that_names_it() {
    let parent = tempfile::tempdir().expect("a directory");
    let missing = parent.path().join("none-such");
    let place = countersign_agent::Conversations::Directory(missing.clone());
    let error = countersign_agent::conversation_keys(&place, &[], "000000000000").await;
    let error = error.expect_err("no list of none").to_string();
    assert!(error.contains("none-such"), "{error}");
    assert!(!missing.exists(), "looking makes nothing");
}
