//! What a person is told. No page says more than the person in front of it may know: to anyone else a live
//! session, a dead one and one that never was look alike.

use axum::response::Response;
use countersign_web::RequestId;
use countersign_web::page::{Action, Button, Fact, FormPage, Message, Tone};
use countersign_web::security_headers::FormAction;
use countersign_web::{Person, csrf};
use http::StatusCode;
use url::Url;

use crate::session::Status;
use crate::store::authorization_session::SessionRow;

/// Why a person cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The link is malformed, or no session has it.
    Unknown,
    /// The session is another person's.
    OtherPerson,
    /// The same person has logged in anew since.
    OtherLogin,
    /// Another browser started it.
    OtherBrowser,
    /// Its ten minutes are over.
    Expired,
    /// It was used, refused or replaced.
    Used,
    /// A stop is in force, or the operator changed what the session was made for.
    Withdrawn,
    /// The account requires sessions whose person can be recognised.
    LoginRequired,
    /// Not a page that a person opened: an image, a frame, a fetch.
    NotNavigation,
    /// The form was not sent by our own page.
    ForeignForm,
    /// The answer of the authorization server does not belong to this browser, address or issuer.
    ForeignAnswer,
    /// The console is for operators.
    NotAnOperator,
    /// The login is too old for a change.
    OldLogin,
    /// The service cannot decide at the moment.
    Unavailable,
    /// Nothing is at this address.
    NoPage,
    /// Something is, but not for this method.
    WrongMethod,
}

impl Refusal {
    /// The status, the heading and the sentence under it.
    const fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unknown => (
                StatusCode::BAD_REQUEST,
                "This link does not work",
                "It is incomplete, or it was never valid. Go back to the agent and ask again to get a new one.",
            ),
            Self::OtherPerson => (
                StatusCode::FORBIDDEN,
                "This request is not yours",
                "Somebody else's agent asked for this connection. If a stranger sent you the link, close this page: \
                 going on would have given them access to your account. If it is yours under another sign-in, log out and \
                 use that one.",
            ),
            Self::OtherLogin => (
                StatusCode::FORBIDDEN,
                "You have signed in again since",
                "This link belongs to your earlier sign-in. Go back to the agent and ask again to get a new one.",
            ),
            Self::OtherBrowser => (
                StatusCode::FORBIDDEN,
                "This link was opened in another browser",
                "A connection has to be finished in the browser where it was begun. Go on there, or ask the agent \
                 for a new link.",
            ),
            Self::Expired => (
                StatusCode::GONE,
                "This link has expired",
                "Links are good for ten minutes. Go back to the agent and ask again to get a new one.",
            ),
            Self::Used => (
                StatusCode::CONFLICT,
                "This link was used already",
                "Each link works once. If the agent still asks for a connection, use its newest link.",
            ),
            Self::Withdrawn => (
                StatusCode::FORBIDDEN,
                "This connection is not possible now",
                "It was stopped or changed after the agent asked for it. Ask the agent again, or your operator.",
            ),
            Self::LoginRequired => (
                StatusCode::FORBIDDEN,
                "This link cannot be opened here",
                "This installation connects only people whom it can recognise, and the request does not say who you \
                 are. Your operator can help.",
            ),
            Self::NotNavigation => (
                StatusCode::FORBIDDEN,
                "Open this link yourself",
                "Another page tried to open it without showing it to you. Nothing was done.",
            ),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "The answer did not come from our own page, or the page had been open for too long. Open the link \
                 again.",
            ),
            Self::ForeignAnswer => (
                StatusCode::FORBIDDEN,
                "This answer cannot be accepted",
                "It does not belong to a connection that this browser began. Nothing was stored. Go back to the \
                 agent and ask again.",
            ),
            Self::NotAnOperator => (
                StatusCode::FORBIDDEN,
                "The console is for operators",
                "None of your groups has a role here. Whoever runs this installation can give it one.",
            ),
            Self::OldLogin => (
                StatusCode::FORBIDDEN,
                "Sign in again to change something",
                "A change needs a sign-in of the last ten minutes, and yours is older. Log out, sign in, and do it \
                 again. Nothing was done.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available right now",
                "Nothing was done. Please try again in a minute.",
            ),
            Self::NoPage => (
                StatusCode::NOT_FOUND,
                "No such page",
                "Nothing is at this address.",
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Not this way",
                "This address answers to another kind of request.",
            ),
        }
    }

    /// The page; `person` is who is signed in. The way back is the operator's `app_url` and never anything that the
    /// request brought: it is the same for everybody, so that it tells nothing either.
    pub(crate) fn page(
        self,
        app: Option<&Url>,
        request_id: Option<&RequestId>,
        person: Option<&str>,
    ) -> Response {
        let (status, title, lead) = self.words();
        let mut message = Message::new(title).lead(lead).tone(Tone::Problem);
        if let Some(app) = app {
            message = message.action(Action::primary("Back to the app", app.as_str()));
        }
        message
            .status(status)
            .person(person)
            .request_id(request_id)
            .render()
    }

    /// What to say to the right person, in the right browser, about a session that is not where it should be.
    pub(crate) fn of(session: &SessionRow) -> Self {
        match session.status {
            Status::Expired => Self::Expired,
            // Its agent or service is gone.
            Status::Failed if session.reason.as_deref() == Some("grant_ended") => Self::Withdrawn,
            _ => Self::Used,
        }
    }
}

/// The start page: who is signed in, which agent asks, for what, where; and the question. `held` are the scopes that the
/// agent has there already, beside those that it asks for.
pub(crate) fn start(
    session: &SessionRow,
    held: &[String],
    person: &Person,
    request_uri: &str,
    csrf_token: &str,
) -> Response {
    let title = format!("Connect {}?", session.provider_name);
    let lead = format!(
        "The agent {} asks for access to your account at {}. Next you are taken there to agree.",
        session.workload_name, session.provider_name
    );
    let mut page = FormPage::new(title, super::AUTHORIZE)
        .lead(lead)
        .fact(Fact::text("Signed in as", person.display_name()))
        .fact(Fact::text("Agent", session.workload_name.as_str()))
        .fact(Fact::text("Service", session.provider_name.as_str()));
    if !session.scopes.is_empty() {
        page = page.fact(Fact::scopes("It wants to", &session.scopes));
    }
    if !held.is_empty() {
        page = page.fact(Fact::scopes("You let it already", held));
    }
    page.detail("Go on only if you asked this agent for something just now.")
        .hidden("request_uri", request_uri)
        .hidden(csrf::FIELD, csrf_token)
        .button(Button::primary("Continue").field("decision", "allow"))
        .button(Button::secondary("Cancel").field("decision", "deny"))
        // The answer leads to the authorization server, and from there wherever it signs people in.
        .form_action(FormAction::AnyRedirect)
        .person(Some(person.display_name()))
        .render()
}
