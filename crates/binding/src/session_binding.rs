//! `/oauth2/session-binding`: GET shows what is about to be confirmed, POST confirms it, and answers the question that may
//! follow ([`crate::account_question`]).
//!
//! Where the start page has already asked the person in this login (`personBound`), the form is posted by a
//! script of ours at once; otherwise, and without JavaScript, by the person.

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use countersign_api::admin::describe_authorization_session::{Input as DescribeInput, Output as Described};
use countersign_api::admin::{BindingRefusal, DescribeAuthorizationSession, SessionState};
use countersign_api::data::complete_resource_token_auth::Input as CompleteInput;
use countersign_api::data::{CompleteResourceTokenAuth, UserIdentifier};
use countersign_api::validate::pattern;
use countersign_api::{ClientError, ErrorCode, Sensitive};
use countersign_web::form::{Form, Query};
use countersign_web::page::{Button, Fact, FormPage};
use countersign_web::person::Voucher;
use countersign_web::{Person, RequestId, cookie, csrf};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account_question::{self, Decision};
use crate::fetch_metadata::{Unwanted, require_navigation};
use crate::outcome::{Outcome, Page};
use crate::{AppState, Binding};

pub(crate) const PATH: &str = "/oauth2/session-binding";
/// `RequestUri` in the service model: 1 to 1024 characters.
const MOST_HANDLE_CHARACTERS: usize = 1024;

pub(crate) fn routes() -> Router<AppState> {
    // HEAD has its own handler: axum would answer it by running GET's.
    Router::new().route(PATH, get(show).head(nothing).post(complete))
}

/// What comes back from the identity service's callback. `error_description` is not among the members we
/// read: it is a stranger's text and would stand on our page.
#[derive(Deserialize)]
struct Return {
    session_id: Option<String>,
}

/// The form's fields.
#[derive(Deserialize)]
struct Confirmation {
    session_id: String,
    csrf_token: String,
    /// Of the second form alone.
    decision: Option<Decision>,
}

async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `GET`: changes nothing.
#[tracing::instrument(name = "binding.show_authorization_session", skip_all)]
async fn show(
    State(AppState(binding)): State<AppState>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    Query(query): Query<Return>,
    person: Person,
) -> Response {
    let page = binding.page(&person, &request_id);
    let refuse = |reason| binding.refusals.record(reason, &person, &request_id);
    if let Err(unwanted) = require_navigation(&headers) {
        refuse(unwanted.refusal());
        return page.render(Outcome::from(unwanted));
    }
    let Some(handle) = query.session_id.as_deref().and_then(syntactic) else {
        refuse(BindingRefusal::MalformedHandle);
        return page.render(Outcome::Malformed);
    };
    if binding.agentcore.is_some() {
        return if binding.begun_here(&headers, &person, handle) {
            binding.question_unseen(handle, &person)
        } else {
            page.render(Outcome::NotBegunHere)
        };
    }
    match binding.describe(handle, &person, &headers).await {
        Ok(session) if matches!(session.state, SessionState::CodeHeld | SessionState::Exchanging) => {
            binding.question(handle, &person, &session)
        }
        Ok(session) if session.state == SessionState::Confirming => {
            binding.account_question(handle, &person, &session)
        }
        Ok(session) => page.render(Outcome::ended(session)),
        Err(Outcome::OtherPerson) => binding.discard(handle, &person),
        Err(outcome) => page.render(outcome),
    }
}

