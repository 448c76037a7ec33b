//! The REST API. A token sees the issues of its person and no others.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State as AppState};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use countersign_web::form;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::ledgerline::issues::State;
use crate::ledgerline::{READ, Shared, WRITE};

const MAX_TITLE_CHARS: usize = 200;
const MAX_DESCRIPTION_CHARS: usize = 10_000;

#[derive(Debug, Deserialize)]
struct ListParameters {
    state: Option<StateFilter>,
    assignee: Option<Assignee>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    Open,
    Closed,
    All,
}

/// The API is about one's own issues, so this is the only value.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Assignee {
    Me,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewIssue {
    title: String,
    #[serde(default, alias = "body")]
    description: String,
}

/// `GET /api/issues?state=open|closed|all&assignee=me`. Open ones unless asked otherwise.
pub(super) async fn list(
    AppState(shared): AppState<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let access = match shared.server.bearer(&headers, Some(READ)) {
        Ok(access) => access,
        Err(error) => return error.into_response(),
    };
    let Ok(parameters) = form::parse::<ListParameters>(query.as_deref().unwrap_or_default()) else {
        return error(
            StatusCode::BAD_REQUEST,
            "state is open, closed or all; assignee is me",
        );
    };
    let ListParameters {
        state,
        assignee: None | Some(Assignee::Me),
    } = parameters;
    let state = match state.unwrap_or(StateFilter::Open) {
        StateFilter::Open => Some(State::Open),
        StateFilter::Closed => Some(State::Closed),
        StateFilter::All => None,
    };
    Json(json!({"issues": shared.issues.read(|issues| issues.of(&access.username, state))})).into_response()
}

/// `GET /api/issues/{key}`.
pub(super) async fn read(
    AppState(shared): AppState<Arc<Shared>>,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Response {
    let access = match shared.server.bearer(&headers, Some(READ)) {
        Ok(access) => access,
        Err(error) => return error.into_response(),
    };
    match shared.issues.read(|issues| issues.get(&access.username, &key)) {
        Some(issue) => Json(issue).into_response(),
        None => error(StatusCode::NOT_FOUND, "there is no such issue"),
    }
}

/// `POST /api/issues` with `{"title", "description"}`.
pub(super) async fn create(
    AppState(shared): AppState<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let access = match shared.server.bearer(&headers, Some(WRITE)) {
        Ok(access) => access,
        Err(error) => return error.into_response(),
    };
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let Ok(new) = serde_json::from_slice::<NewIssue>(&body) else {
        return error(StatusCode::BAD_REQUEST, "send {\"title\", \"description\"}");
    };
    let title = new.title.trim();
    if title.is_empty() || title.chars().count() > MAX_TITLE_CHARS {
        return error(StatusCode::BAD_REQUEST, "a title has 1 to 200 characters");
    }
    if new.description.chars().count() > MAX_DESCRIPTION_CHARS {
        return error(
            StatusCode::BAD_REQUEST,
            "a description has at most 10000 characters",
        );
    }
    let now = shared.server.now();
    let created = shared.issues.change(|issues| {
        let key = issues.create(&access.username, title, &new.description, now)?;
        issues.get(&access.username, &key)
    });
    match created {
        Ok(Some(issue)) => {
            let location = format!("/api/issues/{}", issue.key);
            (StatusCode::CREATED, [(LOCATION, location)], Json(issue)).into_response()
        }
        Ok(None) => error(StatusCode::CONFLICT, "this account has too many issues"),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the issue cannot be kept"),
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}
