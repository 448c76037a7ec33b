//! The chat page and its two assets. The page is a client of `/invocations` like any other and holds no
//! conversation of its own; it shows a model's words as text, never as markup, and a consent link only from a
//! `consent` event (H1).

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use countersign_crypto::sha256;
use countersign_web::Person;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::AppState;

const SCRIPT: &str = include_str!("../assets/chat.js");
const STYLE: &str = include_str!("../assets/chat.css");

/// Scripts and styles from our own files alone, and requests to our own origin alone: text that found its way
/// into the page as markup could neither run nor send anything away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// In the assets' addresses, so that a new version is not mixed with an old one out of a cache.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = sha256([SCRIPT, STYLE].concat().as_bytes());
    hex::encode(&digest[..8])
});

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(page))
        .route(
            "/assets/chat.js",
            get(async || asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route(
            "/assets/chat.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
}

#[derive(Template)]
#[template(path = "chat.html")]
struct Chat<'a> {
    person: &'a str,
    provider: &'a str,
    model: &'a str,
    model_description: &'a str,
    front_channel: &'a str,
    version: &'a str,
    examples: &'a [&'a str],
}

/// What the empty page offers; the offline model knows all of them.
const EXAMPLES: [&str; 3] = [
    "List my open issues",
    "Create issue: Printer on fire",
    "What can you do?",
];

/// `GET /`.
#[tracing::instrument(name = "agent.chat_page", skip_all)]
async fn page(State(AppState(agent)): State<AppState>, person: Person) -> Response {
    let chat = Chat {
        person: person.display_name(),
        provider: &agent.provider,
        model: &agent.model.label(),
        model_description: agent.model.description(),
        front_channel: &agent.front_channel.ascii_serialization(),
        version: &VERSION,
        examples: &EXAMPLES,
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

fn asset(kind: &'static str, text: &'static str) -> Response {
    (
        [
            (CONTENT_TYPE, HeaderValue::from_static(kind)),
            (CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400")),
        ],
        text,
    )
        .into_response()
}
