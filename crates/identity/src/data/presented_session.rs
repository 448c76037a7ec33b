//! The session that comes back to the session binding service, and the person who brings it: the same door for
//! `CompleteResourceTokenAuth` and `ConfirmAuthorizationSession`.
//!
//! To everybody but the person for whom the agent asked, a session that is wrong in any way is the same "Invalid or
//! expired session"; what was wrong stands in the audit record.

use countersign_api::data::UserIdentifier;
use countersign_api::{ApiError, Arn};

use super::{invalid_session, refused_user_token, unauthorized_session, user_subjects};
use crate::config::SidRule;
use crate::operation::{Call, OperationError};
use crate::session::{SessionUri, Status};
use crate::stops::Subject;
use crate::store::authorization_session::{self, Ending, SessionRow};
use crate::store::grant::GrantRow;
use crate::user_artifact::{Audience, Identified, from_user_id, from_user_token};
use crate::vault::{AccountIdentity, confirmation};

/// The session of a completion handle, for a caller that may complete it and the person who began it.
pub(crate) async fn admit(
    call: &mut Call,
    session_uri: &str,
    identifier: &UserIdentifier,
) -> Result<SessionRow, OperationError> {
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    match identifier {
        UserIdentifier::UserId(user_id) => call.context.user_id = Some(user_id.clone()),
        UserIdentifier::UserToken(token) => call.context.inbound_jwt = Some(token.clone()),
    }
    call.authorize(&[
        Arn::token_vault(&region, &account),
        Arn::directory(&region, &account),
    ])
    .await?;
    let handle = SessionUri::parse(session_uri).ok_or_else(|| {
        let error = ApiError::field(
            "sessionUri",
            "must be what came back to the return URL as session_id",
        );
        OperationError::refused("malformed_session_uri", error)
    })?;
    let presented = identify(call, identifier).await?;
    let session = find(call, &handle).await?;
    check_person(call, &session, &presented).await?;
    Ok(session)
}

/// Who is in front of the binding page.
async fn identify(call: &mut Call, identifier: &UserIdentifier) -> Result<Identified, OperationError> {
    let presented = match identifier {
        UserIdentifier::UserId(user_id) => from_user_id(user_id),
        UserIdentifier::UserToken(token) => {
            from_user_token(&call.state, call.account(), Audience::Completion, token.expose())
                .await
                .map_err(|error| {
                    refused_user_token(&error, ApiError::access_denied("Invalid or expired session"))
                })?
        }
    };
    call.entry.person = Some(presented.key);
    call.entry.sid.clone_from(&presented.sid);
    call.entry
        .personal
        .insert("user".to_owned(), presented.name.clone().into());
    Ok(presented)
}

/// The session of a handle, if this caller may complete sessions of its workload and provider.
async fn find(call: &mut Call, handle: &SessionUri) -> Result<SessionRow, OperationError> {
    let session = authorization_session::find_by_handle(&call.state.pool, &handle.hash()).await?;
    let session = session.filter(|session| session.account == call.account());
    let session = session.ok_or_else(|| invalid_session("unknown_session"))?;
    call.entry.session = Some(session.id.clone());
    call.entry.workload = Some(session.workload_name.clone());
    call.entry.provider = Some(session.provider_name.clone());
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    call.authorize(&[
        Arn::oauth2_provider(&region, &account, &session.provider_name),
        Arn::token_vault(&region, &account),
        Arn::workload_identity(&region, &account, &session.workload_name),
        Arn::directory(&region, &account),
    ])
    .await
    .map_err(unauthorized_session)?;
    Ok(session)
}

/// The same person, not stopped, in the browser session of the request.
async fn check_person(
    call: &mut Call,
    session: &SessionRow,
    presented: &Identified,
) -> Result<(), OperationError> {
    if presented.key != session.user_key {
        if session.status == Status::Confirming {
            // Somebody else stands where the question is asked: nobody answers it any more.
            confirmation::give_up(&call.state, session, Status::Rejected, "wrong_person").await?;
        }
        if session.status == Status::CodeHeld {
            // The code is somebody's consent that reached the wrong person: nobody may use it any more.
            let ending = Ending {
                status: Status::Rejected,
                reason: "wrong_person",
                error: None,
            };
            authorization_session::end(
                &call.state.pool,
                &session.id,
                Status::CodeHeld,
                ending,
                None,
                call.now,
            )
            .await?;
        }
        return Err(invalid_session("wrong_person"));
    }
    if !presented.may_be_of(&call.state.config, &session.account, &session.workload_name) {
        return Err(invalid_session("workload_not_listed"));
    }
    let mut subjects = vec![
        Subject::Workload(session.workload_name.clone()),
        Subject::Provider(session.provider_name.clone()),
    ];
    subjects.extend(user_subjects(session.user_key, session.person.as_deref()));
    call.check_stops(subjects).await?;
    if session.sid.is_some() && session.sid != presented.sid {
        match call.state.settings(&session.account).sid {
            SidRule::Require => return Err(invalid_session("other_browser_session")),
            SidRule::Warn => {
                call.entry
                    .detail
                    .insert("other_browser_session".to_owned(), true.into());
            }
        }
    }
    Ok(())
}

/// Which grant, and whose account it is at the service.
pub(crate) fn record_granted(call: &mut Call, grant: &GrantRow, identity: Option<AccountIdentity>) {
    call.entry.grant = Some(grant.id.clone());
    call.entry
        .detail
        .insert("scopes".to_owned(), grant.scopes.clone().into());
    if let Some(identity) = identity {
        let personal = &mut call.entry.personal;
        personal.insert("account_id".to_owned(), identity.id.into());
        personal.insert("account_name".to_owned(), identity.name.into());
    }
}

/// The account that was connected before.
pub(crate) fn record_before(call: &mut Call, before: Option<AccountIdentity>) {
    if let Some(before) = before {
        let personal = &mut call.entry.personal;
        personal.insert("account_id_before".to_owned(), before.id.into());
        personal.insert("account_name_before".to_owned(), before.name.into());
    }
}
