//! The pages that tell how it ended. A person learns why their own request failed; anyone else learns nothing.

use axum::extract::Extension;
use axum::response::Response;
use countersign_api::admin::SessionState;
use countersign_api::admin::describe_authorization_session::Output as Described;
use countersign_web::RequestId;
use countersign_web::page::{Action, Fact, Message, Tone, error_page};
use http::StatusCode;

/// The reasons of sessions whose new account is not used.
const KEPT: &str = "account_kept";
const NOT_CONFIRMED: &str = "not_confirmed";
const ENDED: &str = "grant_ended";
/// The person's connections, on the same origin; the identity service's page.
const CONNECTIONS: &str = "/connections";

/// How a visit to the page ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The consent is stored; the session, if it could be read again.
    Completed(Option<Box<Described>>),
    /// It is not over: another account than before was connected, and the person is asked which one stays.
    Asks(Box<Described>),
    /// The session is over, or not there yet; told to its own person.
    Ended(Box<Described>),
    /// It was this person's session and still refused, though its state would permit it: the login is another
    /// than the one it was started in (design D9).
    OtherLogin(Box<Described>),
    /// The question is still open after an answer that was refused: it came from another browser or login than the one
    /// it was started in.
    NotAnswered,
    /// Somebody else started it, in this browser.
    OtherPerson,
    /// No session of this person and this browser, whatever else it may be.
    Unknown,
    /// Beside AgentCore: this person did not begin it in this browser.
    NotBegunHere,
    /// No handle, or none that could be one.
    Malformed,
    /// Not from our own page, or not a navigation.
    CrossSite,
    /// The form has lain for too long.
    StaleForm,
    /// Fetched ahead of the person.
    Prefetched,
    /// The identity service did not answer.
    Unavailable,
}

impl Outcome {
    /// For a session that cannot be confirmed.
    pub(crate) fn ended(session: Described) -> Self {
        match session.state {
            SessionState::Completed => Self::Completed(Some(Box::new(session))),
            _ => Self::Ended(Box::new(session)),
        }
    }

    /// For a session whose completion was just refused.
    pub(crate) fn refused(session: Described) -> Self {
        match session.state {
            SessionState::CodeHeld | SessionState::Confirming => Self::OtherLogin(Box::new(session)),
            SessionState::Exchanging => Self::Unavailable,
            _ => Self::ended(session),
        }
    }

    /// For a session whose question was just answered, or whose answer was refused.
    pub(crate) fn answered(session: Described) -> Self {
        match session.state {
            SessionState::Confirming => Self::NotAnswered,
            _ => Self::ended(session),
        }
    }
}

/// What every page shows.
pub(crate) struct Page<'a> {
    pub(crate) app_url: &'a str,
    /// Whether there is a page of connections.
    pub(crate) connections: bool,
    pub(crate) person: &'a str,
    pub(crate) request_id: &'a RequestId,
}

