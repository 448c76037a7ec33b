//! `POST /invocations`: one message of the person, answered by a stream of events.
//!
//! The turn lives in the response's body: when the client goes away, the body and with it the turn are
//! dropped, and nothing more is asked of anyone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use countersign_crypto::uuid_v4;
use countersign_web::csrf;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::AppState;
use crate::event::{Event, Events};
use crate::reply::Refusal;
use crate::session_id::SessionId;
use crate::turn::Turn;

/// Characters a message may have.
const MOST_CHARACTERS: usize = 16_000;
/// Below the time-outs of every proxy we know of (ALB: 60 s).
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells nginx and its relatives not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/invocations", post(invoke))
}

/// The request body, in our spelling or in that of AWS's sample agent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invocation {
    #[serde(alias = "user_message")]
    message: String,
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
    let message = invocation.message.trim().to_owned();
    if message.is_empty() || message.chars().count() > MOST_CHARACTERS {
        let text = "message must have 1 to 16000 characters";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_message", text));
    }
    let place = agent.turns.begin(person.user_key, id.clone()).map_err(|_| {
        let text = "too many of your questions are still being answered";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_turns", text)
    })?;
    let (sender, events) = mpsc::channel(16);
    let turn = Turn {
        agent: Arc::clone(&agent),
        person,
        id,
        place,
        events: Events(sender),
    };
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("waiting");
    let mut response = Sse::new(body_of(turn, message, events))
        .keep_alive(keep_alive)
        .into_response();
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert(X_ACCEL_BUFFERING, no);
    Ok(response)
}

/// The turn's events; polling them is what drives the turn.
fn body_of(
    turn: Turn,
    message: String,
    events: mpsc::Receiver<Event>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let events = ReceiverStream::new(events).filter_map(|event| async move {
        // Our events are plain objects of texts and numbers; one that is not is left out, not fatal.
        event.into_sse().ok().map(Ok)
    });
    let turn = turn.run(message).into_stream().filter_map(|()| async { None });
    stream::select(events, turn)
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
