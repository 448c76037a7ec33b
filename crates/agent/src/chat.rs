//! The chat page and its assets. The page is a client of `/invocations` like any other and holds no
//! conversation of its own; a model's words reach it as text or through [`crate::markdown`], and a consent link only
//! from a `consent` event (H1).

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use countersign_crypto::sha256;
use countersign_web::Person;
use countersign_web::person::Voucher;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::reply::Refusal;
use crate::{Agent, AppState};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Names under `/assets/`, types and texts.
const ASSETS: [(&str, &str, &str); 7] = [
    (
        "chat.css",
        "text/css; charset=utf-8",
        include_str!("../assets/chat/chat.css"),
    ),
    ("chat.js", JAVASCRIPT, include_str!("../assets/chat/chat.js")),
    (
        "consent.js",
        JAVASCRIPT,
        include_str!("../assets/chat/consent.js"),
    ),
    (
        "conversations.js",
        JAVASCRIPT,
        include_str!("../assets/chat/conversations.js"),
    ),
    ("dom.js", JAVASCRIPT, include_str!("../assets/chat/dom.js")),
    ("stream.js", JAVASCRIPT, include_str!("../assets/chat/stream.js")),
    ("turn.js", JAVASCRIPT, include_str!("../assets/chat/turn.js")),
];

/// Scripts and styles from our own files alone, and requests to our own origin alone: text that found its way
/// into the page as markup could neither run nor send anything away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(page))
        .route("/assets/{name}", get(asset))
}

#[derive(Template)]
#[template(path = "chat.html")]
struct Chat<'a> {
    person: &'a str,
    /// The services that the agent can use, in words: `Ledgerline and GitHub`.
    services: &'a str,
    /// What each tool does, for the page's script: JSON.
    labels: &'a str,
    model: &'a str,
    model_description: &'a str,
    front_channel: &'a str,
    /// Whether the front channel has `/connections`; AgentCore has no page for it.
    connections: bool,
    /// Whether the gateway has `/logout`; a load balancer has no page for it.
    logout: bool,
    examples: &'a [&'a str],
}

/// The most examples that the empty page offers, and the last of them, to which every model has an answer.
const MOST_EXAMPLES: usize = 5;
const LAST_EXAMPLE: &str = "What can you do?";

/// `GET /`.
#[tracing::instrument(name = "agent.chat_page", skip_all)]
async fn page(State(AppState(agent)): State<AppState>, person: Person) -> Response {
    let chat = Chat {
        person: person.display_name(),
        services: &services(&agent),
        labels: &labels(&agent),
        model: &agent.model.label(),
        model_description: agent.model.description(),
        front_channel: &agent.front_channel.ascii_serialization(),
        connections: agent.binding_start.is_none(),
        logout: person.voucher == Voucher::Gateway,
        examples: &examples(&agent),
    };
    match chat.render() {
        Ok(html) => (
            [
                (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            ],
            html,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "chat page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn services(agent: &Agent) -> String {
    let titles: Vec<&str> = agent
        .tools
        .services()
        .map(|service| service.title.as_str())
        .collect();
    match titles.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// What the person could ask of the services that there are: the first of each, then the second.
fn examples(agent: &Agent) -> Vec<&str> {
    let services: Vec<&[String]> = agent.tools.services().map(|service| &*service.examples).collect();
    let most = services.iter().map(|examples| examples.len()).max().unwrap_or(0);
    let in_turn = (0..most).flat_map(|at| services.iter().filter_map(move |examples| examples.get(at)));
    let mut examples: Vec<&str> = in_turn.map(String::as_str).take(MOST_EXAMPLES - 1).collect();
    examples.push(LAST_EXAMPLE);
    examples
}

fn labels(agent: &Agent) -> String {
    let labels = agent.tools.specs().iter();
    let labels: BTreeMap<&str, &str> = labels.map(|spec| (&*spec.name, &*spec.label)).collect();
    json!(labels).to_string()
}

/// `GET /assets/{name}`. Browsers ask each time whether it has changed, so that files of two versions never meet.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return Refusal::not_found().into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&sha256(text.as_bytes())[..8]));
    let cache = [
        (CACHE_CONTROL, "private, no-cache".to_owned()),
        (ETAG, tag.clone()),
    ];
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|held| held == tag.as_str())
    {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (cache, [(CONTENT_TYPE, *kind)], *text).into_response()
}
