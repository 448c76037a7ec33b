//! `DescribeAuthorizationSession`: what the binding page may tell the person in front of it. It answers to the person
//! for whom the session was made, and to the browser that started it; to anyone else there is no such session.

use std::time::Duration;

use countersign_api::Arn;
use countersign_api::admin::describe_authorization_session::{Input, Output};
use countersign_api::admin::{DescribeAuthorizationSession, SessionState};
use countersign_api::data::UserIdentifier;
use countersign_crypto::constant_time_eq;

use super::shown;
use crate::data::{invalid_session, refused_user_token, unauthorized_session};
use crate::front_channel::browser_hash;
use crate::operation::{Call, Handle, OperationError};
use crate::session::{LIFETIME, SessionUri, Status};
use crate::store::authorization_session::{self, SessionRow};
use crate::store::grant::{self, GrantRow, GrantState};
use crate::user_artifact::{Audience, from_user_id, from_user_token};
use crate::vault::{AccountIdentity, confirmation, open_identity};

impl Handle for DescribeAuthorizationSession {
    #[tracing::instrument(name = "identity.describe_authorization_session", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[
            Arn::token_vault(&region, &account),
            Arn::directory(&region, &account),
        ])
        .await?;
        let session = find(call, &input.session_uri).await?;
        call.authorize(&[
            Arn::oauth2_provider(&region, &account, &session.provider_name),
            Arn::token_vault(&region, &account),
            Arn::workload_identity(&region, &account, &session.workload_name),
            Arn::directory(&region, &account),
        ])
        .await
        .map_err(unauthorized_session)?;
        let started_here = input.browser.is_some_and(|browser| {
            let browser = browser_hash(browser.expose());
            session
                .browser_hash
                .is_some_and(|started| constant_time_eq(&started, &browser))
        });
        if !started_here && !initiated(call, &session, input.user_identifier.as_ref()).await? {
            return Err(invalid_session("wrong_person"));
        }
        let connected = connected(call, &session).await?;
        let (granted_scopes, identity, replaced) = connected.map_or((None, None, None), |connected| {
            (Some(connected.scopes), connected.account, connected.replaced)
        });
        let expires_at = match session.status {
            // A held code has less time than its session, a question about its account more.
            Status::CodeHeld | Status::Confirming => session.deadline,
            _ => session.created_at.plus(LIFETIME),
        };
        Ok(Output {
            state: state(&session, session.lapsed(call.now)),
            workload_name: session.workload_name,
            credential_provider_name: session.provider_name,
            scopes: session.scopes,
            granted_scopes,
            reason: session.reason,
            error: session.error,
            account_id: identity.as_ref().map(|identity| identity.id.clone()),
            account_name: identity.and_then(|identity| identity.name),
            replaced_account_id: replaced.as_ref().map(|replaced| replaced.id.clone()),
            replaced_account_name: replaced.and_then(|replaced| replaced.name),
            expires_at: shown::time(expires_at),
            person_bound: session.person.is_some(),
        })
    }
}

/// By completion handle or session URI: each is known to those who may ask.
async fn find(call: &mut Call, uri: &str) -> Result<SessionRow, OperationError> {
    let hash = SessionUri::parse(uri)
        .ok_or_else(|| invalid_session("malformed_session_uri"))?
        .hash();
    let by_handle = authorization_session::find_by_handle(&call.state.pool, &hash).await?;
    let session = match by_handle {
        Some(session) => Some(session),
        None => authorization_session::find_by_uri(&call.state.pool, &hash).await?,
    };
    let session = session.filter(|session| session.account == call.account());
    let session = session.ok_or_else(|| invalid_session("unknown_session"))?;
    call.entry.session = Some(session.id.clone());
    call.entry.workload = Some(session.workload_name.clone());
    call.entry.provider = Some(session.provider_name.clone());
    Ok(session)
}

