//! Tools that an `OpenAPI` document describes, called by a model that other people's server plays.

use std::io::Write as _;
use std::path::Path;

use countersign_agent::{Config, OpenApi};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::harness::{Agent, CANARY, SESSION_URI, TOKEN, front_channel, tool_states, world_of};
use crate::model_server::ModelServer;

/// What `FastAPI` 0.165 writes of a small service (`FastAPI().openapi()`), with its security scheme.
const DOCUMENT: &str = include_str!("fastapi.json");

fn document() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(DOCUMENT.as_bytes()).expect("written");
    file
}

fn openapi(document: &Path, base_url: &str) -> OpenApi {
    let config = json!({
        "document": document,
        "title": "Rooms",
        "provider": "rooms",
        "base_url": base_url,
        "operations": [
            { "id": "list_rooms_rooms_get", "name": "list_rooms", "answer": ["rooms.name", "rooms.seats"] },
            { "id": "book_room_rooms__room__bookings_post", "name": "book_room" },
        ],
    });
    serde_json::from_value(config).expect("a configuration")
}

async fn agent(server: &ModelServer, base_url: Option<&str>, change: impl FnOnce(&mut Config)) -> Agent {
    let file = document();
    Agent::configured(|config| {
        config.model = format!("openai:m@{}/v1", server.url);
        let own = world_of(config).to_string();
        let base = base_url.map_or(own, str::to_owned);
        config.tools.openapi = vec![openapi(file.path(), &base)];
        change(config);
    })
    .await
}

fn calls(name: &str, arguments: &Value) -> Value {
    json!({ "toolCalls": [{ "name": name, "arguments": arguments.to_string() }] })
}

#[tokio::test]
async fn a_service_is_added_by_its_document_alone() {
    let server = ModelServer::start(&json!([
        { "match": { "userMessage": "rooms", "hasToolResult": false }, "response": calls("list_rooms", &json!({ "floor": 2 })) },
        { "match": { "userMessage": "rooms", "hasToolResult": true }, "response": { "content": "Fern has 8 seats." } },
        { "match": { "userMessage": "book", "hasToolResult": false },
          "response": calls("book_room", &json!({ "room": "fern/1", "body": { "start": "2027-01-01T10:00:00Z", "hours": 2 } })) },
        { "match": { "userMessage": "book", "hasToolResult": true }, "response": { "content": "Booked." } },
    ]));
    let agent = agent(&server, None, |_| {}).await;
    agent.grants_workload_access_token().await;
    let read = json!({ "accessToken": format!("access-{CANARY}"), "grantedScopes": ["rooms.read"] });
    agent.answers_times("POST", TOKEN, 200, read, Some(1)).await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    let write =
        json!({ "accessToken": format!("access-{CANARY}"), "grantedScopes": ["rooms.read", "rooms.book"] });
    agent.answers("POST", TOKEN, 200, write).await;
    agent
        .answers(
            "GET",
            "/rooms",
            200,
            json!({ "rooms": [{ "name": "Fern", "seats": 8, "door_code": "1234" }] }),
        )
        .await;
    agent
        .answers("POST", "/rooms/fern%2F1/bookings", 201, json!({ "id": 7 }))
        .await;

    let (events, text) = agent
        .ask("alice", "c", "which rooms are there?")
        .await
        .rest()
        .await;
    assert_eq!(text, "Fern has 8 seats.");
    assert_eq!(tool_states(&events), ["started", "done"]);
    let first = &server.requests().await[0];
    let tools = first["tools"].to_string();
    assert!(
        tools.contains("list_rooms") && tools.contains("book_room"),
        "{tools}"
    );
    assert!(
        !tools.contains("delete_room"),
        "what the operator did not choose does not exist: {tools}"
    );
    let told = Value::from(server.requests().await).to_string();
    assert!(
        told.contains("Fern") && !told.contains("1234"),
        "chosen members alone: {told}"
    );

    // Another scope leads to a card that says what is new, in the document's words.
    let mut events = agent.ask("alice", "c", "book it").await;
    let card = events.until("consent").await;
    assert_eq!(card["title"], "Rooms");
    assert_eq!(card["scopes"], json!(["rooms.book"]));
    assert_eq!(card["newScopes"], json!(["rooms.book"]));
    assert_eq!(card["knownScopes"], json!(["rooms.read"]));
    assert_eq!(card["scopeDescriptions"]["rooms.book"], "book rooms in your name");
    let (_, text) = events.rest().await;
    assert_eq!(text, "Booked.");
    let asked: Vec<Value> = agent
        .calls(TOKEN)
        .await
        .iter()
        .map(|call| call["scopes"].clone())
        .collect();
    assert_eq!(
        asked[..2],
        [json!(["rooms.read"]), json!(["rooms.book"])],
        "each its own"
    );
    let requests = agent.world.received_requests().await.expect("recorded");
    let list = requests
        .iter()
        .find(|request| request.url.path() == "/rooms")
        .expect("called");
    assert_eq!(list.url.query(), Some("floor=2"));
    assert_eq!(
        list.headers["authorization"].to_str().expect("text"),
        format!("Bearer access-{CANARY}")
    );
    let booked = requests
        .iter()
        .find(|request| request.url.path() == "/rooms/fern%2F1/bookings")
        .expect("called");
    assert_eq!(
        booked.body_json::<Value>().expect("JSON"),
        json!({ "start": "2027-01-01T10:00:00Z", "hours": 2 })
    );
}

