//! `ListAuthorizationSessions`, newest first: those under way, and those that ended within the last day.

use countersign_api::admin::list_authorization_sessions::{Input, Output, Session};
use countersign_api::admin::{ListAuthorizationSessions, SessionState};
use countersign_api::{Arn, Operation as _};

use super::describe_authorization_session::state;
use super::{shown, stop_subject};
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::session::Status;
use crate::store::authorization_session::{self, SessionFilter, SessionRow};

impl Handle for ListAuthorizationSessions {
    #[tracing::instrument(name = "identity.list_authorization_sessions", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::token_vault(call.region(), call.account())])
            .await?;
        let (user_key, person) = stop_subject::filter(input.user.as_deref());
        let filter = SessionFilter {
            workload_name: input.workload_name,
            provider_name: input.credential_provider_name,
            user_key,
            person,
            status: input.state.map(|state| status(state).as_str()),
        };
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let pool = &call.state.pool;
        let rows = authorization_session::list(pool, call.account(), &filter, &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.id.clone());
        let now = call.now;
        let shown = |row: SessionRow| Session {
            state: state(&row, row.deadline <= now),
            expires_at: row.status.is_live().then(|| shown::time(row.deadline)),
            session_id: row.id,
            workload_name: row.workload_name,
            credential_provider_name: row.provider_name,
            user_key: row.user_key.to_hex(),
            sid: row.sid,
            scopes: row.scopes,
            reason: row.reason,
            error: row.error,
            grant_id: row.grant_id,
            created_time: shown::time(row.created_at),
        };
        Ok(Output {
            sessions: rows.into_iter().map(shown).collect(),
            next_token,
        })
    }
}

/// One past its deadline that nobody has looked at since is still stored as it was then.
const fn status(state: SessionState) -> Status {
    match state {
        SessionState::Created => Status::Created,
        SessionState::Started => Status::Started,
        SessionState::CodeHeld => Status::CodeHeld,
        SessionState::Exchanging => Status::Exchanging,
        SessionState::Confirming => Status::Confirming,
        SessionState::Completed => Status::Completed,
        SessionState::Denied => Status::Denied,
        SessionState::Failed => Status::Failed,
        SessionState::Expired => Status::Expired,
        SessionState::Rejected => Status::Rejected,
        SessionState::Superseded => Status::Superseded,
    }
}