/// Whether the person presented is the one for whom the session was made.
async fn initiated(
    call: &mut Call,
    session: &SessionRow,
    identifier: Option<&UserIdentifier>,
) -> Result<bool, OperationError> {
    let presented = match identifier {
        None => return Ok(false),
        Some(UserIdentifier::UserId(user_id)) => from_user_id(user_id),
        Some(UserIdentifier::UserToken(token)) => {
            from_user_token(&call.state, call.account(), Audience::Completion, token.expose())
                .await
                .map_err(|error| {
                    let answer = countersign_api::ApiError::access_denied("Invalid or expired session");
                    refused_user_token(&error, answer)
                })?
        }
    };
    call.entry.person = Some(presented.key);
    call.entry.sid.clone_from(&presented.sid);
    let listed = presented.may_be_of(&call.state.config, &session.account, &session.workload_name);
    Ok(listed && presented.key == session.user_key)
}

/// What the session has brought.
struct Connected {
    scopes: Vec<String>,
    /// The account at the service.
    account: Option<AccountIdentity>,
    /// The one whose place it took, or would take (design D12).
    replaced: Option<AccountIdentity>,
}

/// What the session has brought, once it made a grant.
async fn connected(call: &Call, session: &SessionRow) -> Result<Option<Connected>, OperationError> {
    let Some(id) = &session.grant_id else {
        return Ok(None);
    };
    if session.status == Status::Confirming {
        let waiting = confirmation::find(&call.state, session).await?;
        return Ok(waiting.map(|waiting| Connected {
            scopes: waiting.grant.scopes,
            account: waiting.account,
            replaced: waiting.before,
        }));
    }
    let pool = &call.state.pool;
    let Some(granted) = grant::find(pool, &session.account, id).await? else {
        return Ok(None);
    };
    let person = session.person.as_deref().unwrap_or_default();
    let since = granted.created_at.minus(Duration::from_secs(1));
    let lately =
        grant::list_by_person(pool, &session.user_key, person, Some(&session.account), since).await?;
    let replaced = lately
        .iter()
        .find(|earlier| took_its_place(session, &granted, earlier));
    let keyring = &*call.state.vault_keyring(&session.account)?;
    let open = |row: &GrantRow| {
        open_identity(keyring, row).map_err(|error| OperationError::internal("vault_unreadable", error))
    };
    Ok(Some(Connected {
        account: open(&granted)?,
        replaced: replaced.map(open).transpose()?.flatten(),
        scopes: granted.scopes,
    }))
}

/// Whether `granted` ended `earlier`: they are of one connection, and the one ended in the moment in which the session
/// of the other was completed.
fn took_its_place(session: &SessionRow, granted: &GrantRow, earlier: &GrantRow) -> bool {
    earlier.state == GrantState::Replaced
        && earlier.reason.as_deref() == Some("other_account")
        && session.status == Status::Completed
        && earlier.ended_at == session.ended_at
        && earlier.account == granted.account
        && earlier.workload_id == granted.workload_id
        && earlier.provider_id == granted.provider_id
}

/// A session past its deadline is over, whether or not anything has written that down yet.
pub(super) fn state(session: &SessionRow, lapsed: bool) -> SessionState {
    match session.status {
        Status::Created | Status::Started | Status::CodeHeld | Status::Confirming if lapsed => {
            SessionState::Expired
        }
        Status::Exchanging if lapsed => SessionState::Failed,
        Status::Created => SessionState::Created,
        Status::Started => SessionState::Started,
        Status::CodeHeld => SessionState::CodeHeld,
        Status::Exchanging => SessionState::Exchanging,
        Status::Confirming => SessionState::Confirming,
        Status::Completed => SessionState::Completed,
        Status::Denied => SessionState::Denied,
        Status::Failed => SessionState::Failed,
        Status::Expired => SessionState::Expired,
        Status::Rejected => SessionState::Rejected,
        Status::Superseded => SessionState::Superseded,
    }
}
