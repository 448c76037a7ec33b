//! The person's own conversations: the list, the history of one, and forgetting one.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use countersign_web::csrf;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::conversation::{Conversation, Cursor, Entry};
use crate::reply::Refusal;
use crate::session_id::SessionId;
use crate::{Agent, AppState};

/// Characters a title may have.
const MOST_TITLE: usize = 80;

pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/conversations", get(list)).route(
        "/conversations/{session_id}",
        get(history).patch(rename).delete(forget),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// `next` of the page before.
    #[serde(default)]
    after: Option<String>,
}

/// `GET /conversations`: the latest ones, newest first, and where the next page begins.
#[tracing::instrument(name = "agent.list_conversations", skip_all)]
async fn list(
    State(AppState(agent)): State<AppState>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let person = agent.persons.verify(&headers).await?;
    let Query(page) = page.map_err(|_| Refusal::bad_page())?;
    let after: Option<Cursor> = page
        .after
        .map(|after| after.parse().map_err(|()| Refusal::bad_page()))
        .transpose()?;
    let listing = agent.conversations.list(&person.user_key, after).await?;
    let conversations: Vec<Value> = listing
        .headings
        .iter()
        .map(|heading| {
            json!({
                "sessionId": heading.session_id, "title": heading.title, "updatedAt": heading.updated_at,
            })
        })
        .collect();
    Ok(Json(
        json!({ "conversations": conversations, "next": listing.next }),
    ))
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
    let under_way = agent.turns.under_way(person.user_key, &id).is_some();
    Ok(Json(shown(&agent, &conversation, under_way)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    title: String,
}

/// `PATCH /conversations/{session_id}`: another title.
#[tracing::instrument(name = "agent.rename_conversation", skip_all)]
async fn rename(
    State(AppState(agent)): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    csrf::require_same_origin(&headers, &agent.app_origin).map_err(|_| Refusal::cross_origin())?;
    let person = agent.persons.verify(&headers).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::bad_session_id())?;
    let given: Rename = serde_json::from_slice(&body).map_err(|_| Refusal::bad_title())?;
    let title = given.title.trim();
    if title.is_empty() || title.chars().count() > MOST_TITLE || title.chars().any(char::is_control) {
        return Err(Refusal::bad_title());
    }
    if agent.conversations.rename(&person.user_key, &id, title).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found())
    }
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
    // What it would still write finds nothing to write to.
    agent.turns.stop(person.user_key, &id);
    if agent.conversations.delete(&person.user_key, &id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Refusal::not_found())
    }
}

/// What the page draws: texts and the tools' names and outcomes, not their results. Of a turn under way only the
/// question: the rest comes with its events.
fn shown(agent: &Agent, conversation: &Conversation, under_way: bool) -> Value {
    let is_user = |entry: &Entry| matches!(entry, Entry::User { .. });
    let end = match conversation.entries.iter().rposition(is_user) {
        Some(question) if under_way => question + 1,
        _ => conversation.entries.len(),
    };
    let entries: Vec<Value> = conversation.entries[..end]
        .iter()
        .filter_map(|entry| match entry {
            Entry::User { text } => Some(json!({ "role": "user", "text": text })),
            Entry::Assistant { text, .. } if text.is_empty() => None,
            Entry::Assistant { text, .. } => {
                Some(json!({ "role": "assistant", "text": text, "html": agent.html(text) }))
            }
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
        // There are events to watch.
        "underWay": under_way,
        // The last question can be taken up again.
        "interrupted": !under_way && conversation.is_interrupted(),
    })
}