/// `POST`: completes, or answers which account stays.
#[tracing::instrument(name = "binding.complete_resource_token_auth", skip_all)]
async fn complete(
    State(AppState(binding)): State<AppState>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    person: Person,
    Form(form): Form<Confirmation>,
) -> Response {
    let page = binding.page(&person, &request_id);
    let refuse = |reason| binding.refusals.record(reason, &person, &request_id);
    if csrf::require_same_origin(&headers, &binding.own_origin).is_err() {
        refuse(BindingRefusal::CrossOrigin);
        return page.render(Outcome::CrossSite);
    }
    if let Err(unwanted) = require_navigation(&headers) {
        refuse(unwanted.refusal());
        return page.render(Outcome::from(unwanted));
    }
    let Some(handle) = syntactic(&form.session_id) else {
        refuse(BindingRefusal::MalformedHandle);
        return page.render(Outcome::Malformed);
    };
    let now = binding.clock.now();
    let browser = browser_session(&person);
    let purpose = match form.decision {
        None => handle.to_owned(),
        Some(_) => account_question::purpose(handle),
    };
    match csrf::verify(&binding.form_key, &browser, &purpose, &form.csrf_token, now) {
        Ok(()) => {}
        Err(csrf::CsrfError::Expired) => {
            refuse(BindingRefusal::StaleForm);
            return page.render(Outcome::StaleForm);
        }
        Err(_) => {
            refuse(BindingRefusal::InvalidCsrfToken);
            return page.render(Outcome::CrossSite);
        }
    }
    let Some(agentcore) = &binding.agentcore else {
        let outcome = match form.decision {
            None => binding.complete(handle, &person, &headers).await,
            Some(decision) => binding.answer_account(handle, &person, &headers, decision).await,
        };
        return match outcome {
            Outcome::Asks(session) => binding.account_question(handle, &person, &session),
            outcome => page.render(outcome),
        };
    };
    // The form's token says who, the cookie which browser: what somebody else began is not finished here (4.4).
    if !binding.begun_here(&headers, &person, handle) {
        tracing::warn!(
            reason = "missing_cookie",
            "a session that was not begun in this browser is refused"
        );
        return page.render(Outcome::NotBegunHere);
    }
    let outcome = binding.complete_unseen(handle, &person).await;
    let ended = matches!(outcome, Outcome::Completed(_));
    let mut answer = page.render(outcome);
    if ended {
        answer.headers_mut().append(SET_COOKIE, agentcore.forget(handle));
    }
    answer
}

