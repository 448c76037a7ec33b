//! `ListAuditRecords`, oldest first unless the newest are asked for.

use countersign_api::Operation as _;
use countersign_api::admin::ListAuditRecords;
use countersign_api::admin::list_audit_records::{Input, Output};
use countersign_audit::tail;

use super::authorize_audit;
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ListAuditRecords {
    #[tracing::instrument(name = "identity.list_audit_records", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        let filter = tail::Filter {
            action: input.action,
            outcome: input.outcome,
            newest_first: input.newest.unwrap_or(false),
            ..tail::Filter::default()
        };
        let (limit, _) = next_token::limits(input.max_results, 1000);
        let token = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let after = Some(token).filter(|token| !token.is_empty()).or(input.after);
        let limit = u32::try_from(limit).unwrap_or(1000);
        let failed = |error| OperationError::internal("audit_not_read", error);
        let page = tail::list(&call.state.pool, &filter, after.as_deref(), limit)
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
        Ok(Output { records, next_token })
    }
}
