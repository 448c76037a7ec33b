//! `ListAuditRecords`, oldest first unless the newest are asked for.

use std::sync::Arc;

use countersign_api::admin::ListAuditRecords;
use countersign_api::admin::list_audit_records::{Input, Output};
use countersign_api::{ApiError, Operation as _};
use countersign_audit::{AuditError, PersonKeys, tail};

use super::{authorize_audit, shown, stop_subject};
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ListAuditRecords {
    #[tracing::instrument(name = "identity.list_audit_records", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        let person = match &input.user {
            None => None,
            Some(user) => Some(pseudonym(call, user).await?),
        };
        let micros = |seconds: i64| seconds.saturating_mul(1_000_000);
        let filter = tail::Filter {
            action: input.action,
            outcome: input.outcome,
            reason: input.reason,
            principal: input.principal,
            request_id: input.request_id,
            sid: input.sid,
            workload: input.workload_name,
            provider: input.credential_provider_name,
            session: input.session_id,
            grant: input.grant_id,
            person,
            since: input.from.map(micros),
            until: input.to.map(micros),
            newest_first: input.newest.unwrap_or(false),
        };
        let (limit, _) = next_token::limits(input.max_results, 1000);
        let token = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let after = Some(token).filter(|token| !token.is_empty()).or(input.after);
        let limit = u32::try_from(limit).unwrap_or(1000);
        let page = tail::search(&call.state.pool, &filter, after.as_deref(), limit)
            .await
            .map_err(failed)?;
        let next_token = page
            .cursor
            .map(|cursor| next_token::seal(call, Self::NAME, &cursor));
        let records = page
            .records
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>();
        let records = records.map_err(|error| OperationError::internal("audit_not_read", error))?;
        Ok(Output {
            records,
            next_token,
            searched_to: page.searched_to.map(shown::time),
        })
    }
}

fn failed(error: AuditError) -> OperationError {
    match error {
        AuditError::Cursor => {
            let error = ApiError::field("after", "must be the id of a record");
            OperationError::refused("invalid_input", error)
        }
        error => OperationError::internal("audit_not_read", error),
    }
}

/// The pseudonym under which a person is recorded; of several, the first that is. Nobody's, when nothing is recorded.
async fn pseudonym(call: &Call, user: &str) -> Result<String, OperationError> {
    let persons = PersonKeys::new(&call.state.pool, Arc::clone(&call.state.installation.person));
    for key in stop_subject::user_keys(&call.state.pool, user).await? {
        let found = persons.pseudonym(&key).await;
        if let Some(found) = found.map_err(failed)? {
            return Ok(found);
        }
    }
    Ok("none".to_owned())
}
