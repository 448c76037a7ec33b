//! The person's own conversations: the list, the history of one, and forgetting one.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use countersign_web::csrf;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::AppState;
use crate::conversation::{Conversation, Entry};
use crate::reply::Refusal;
use crate::session_id::SessionId;

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/conversations", get(list))
        .route("/conversations/{session_id}", get(history).delete(forget))
}

/// `GET /conversations`: the latest ones, newest first.
#[tracing::instrument(name = "agent.list_conversations", skip_all)]
async fn list(State(AppState(agent)): State<AppState>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let person = agent.persons.verify(&headers).await?;
    let conversations = agent.conversations.list(&person.user_key).await?;
    Ok(Json(json!({ "conversations": conversations })))
}

/// `GET /conversations/{session_id}`: what was said.
#[tracing::instrument(name = "agent.get_conversation", skip_all)]
async fn history(
    State(AppState(agent)): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let person = agent.persons.verify(&headers).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::bad_session_id())?;
    let found = agent.conversations.find(&person.user_key, &id).await?;
    let conversation = found.ok_or_else(Refusal::not_found)?;
    Ok(Json(shown(&conversation)))
}

/// `DELETE /conversations/{session_id}`.
#[tracing::instrument(name = "agent.delete_conversation", skip_all)]
async fn forget(
    State(AppState(agent)): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    csrf::require_same_origin(&headers, &agent.app_origin).map_err(|_| Refusal::cross_origin())?;
    let person = agent.persons.verify(&headers).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::bad_session_id())?;
    if agent.conversations.delete(&person.user_key, &id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Refusal::not_found())
    }
}

/// What the page draws: texts and the tools' names and outcomes, not their results.
fn shown(conversation: &Conversation) -> Value {
    let entries: Vec<Value> = conversation
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::User { text } => Some(json!({ "role": "user", "text": text })),
            Entry::Assistant { text, .. } if text.is_empty() => None,
            Entry::Assistant { text, .. } => Some(json!({ "role": "assistant", "text": text })),
            Entry::Tool {
                call_id,
                name,
                content,
            } => {
                let state = if content.get("error").is_some() {
                    "failed"
                } else {
                    "done"
                };
                Some(json!({ "role": "tool", "id": call_id, "name": name, "state": state }))
            }
        })
        .collect();
    json!({
        "sessionId": conversation.session_id,
        "title": conversation.title,
        "entries": entries,
    })
}