impl Binding {
    pub(crate) fn page<'a>(&'a self, person: &'a Person, request_id: &'a RequestId) -> Page<'a> {
        Page {
            connections: self.agentcore.is_none(),
            app_url: &self.app_url,
            person: person.display_name(),
            request_id,
        }
    }

    /// The session, if this person started it. If somebody else did, in this browser, that is all that is
    /// told; and to any other browser nothing is (A7).
    pub(crate) async fn describe(
        &self,
        handle: &str,
        person: &Person,
        headers: &HeaderMap,
    ) -> Result<Described, Outcome> {
        let error = match self.describe_for_person(handle, person).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if !is_refusal(&error) {
            tracing::error!(%error, "the session cannot be described");
            return Err(Outcome::Unavailable);
        }
        let browser = cookie::read_single(headers, &self.browser_cookie).ok().flatten();
        tracing::info!(%error, "the session is not described to this person");
        let Some(browser) = browser else {
            return Err(Outcome::Unknown);
        };
        let input = DescribeInput {
            session_uri: handle.to_owned(),
            browser: Some(Sensitive::from(browser)),
            ..DescribeInput::default()
        };
        match self.identity.call::<DescribeAuthorizationSession>(&input).await {
            Ok(_) => Err(Outcome::OtherPerson),
            Err(_) => Err(Outcome::Unknown),
        }
    }

    async fn describe_for_person(&self, handle: &str, person: &Person) -> Result<Described, ClientError> {
        let input = DescribeInput {
            session_uri: handle.to_owned(),
            user_identifier: Some(user_identifier(person)),
            ..DescribeInput::default()
        };
        self.identity.call::<DescribeAuthorizationSession>(&input).await
    }

    async fn complete(&self, handle: &str, person: &Person, headers: &HeaderMap) -> Outcome {
        let input = CompleteInput {
            user_identifier: user_identifier(person),
            session_uri: handle.to_owned(),
        };
        let completed = self.identity.call::<CompleteResourceTokenAuth>(&input).await;
        let Err(error) = completed else {
            // What cannot be read is not called connected: it may wait for another word.
            return match self.describe_for_person(handle, person).await {
                Ok(session) if session.state == SessionState::Confirming => Outcome::Asks(Box::new(session)),
                Ok(session) => Outcome::Completed(Some(Box::new(session))),
                Err(error) => {
                    tracing::error!(%error, "the session cannot be described");
                    Outcome::Unavailable
                }
            };
        };
        tracing::info!(%error, "not completed");
        match error.code() {
            // Why, the person may know: their own session is described to them, another's is not.
            Some(ErrorCode::AccessDenied | ErrorCode::Validation | ErrorCode::ResourceNotFound) => {
                match self.describe(handle, person, headers).await {
                    Ok(session) => Outcome::refused(session),
                    Err(outcome) => outcome,
                }
            }
            _ => Outcome::Unavailable,
        }
    }

    /// The page for somebody else than who started, in the same browser. Its form is posted at once, too: the
    /// refusal is what makes the identity service drop the code (design D11), so that nobody can use this
    /// person's consent later.
    fn discard(&self, handle: &str, person: &Person) -> Response {
        FormPage::new("Started by another account", PATH)
            .lead(
                "Somebody else, signed in under another account, asked for this connection in this browser.",
            )
            .detail("What was agreed at the service is discarded. Nothing is connected.")
            .hidden("session_id", handle)
            .hidden(csrf::FIELD, self.form_token(handle, person))
            .button(Button::primary("Discard").id("discard-binding").auto_submit(true))
            .status(StatusCode::FORBIDDEN)
            .person(Some(person.display_name()))
            .render()
    }

    pub(crate) fn form_token(&self, purpose: &str, person: &Person) -> String {
        csrf::token(
            &self.form_key,
            &browser_session(person),
            purpose,
            self.clock.now(),
        )
    }

    /// The page with the form.
    fn question(&self, handle: &str, person: &Person, session: &Described) -> Response {
        let provider = &session.credential_provider_name;
        let button = Button::primary(format!("Connect {provider}"))
            .id("confirm-binding")
            .auto_submit(session.person_bound);
        FormPage::new(format!("Connect {provider}?"), PATH)
            .lead("You agreed at the service. Confirm that it was you who asked for this, and the connection is made.")
            .fact(Fact::text("Signed in as", person.display_name()))
            .fact(Fact::text("Agent", &*session.workload_name))
            .fact(Fact::text("Service", provider))
            .fact(Fact::scopes("It wants to", &session.scopes))
            .detail("If you did not ask an agent for this, close this page. Nothing is connected then.")
            .hidden("session_id", handle)
            .hidden(csrf::FIELD, self.form_token(handle, person))
            .button(button)
            .person(Some(person.display_name()))
            .render()
    }
}

/// Who the person is, as the identity service can check it: the token that the gateway made for this service; the
/// published form of the user id where a load balancer vouches, whose tokens nobody but its targets can make sense of.
pub(crate) fn user_identifier(person: &Person) -> UserIdentifier {
    match person.voucher {
        Voucher::Gateway => UserIdentifier::UserToken(person.token.clone().into()),
        Voucher::LoadBalancer => UserIdentifier::UserId(person.published_user_id()),
    }
}

/// To what a form is tied: one person in one gateway session. Its purpose is the handle, so that a form for one
/// session completes no other.
fn browser_session(person: &Person) -> String {
    format!(
        "{}.{}",
        person.user_key.to_hex(),
        person.sid.as_deref().unwrap_or_default()
    )
}

/// `handle` if it has the form that every handle has; anything else is not looked up (B9).
pub(crate) fn syntactic(handle: &str) -> Option<&str> {
    let fits = handle.len() <= MOST_HANDLE_CHARACTERS && (pattern::REQUEST_URI.matches)(handle);
    fits.then_some(handle)
}

fn is_refusal(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::AccessDenied
                | ErrorCode::ResourceNotFound
                | ErrorCode::Validation
                | ErrorCode::Unauthorized
        )
    )
}

impl From<Unwanted> for Outcome {
    fn from(unwanted: Unwanted) -> Self {
        match unwanted {
            Unwanted::Prefetch => Self::Prefetched,
            Unwanted::NotADocument => Self::CrossSite,
        }
    }
}
