//! `UpdateWorkloadIdentity`: the list of return URLs is replaced as a whole; a missing list is an empty one.

use countersign_api::control::UpdateWorkloadIdentity;
use countersign_api::control::update_workload_identity::{Input, Output};
use countersign_api::{Arn, EpochSeconds};

use super::workload_resources;
use crate::operation::{Call, Handle, OperationError};
use crate::store::workload_identity;

impl Handle for UpdateWorkloadIdentity {
    #[tracing::instrument(name = "identity.update_workload_identity", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.workload = Some(input.name.clone());
        call.authorize(&workload_resources(call, &input.name)).await?;
        let urls = input.allowed_resource_oauth2_return_urls.unwrap_or_default();
        call.entry
            .detail
            .insert("allowedReturnUrls".to_owned(), urls.clone().into());
        let mut tx = call.state.pool.begin().await?;
        let updated =
            workload_identity::update_return_urls(&mut tx, call.account(), &input.name, &urls, call.now)
                .await?;
        let workload = updated.ok_or_else(|| OperationError::not_found("Workload identity", &input.name))?;
        call.state
            .commit(tx, &[(workload_identity::CHANGE, &workload.id)])
            .await?;
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
