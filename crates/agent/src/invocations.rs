//! `POST /invocations`: one message of the person, answered by a stream of events; and the streams of tabs that
//! open a conversation while its turn is under way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use countersign_crypto::uuid_v4;
use countersign_outbound::trace;
use countersign_web::csrf;
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::AppState;
use crate::event::Event;
use crate::reply::Refusal;
use crate::session_id::SessionId;
use crate::turn::{Beginning, Turn};
use crate::turn_log::TurnLog;

/// Characters a message may have.
const MOST_CHARACTERS: usize = 16_000;
/// Below the time-outs of every proxy we know of (ALB: 60 s).
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells nginx and its relatives not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/invocations", post(invoke))
        .route("/conversations/{session_id}/events", get(watch))
        .route("/conversations/{session_id}/stop", post(stop))
}

/// The request body, in our spelling or in that of AWS's sample agent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invocation {
    #[serde(default, alias = "user_message")]
    message: Option<String>,
    /// Instead of a message: take up the conversation's interrupted turn.
    #[serde(default)]
    resume: bool,
    /// Absent: a new conversation, whose id the `done` event tells.
    #[serde(default, rename = "sessionId", alias = "session_id")]
    session_id: Option<String>,
}

#[tracing::instrument(name = "agent.invocation", skip_all)]
async fn invoke(
    State(AppState(agent)): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    // A form of another site can send neither this content type nor this Origin (G11).
    if !is_json(&headers) {
        let message = "the content type must be application/json";
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            message,
        ));
    }
    csrf::require_same_origin(&headers, &agent.app_origin).map_err(|_| Refusal::cross_origin())?;
    let person = agent.persons.verify(&headers).await?;
    let invocation: Invocation = serde_json::from_slice(&body).map_err(|_| {
        let message = "the body must be a JSON object with `message` and `sessionId`, texts";
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message)
    })?;
    let id: SessionId = match invocation.session_id {
        Some(id) => id,
        None => uuid_v4(&*agent.parts.random).to_string(),
    }
    .parse()
    .map_err(|_| Refusal::bad_session_id())?;
    let beginning = beginning(invocation.message, invocation.resume)?;
    let (log, events) = TurnLog::new();
    let running = agent
        .turns
        .begin(person.user_key, id.clone(), Arc::clone(&log))
        .map_err(|_| {
            let text = "too many of your questions are still being answered";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_turns", text)
        })?;
    let turn = Turn {
        agent: Arc::clone(&agent),
        person,
        id,
        running,
        log,
    };
    // A task of its own, so that other tabs may watch it; it ends with its last reader.
    tokio::spawn(trace::carried(turn.run(beginning)));
    Ok(stream_of(events))
}

fn beginning(message: Option<String>, resume: bool) -> Result<Beginning, Refusal> {
    let refused = |text| Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_message", text));
    match message {
        Some(_) if resume => refused("send either message or resume"),
        None if resume => Ok(Beginning::Resume),
        None => refused("message must have 1 to 16000 characters"),
        Some(message) => {
            let message = message.trim();
            if message.is_empty() || message.chars().count() > MOST_CHARACTERS {
                return refused("message must have 1 to 16000 characters");
            }
            Ok(Beginning::Message(message.to_owned()))
        }
    }
}

/// `GET /conversations/{session_id}/events`: the events of the turn under way, from its first on; 204 when there is
/// none here.
#[tracing::instrument(name = "agent.watch_turn", skip_all)]
async fn watch(
    State(AppState(agent)): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let person = agent.persons.verify(&headers).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::bad_session_id())?;
    let under_way = agent.turns.under_way(person.user_key, &id);
    Ok(under_way.map_or_else(
        || StatusCode::NO_CONTENT.into_response(),
        |log| stream_of(log.watch()),
    ))
}

/// `POST /conversations/{session_id}/stop`: ends the turn under way; 404 when there is none here.
#[tracing::instrument(name = "agent.stop_turn", skip_all)]
async fn stop(
    State(AppState(agent)): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    csrf::require_same_origin(&headers, &agent.app_origin).map_err(|_| Refusal::cross_origin())?;
    let person = agent.persons.verify(&headers).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::bad_session_id())?;
    if agent.turns.stop(person.user_key, &id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found())
    }
}

fn stream_of(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events = events.filter_map(async |event| {
        // Our events are plain objects of texts and numbers; one that is not is left out, not fatal.
        event.into_sse().ok().map(Ok::<sse::Event, Infallible>)
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("waiting");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert(X_ACCEL_BUFFERING, no);
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    value
        .to_str()
        .ok()
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