#[tokio::test]
async fn a_document_does_not_open_what_the_guard_closes() {
    let server = ModelServer::start(&json!([
        { "match": { "hasToolResult": false }, "response": calls("list_rooms", &json!({})) },
        { "match": { "hasToolResult": true }, "response": { "content": "It did not work." } },
    ]));
    for base in [
        "http://169.254.169.254/",
        "https://169.254.169.254/",
        "http://127.0.0.1:1/",
        "https://10.0.0.1/",
        "https://[::1]/",
    ] {
        let agent = agent(&server, Some(base), |_| {}).await;
        agent.grants_workload_access_token().await;
        agent
            .answers("POST", TOKEN, 200, json!({ "accessToken": "t" }))
            .await;
        let (events, text) = agent.ask("alice", "c", "which rooms?").await.rest().await;
        assert_eq!(text, "It did not work.", "{base}");
        assert_eq!(tool_states(&events), ["started", "failed"], "{base}");
        let told = server.requests().await.pop().expect("a request").to_string();
        assert!(told.contains("could not be reached"), "{base}: {told}");
        assert!(agent.calls("/rooms").await.is_empty());
    }
}

#[tokio::test]
async fn a_service_without_scopes_that_is_declined_is_not_asked_for_again_in_the_turn() {
    let server = ModelServer::start(&json!([
        { "match": { "hasToolResult": false }, "response": calls("list_rooms", &json!({})) },
        { "match": { "hasToolResult": true, "sequenceIndex": 0 }, "response": calls("list_rooms", &json!({})) },
        { "match": { "hasToolResult": true }, "response": { "content": "Declined." } },
    ]));
    let agent = agent(&server, None, |config| {
        for operation in &mut config.tools.openapi[0].operations {
            operation.scopes = Some(Vec::new());
        }
    })
    .await;
    agent.grants_workload_access_token().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    agent
        .answers(
            "POST",
            TOKEN,
            200,
            json!({ "sessionUri": SESSION_URI, "sessionStatus": "FAILED" }),
        )
        .await;
    let (events, text) = agent.ask("alice", "c", "which rooms?").await.rest().await;
    assert_eq!(text, "Declined.");
    assert_eq!(events.iter().filter(|(name, _)| name == "consent").count(), 1);
    assert_eq!(
        tool_states(&events),
        ["started", "waiting", "failed", "started", "failed"]
    );
}