impl Page<'_> {
    pub(crate) fn render(&self, outcome: Outcome) -> Response {
        match outcome {
            Outcome::Completed(session) => self.completed(session.as_deref()),
            Outcome::Ended(session) if session.reason.as_deref() == Some(KEPT) => self.kept(&session),
            Outcome::Ended(session) => self.ended(&session),
            Outcome::OtherLogin(session) => self.problem(
                StatusCode::FORBIDDEN,
                "You have signed in anew",
                &format!(
                    "The connection to {} was started in an earlier sign-in of yours. Ask the agent again and \
                     follow its new link.",
                    session.credential_provider_name
                ),
            ),
            Outcome::Asks(_) | Outcome::NotAnswered => self.problem(
                StatusCode::FORBIDDEN,
                "Not answered",
                "Which account stays is answered in the browser and the sign-in with which you began. Nothing was \
                 changed. Go back there, or ask the agent again.",
            ),
            Outcome::OtherPerson => self.problem(
                StatusCode::FORBIDDEN,
                "Started by another account",
                "Somebody else, signed in under another account, asked for this connection in this browser. \
                 Nothing was connected. Log out and sign in with that account, or ask the agent yourself.",
            ),
            Outcome::Unknown => self.problem(
                StatusCode::FORBIDDEN,
                "Nothing to confirm",
                "This link is not valid for you, or no longer. Nothing was connected.",
            ),
            Outcome::NotBegunHere => self.problem(
                StatusCode::FORBIDDEN,
                "Not begun in this browser",
                "A connection is finished in the browser where you followed the agent’s link, by the account that \
                 followed it. Nothing was connected. Go back to the agent and follow its link here.",
            ),
            Outcome::Malformed => self.problem(
                StatusCode::BAD_REQUEST,
                "Nothing to confirm",
                "The address that led here is incomplete. Go back to the agent and follow its link again.",
            ),
            Outcome::CrossSite => self.problem(
                StatusCode::FORBIDDEN,
                "Not confirmed",
                "The request did not come from this page itself, so it was not carried out.",
            ),
            Outcome::StaleForm => self.problem(
                StatusCode::FORBIDDEN,
                "Not confirmed",
                "The page had been open for too long. Go back to the agent and ask again.",
            ),
            Outcome::Prefetched => self.problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not loaded ahead",
                "This page opens only when you open it.",
            ),
            Outcome::Unavailable => self.problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available right now",
                "The connection could not be confirmed at the moment. Load the page again in a minute.",
            ),
        }
    }

    fn completed(&self, session: Option<&Described>) -> Response {
        let lead = "You can close this page. The agent goes on by itself.";
        let message = match session {
            None => Message::new("Connected").lead(lead),
            Some(session) => {
                let message =
                    Message::new(format!("{} is connected", session.credential_provider_name)).lead(lead);
                let message = match account(session.account_name.as_deref(), session.account_id.as_deref()) {
                    Some(account) => message.fact(Fact::text("Account", account)),
                    None => message,
                };
                let replaced = (&session.replaced_account_name, &session.replaced_account_id);
                let message = match account(replaced.0.as_deref(), replaced.1.as_deref()) {
                    Some(other) => message.fact(Fact::text("In the place of", &*other)).detail(format!(
                        "Until now {} was connected with {other}. That connection has ended. If you did not mean to \
                         change accounts, disconnect this one and connect the right one again.",
                        session.credential_provider_name
                    )),
                    None => message,
                };
                // What was agreed to at the service may be less than what was asked for.
                let scopes = session.granted_scopes.as_ref().unwrap_or(&session.scopes);
                message
                    .fact(Fact::text("Agent", &*session.workload_name))
                    .fact(Fact::scopes("It may now", scopes))
            }
        };
        let message = message
            .tone(Tone::Success)
            .action(Action::primary("Back to the app", self.app_url));
        let message = if self.connections {
            message.action(Action::secondary("Not your account? Disconnect it", CONNECTIONS))
        } else {
            message
        };
        message.person(Some(self.person)).render()
    }

    /// The person kept the account that was connected before.
    fn kept(&self, session: &Described) -> Response {
        let provider = &session.credential_provider_name;
        let message = Message::new(format!("{provider} stays as it was")).lead(format!(
            "What was connected before is as it was. The other account is not used, and {provider} is told to withdraw \
             what you agreed to there, unless another agent of yours uses that account."
        ));
        let message = match account(session.account_name.as_deref(), session.account_id.as_deref()) {
            Some(account) => message.fact(Fact::text("Not used", account)),
            None => message,
        };
        message
            .fact(Fact::text("Agent", &*session.workload_name))
            .tone(Tone::Success)
            .action(Action::primary("Back to the app", self.app_url))
            .action(Action::secondary("See what is connected", CONNECTIONS))
            .person(Some(self.person))
            .render()
    }

    fn ended(&self, session: &Described) -> Response {
        let provider = &session.credential_provider_name;
        // That a person who said no said no is no news to them.
        let declined =
            session.state == SessionState::Denied && session.error.as_deref() == Some("access_denied");
        let code = session
            .error
            .as_deref()
            .filter(|code| is_error_code(code) && !declined);
        let (status, title, lead) = match session.state {
            SessionState::Denied => (
                StatusCode::OK,
                format!("{provider} is not connected"),
                "You declined. The agent has been told; nothing was connected.",
            ),
            SessionState::Failed if session.reason.as_deref() == Some(ENDED) => (
                StatusCode::GONE,
                format!("{provider} is not connected"),
                "The new connection was ended before you answered. The account from before is as it was. Ask the agent \
                 again.",
            ),
            SessionState::Failed => (
                StatusCode::BAD_GATEWAY,
                format!("{provider} could not be connected"),
                "The service did not give access. Ask the agent again; if it goes on, tell your administrator.",
            ),
            SessionState::Expired if session.reason.as_deref() == Some(NOT_CONFIRMED) => (
                StatusCode::GONE,
                "Too late".to_owned(),
                "You did not say within ten minutes which account to use, so what was connected before stays as it was. The \
                 other account was not used, and its tokens are destroyed.",
            ),
            SessionState::Expired => (
                StatusCode::GONE,
                "Too late".to_owned(),
                "The ten minutes for this connection are over. Ask the agent again and follow its new link.",
            ),
            SessionState::Superseded => (
                StatusCode::GONE,
                "There is a newer request".to_owned(),
                "The agent has asked again since. Follow its latest link.",
            ),
            SessionState::Rejected => (
                StatusCode::FORBIDDEN,
                "Not connected".to_owned(),
                "This connection was refused because somebody else tried to confirm it. Ask the agent again.",
            ),
            _ => (
                StatusCode::CONFLICT,
                "Not finished yet".to_owned(),
                "You have not agreed at the service yet. Go back to the agent and follow its link.",
            ),
        };
        let message = Message::new(title).lead(lead).status(status).tone(Tone::Problem);
        let message = match code {
            Some(code) => message.fact(Fact::text("The service’s reason", code)),
            None => message,
        };
        message
            .action(Action::primary("Back to the app", self.app_url))
            .person(Some(self.person))
            .request_id(Some(self.request_id))
            .render()
    }

    fn problem(&self, status: StatusCode, title: &str, lead: &str) -> Response {
        Message::new(title)
            .lead(lead)
            .status(status)
            .tone(Tone::Problem)
            .action(Action::primary("Back to the app", self.app_url))
            .person(Some(self.person))
            .request_id(Some(self.request_id))
            .render()
    }
}

/// The account's name, and its id where that says more.
pub(crate) fn account(name: Option<&str>, id: Option<&str>) -> Option<String> {
    match (name, id) {
        (Some(name), Some(id)) if name != id => Some(format!("{name} ({id})")),
        (Some(one), _) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

/// A code of RFC 6749 4.1.2.1 or 5.2, or one of that look; a vendor's prose is not shown as a code.
fn is_error_code(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

pub(crate) async fn unknown_path(Extension(request_id): Extension<RequestId>) -> Response {
    let (title, message) = ("Not found", "There is no page at this address.");
    error_page(StatusCode::NOT_FOUND, title, message, &request_id)
}
