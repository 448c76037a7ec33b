//! `CreateWorkloadIdentity`.

use countersign_api::Arn;
use countersign_api::control::CreateWorkloadIdentity;
use countersign_api::control::create_workload_identity::{Input, Output};
use countersign_crypto::uuid_v7;

use super::{already_exists, request_tags, within_quota, workload_resources};
use crate::operation::{Call, Handle, OperationError};
use crate::store::workload_identity::{self, ReturnHandle, WorkloadIdentityRow};

impl Handle for CreateWorkloadIdentity {
    #[tracing::instrument(name = "identity.create_workload_identity", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.workload = Some(input.name.clone());
        request_tags(call, input.tags.as_ref());
        call.authorize(&workload_resources(call, &input.name)).await?;
        let urls = input.allowed_resource_oauth2_return_urls.unwrap_or_default();
        call.entry
            .detail
            .insert("allowedReturnUrls".to_owned(), urls.clone().into());
        let new = WorkloadIdentityRow {
            id: uuid_v7(&*call.state.clock, &*call.state.random).to_string(),
            account: call.account().to_owned(),
            name: input.name,
            allowed_return_urls: urls,
            return_handle: ReturnHandle::Fresh,
            tags: input.tags.unwrap_or_default(),
            created_at: call.now,
            updated_at: call.now,
        };
        let mut tx = call.state.pool.begin().await?;
        let present = workload_identity::count(&mut tx, &new.account).await?;
        let quota = call.state.settings(&new.account).quotas.workload_identities;
        within_quota("workload identities", present, quota)?;
        if !workload_identity::insert(&mut tx, &new).await? {
            return Err(already_exists("Workload identity", &new.name));
        }
        call.state
            .commit(tx, &[(workload_identity::CHANGE, &new.id)])
            .await?;
        Ok(Output {
            workload_identity_arn: Arn::workload_identity(call.region(), call.account(), &new.name)
                .to_string(),
            name: new.name,
            allowed_resource_oauth2_return_urls: Some(new.allowed_return_urls),
        })
    }
}
