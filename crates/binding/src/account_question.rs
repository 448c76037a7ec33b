//! Another account than before: the question which of the two stays (design D12), and its answer.
//!
//! The connection is made and waits, unused. Only what the person presses here decides, never a script; the identity
//! service believes it once, of the person and in the browser with which it all began.

use axum::response::Response;
use countersign_api::admin::confirm_authorization_session::Input as ConfirmInput;
use countersign_api::admin::describe_authorization_session::Output as Described;
use countersign_api::admin::{AccountDecision, ConfirmAuthorizationSession};
use countersign_api::{EpochSeconds, ErrorCode};
use countersign_web::page::{Button, Fact, FormPage};
use countersign_web::{Person, cookie, csrf};
use http::HeaderMap;
use serde::Deserialize;

use crate::Binding;
use crate::outcome::{Outcome, account};
use crate::session_binding::{PATH, user_identifier};

const USE: &str = "Use this account";
const KEEP: &str = "Keep the other one";

/// The button that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Use,
    Keep,
}

/// What the form's token is for: neither form can be sent as the other.
pub(crate) fn purpose(handle: &str) -> String {
    format!("account {handle}")
}

impl Binding {
    /// The page with the question.
    pub(crate) fn account_question(&self, handle: &str, person: &Person, session: &Described) -> Response {
        let (provider, agent) = (&session.credential_provider_name, &session.workload_name);
        let now = account(session.account_name.as_deref(), session.account_id.as_deref())
            .unwrap_or_else(|| format!("an account that {provider} does not name"));
        let before = account(
            session.replaced_account_name.as_deref(),
            session.replaced_account_id.as_deref(),
        );
        let lead = match &before {
            Some(_) => format!(
                "At {provider} you just gave consent with a different account. Which one should {agent} use?"
            ),
            None => format!(
                "At {provider} you just gave consent with a different account. Should {agent} use it?"
            ),
        };
        let used = match &before {
            Some(before) => format!("{now} takes the place of {before}, whose connection ends"),
            None => format!("{now} is connected"),
        };
        let kept = match &before {
            Some(before) => format!("{before} stays connected"),
            None => "nothing is connected".to_owned(),
        };
        let now_is = EpochSeconds::from_micros(self.clock.now().as_micros());
        let minutes = ((session.expires_at.as_secs_f64() - now_is.as_secs_f64()) / 60.0).ceil();
        let within = if minutes <= 1.0 {
            "a minute".to_owned()
        } else {
            format!("{minutes:.0} minutes")
        };
        let scopes = session.granted_scopes.as_ref().unwrap_or(&session.scopes);
        FormPage::new(format!("Which {provider} account?"), PATH)
            .lead(lead)
            .fact(Fact::text("Before", before.as_deref().unwrap_or("none any more")))
            .fact(Fact::text("Just now", &*now))
            .fact(Fact::scopes("Permissions", scopes))
            .detail(format!("“{USE}”: {used}."))
            .detail(format!(
                "“{KEEP}”: {kept}, and {provider} is told to withdraw what you have just agreed to, unless another agent \
                 of yours uses that account. So it is if you do not answer within {within}."
            ))
            .hidden("session_id", handle)
            .hidden(csrf::FIELD, self.form_token(&purpose(handle), person))
            .button(
                Button::primary(USE)
                    .id("use-account")
                    .field("decision", "use"),
            )
            .button(
                Button::secondary(KEEP)
                    .id("keep-account")
                    .field("decision", "keep"),
            )
            .person(Some(person.display_name()))
            .render()
    }

    /// Hands the answer over.
    pub(crate) async fn answer_account(
        &self,
        handle: &str,
        person: &Person,
        headers: &HeaderMap,
        decision: Decision,
    ) -> Outcome {
        // A browser without the cookie is another browser: the identity service refuses it, and records that.
        let browser = cookie::read_single(headers, &self.browser_cookie).ok().flatten();
        let input = ConfirmInput {
            session_uri: handle.to_owned(),
            user_identifier: user_identifier(person),
            browser: browser.unwrap_or_else(|| "-".to_owned()).into(),
            decision: match decision {
                Decision::Use => AccountDecision::Use,
                Decision::Keep => AccountDecision::Keep,
            },
        };
        let answered = self.identity.call::<ConfirmAuthorizationSession>(&input).await;
        if let Err(error) = answered {
            tracing::info!(%error, "not answered");
            if !matches!(
                error.code(),
                Some(ErrorCode::AccessDenied | ErrorCode::Validation | ErrorCode::ResourceNotFound)
            ) {
                return Outcome::Unavailable;
            }
        }
        // Refused or not: how it stands is what their own person is told.
        match self.describe(handle, person, headers).await {
            Ok(session) => Outcome::answered(session),
            Err(outcome) => outcome,
        }
    }
}
