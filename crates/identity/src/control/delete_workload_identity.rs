//! `DeleteWorkloadIdentity`: with every grant under it.

use countersign_api::control::DeleteWorkloadIdentity;
use countersign_api::control::delete_workload_identity::Input;
use countersign_api::operation::Empty;

use super::workload_resources;
use crate::operation::{Call, Handle, OperationError};
use crate::store::{grant, workload_identity};

impl Handle for DeleteWorkloadIdentity {
    #[tracing::instrument(name = "identity.delete_workload_identity", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.entry.workload = Some(input.name.clone());
        call.authorize(&workload_resources(call, &input.name)).await?;
        let mut tx = call.state.pool.begin().await?;
        let Some(workload) = workload_identity::delete(&mut tx, call.account(), &input.name).await? else {
            return Err(OperationError::not_found("Workload identity", &input.name));
        };
        let ended = grant::end_of_workload(&mut tx, &workload.id, call.now).await?;
        call.entry.detail.insert("grantsEnded".to_owned(), ended.into());
        call.state
            .commit(tx, &[(workload_identity::CHANGE, &workload.id)])
            .await?;
        Ok(Empty {})
    }
}
