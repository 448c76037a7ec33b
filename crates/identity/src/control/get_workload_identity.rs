//! `GetWorkloadIdentity`.

use countersign_api::control::GetWorkloadIdentity;
use countersign_api::control::get_workload_identity::{Input, Output};
use countersign_api::{Arn, EpochSeconds};

use super::workload_resources;
use crate::operation::{Call, Handle, OperationError};
use crate::store::workload_identity;

impl Handle for GetWorkloadIdentity {
    #[tracing::instrument(name = "identity.get_workload_identity", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.workload = Some(input.name.clone());
        call.authorize(&workload_resources(call, &input.name)).await?;
        let found = workload_identity::find(&call.state.pool, call.account(), &input.name).await?;
        let workload = found.ok_or_else(|| OperationError::not_found("Workload identity", &input.name))?;
        Ok(Output {
            workload_identity_arn: Arn::workload_identity(call.region(), call.account(), &workload.name)
                .to_string(),
            name: workload.name,
            allowed_resource_oauth2_return_urls: Some(workload.allowed_return_urls),
            created_time: EpochSeconds::from_micros(workload.created_at.as_micros()),
            last_updated_time: EpochSeconds::from_micros(workload.updated_at.as_micros()),
        })
    }
}
