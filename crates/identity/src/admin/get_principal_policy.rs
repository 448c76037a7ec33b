//! `GetPrincipalPolicy`.

use countersign_api::ApiError;
use countersign_api::admin::GetPrincipalPolicy;
use countersign_api::admin::get_principal_policy::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};

impl Handle for GetPrincipalPolicy {
    #[tracing::instrument(name = "identity.get_principal_policy", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let row = authorized_principal(call, &input.principal_name).await?;
        let stored = row.policy.ok_or_else(|| {
            let message = format!("Principal {} has no policy", row.name);
            OperationError::refused("not_found", ApiError::not_found(message))
        })?;
        Ok(Output {
            document: stored.document,
            break_glass: stored.break_glass,
            last_updated_time: shown::time(stored.updated_at),
        })
    }
}
