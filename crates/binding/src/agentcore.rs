//! Beside AgentCore Identity, which opens its authorization URL for anybody and shows nobody anything: what its own front
//! channel lacks stands here.
//!
//! ```text
//! GET  /oauth2/session-binding/start   login, a cookie for this person and this session, 302 to AgentCore
//! GET  /oauth2/session-binding         only with that cookie: the question
//! POST /oauth2/session-binding         only with that cookie: CompleteResourceTokenAuth
//! ```
//!
//! AgentCore compares user ids; the cookie adds that the same browser began. A link that leaked can then not be finished
//! by whoever lures the person to the return URL (reference 4.4), unless that person also began in this browser; the
//! question is there for that, and is never answered by script.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use countersign_api::data::CompleteResourceTokenAuth;
use countersign_api::data::complete_resource_token_auth::Input as CompleteInput;
use countersign_api::{Environment, ErrorCode};
use countersign_crypto::{b64url, sha256};
use countersign_web::cookie::{self, CookieOptions};
use countersign_web::form::Query;
use countersign_web::page::{Button, Fact, FormPage, found};
use countersign_web::{Person, RequestId, csrf};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::fetch_metadata::require_navigation;
use crate::outcome::{self, Outcome};
use crate::session_binding::{PATH, syntactic, user_identifier};
use crate::{AppState, Binding, Config, StartError};

const START: &str = "/oauth2/session-binding/start";
/// Longer than a session's ten minutes.
const COOKIE_LIFE: Duration = Duration::from_mins(15);

/// AgentCore's front channel, and the cookies that stand in for what it does not check.
pub(crate) struct AgentCore {
    authorize_url: Url,
    secure: bool,
    cookie_suffix: String,
}

/// What the consent card's link carries.
#[derive(Deserialize)]
struct Begin {
    request_uri: Option<String>,
}

pub(crate) fn routes() -> Router<AppState> {
    // HEAD begins nothing.
    Router::new().route(START, get(begin).head(nothing))
}

async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `GET`: the login has happened in front of us; remembers who begins in which browser, and goes on to AgentCore.
#[tracing::instrument(name = "binding.start_authorization", skip_all)]
async fn begin(
    State(AppState(binding)): State<AppState>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    Query(query): Query<Begin>,
    person: Person,
) -> Response {
    let Some(agentcore) = &binding.agentcore else {
        return outcome::unknown_path(Extension(request_id)).await;
    };
    let page = binding.page(&person, &request_id);
    if let Err(unwanted) = require_navigation(&headers) {
        return page.render(Outcome::from(unwanted));
    }
    let Some(request_uri) = query.request_uri.as_deref().and_then(syntactic) else {
        return page.render(Outcome::Malformed);
    };
    let mut url = agentcore.authorize_url.clone();
    url.query_pairs_mut().append_pair("request_uri", request_uri);
    let mut answer = found(url.as_str());
    let cookie = agentcore.remember(request_uri, &binding.started_token(&person, request_uri));
    answer.headers_mut().append(SET_COOKIE, cookie);
    answer
}

impl AgentCore {
    pub(crate) fn new(config: &Config, aws: &Environment) -> Result<Self, StartError> {
        let authorize_url = if let Some(url) = &config.authorize_url {
            url.clone()
        } else {
            let mut url = config.identity.url(aws)?;
            let path = format!("{}/identities/oauth2/authorize", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        };
        if !matches!(authorize_url.scheme(), "http" | "https") || !authorize_url.has_host() {
            return Err(StartError::Url("authorize_url"));
        }
        Ok(Self {
            authorize_url,
            secure: config.account_url.scheme() == "https",
            cookie_suffix: config.cookie_suffix.clone(),
        })
    }

    /// One cookie a session, so that two services can be connected side by side.
    fn cookie_name(&self, request_uri: &str) -> String {
        let of_session = b64url(&sha256(request_uri.as_bytes())[..9]);
        cookie::name(
            &format!("countersign-start-{of_session}"),
            self.secure,
            &self.cookie_suffix,
        )
    }

    fn options(&self) -> CookieOptions {
        CookieOptions {
            secure: self.secure,
            max_age: Some(COOKIE_LIFE),
            ..CookieOptions::default()
        }
    }

    fn remember(&self, request_uri: &str, value: &str) -> HeaderValue {
        cookie::build(&self.cookie_name(request_uri), value, self.options())
    }

    /// Has the browser drop it.
    pub(crate) fn forget(&self, request_uri: &str) -> HeaderValue {
        cookie::remove(&self.cookie_name(request_uri), self.options())
    }
}

impl Binding {
    fn started_token(&self, person: &Person, request_uri: &str) -> String {
        csrf::token(
            &self.form_key,
            &person.user_key.to_hex(),
            &started(request_uri),
            self.clock.now(),
        )
    }

    /// Whether this person began this session in this browser.
    pub(crate) fn begun_here(&self, headers: &HeaderMap, person: &Person, handle: &str) -> bool {
        let Some(agentcore) = &self.agentcore else {
            return false;
        };
        let cookie = cookie::read_single(headers, &agentcore.cookie_name(handle))
            .ok()
            .flatten();
        cookie.is_some_and(|value| {
            let user = person.user_key.to_hex();
            csrf::verify(&self.form_key, &user, &started(handle), &value, self.clock.now()).is_ok()
        })
    }

    /// The page with the form. AgentCore tells nobody what a session is for, so neither does the page.
    pub(crate) fn question_unseen(&self, handle: &str, person: &Person) -> Response {
        FormPage::new("Finish connecting?", PATH)
            .lead("You have been at the service that your agent asked for. Confirm that it was you, and the connection is made.")
            .fact(Fact::text("Signed in as", person.display_name()))
            .detail("If you did not follow an agent’s link just now, close this page. Nothing is connected then.")
            .hidden("session_id", handle)
            .hidden(csrf::FIELD, self.form_token(handle, person))
            .button(Button::primary("Connect").id("confirm-binding"))
            .person(Some(person.display_name()))
            .render()
    }

    /// Completes; whatever AgentCore refuses, it does not say why.
    pub(crate) async fn complete_unseen(&self, handle: &str, person: &Person) -> Outcome {
        let input = CompleteInput {
            user_identifier: user_identifier(person),
            session_uri: handle.to_owned(),
        };
        let Err(error) = self.identity.call::<CompleteResourceTokenAuth>(&input).await else {
            return Outcome::Completed(None);
        };
        tracing::info!(%error, "not completed");
        match error.code() {
            Some(
                ErrorCode::AccessDenied
                | ErrorCode::Validation
                | ErrorCode::ResourceNotFound
                | ErrorCode::Unauthorized,
            ) => Outcome::Unknown,
            _ => Outcome::Unavailable,
        }
    }
}

/// What the cookie is for; no form has this purpose.
fn started(request_uri: &str) -> String {
    format!("started {request_uri}")
}
