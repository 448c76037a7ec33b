//! `ConfirmAuthorizationSession`: which of two accounts stays (design D12, account setting `account_change = confirm`).
//!
//! The answer is believed from the session binding service alone, for the person of the session, in the browser that
//! started it, and once. Whatever else comes changes nothing, or ends the question for good.

use countersign_api::admin::confirm_authorization_session::{AccountDecision, Input, Output};
use countersign_api::admin::{ConfirmAuthorizationSession, SessionState};
use countersign_crypto::constant_time_eq;

use crate::data::invalid_session;
use crate::data::presented_session::{self, record_before, record_granted};
use crate::front_channel::browser_hash;
use crate::operation::{Call, Handle, OperationError};
use crate::session::Status;
use crate::stops::Subject;
use crate::store::authorization_session::SessionRow;
use crate::vault::confirmation;

impl Handle for ConfirmAuthorizationSession {
    #[tracing::instrument(name = "identity.confirm_authorization_session", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry
            .detail
            .insert("decision".to_owned(), input.decision.as_str().into());
        let session = presented_session::admit(call, &input.session_uri, &input.user_identifier).await?;
        // An account's stop leaves our extension working, but not this: it would give an agent a grant.
        call.check_stops([Subject::Account]).await?;
        same_browser(&session, input.browser.expose())?;
        match session.status {
            Status::Confirming if session.lapsed(call.now) => {
                confirmation::give_up(&call.state, &session, Status::Expired, "not_confirmed").await?;
                Err(invalid_session("expired"))
            }
            Status::Confirming => answer(call, &session, input.decision).await,
            // A second answer, and one to a question that was never asked.
            Status::Completed | Status::Denied => Err(invalid_session("already_answered")),
            Status::Expired => Err(invalid_session("expired")),
            Status::Rejected => Err(invalid_session("already_rejected")),
            Status::Superseded => Err(invalid_session("superseded")),
            Status::Failed => Err(invalid_session("already_failed")),
            Status::Created | Status::Started | Status::CodeHeld | Status::Exchanging => {
                Err(invalid_session("not_confirming"))
            }
        }
    }
}

/// The browser that started, by its cookie: the handle alone, in a link that leaked, answers nothing.
fn same_browser(session: &SessionRow, browser: &str) -> Result<(), OperationError> {
    let browser = browser_hash(browser);
    let same = session
        .browser_hash
        .is_some_and(|started| constant_time_eq(&started, &browser));
    if same {
        Ok(())
    } else {
        Err(invalid_session("other_browser"))
    }
}

async fn answer(
    call: &mut Call,
    session: &SessionRow,
    decision: AccountDecision,
) -> Result<Output, OperationError> {
    let Some(waiting) = confirmation::find(&call.state, session).await? else {
        return Err(invalid_session("grant_ended"));
    };
    record_granted(call, &waiting.grant, waiting.account);
    record_before(call, waiting.before);
    let state = match decision {
        AccountDecision::Keep => {
            let ended = confirmation::give_up(&call.state, session, Status::Denied, "account_kept").await?;
            ended.then_some(SessionState::Denied)
        }
        AccountDecision::Use => {
            let confirmed = confirmation::confirm(&call.state, session).await?;
            let replaced = confirmed.as_ref().map_or(0, |confirmed| confirmed.others);
            call.entry
                .detail
                .insert("replaced_other_account".to_owned(), replaced.into());
            confirmed.map(|_| SessionState::Completed)
        }
    };
    // Another answer was first, or time.
    let state = state.ok_or_else(|| invalid_session("already_answered"))?;
    Ok(Output { state })
}
