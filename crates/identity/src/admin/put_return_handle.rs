//! `PutReturnHandle`: `session-uri` gives up the defence of design D11 for one workload, so it is recorded with its
//! choice.

use countersign_api::Arn;
use countersign_api::admin::PutReturnHandle;
use countersign_api::admin::ReturnHandle as Wire;
use countersign_api::admin::put_return_handle::Input;
use countersign_api::operation::Empty;

use crate::operation::{Call, Handle, OperationError};
use crate::store::workload_identity::{self, ReturnHandle};

impl Handle for PutReturnHandle {
    #[tracing::instrument(name = "identity.put_return_handle", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.entry.workload = Some(input.workload_name.clone());
        call.authorize(&[Arn::workload_identity(
            call.region(),
            call.account(),
            &input.workload_name,
        )])
        .await?;
        let handle = match input.return_handle {
            Wire::Fresh => ReturnHandle::Fresh,
            Wire::SessionUri => ReturnHandle::SessionUri,
        };
        call.entry
            .detail
            .insert("returnHandle".to_owned(), handle.as_str().into());
        let mut tx = call.state.pool.begin().await?;
        let (account, name) = (call.account(), &input.workload_name);
        let updated =
            workload_identity::update_return_handle(&mut tx, account, name, handle, call.now).await?;
        let workload = updated.ok_or_else(|| OperationError::not_found("Workload identity", name))?;
        call.state
            .commit(tx, &[(workload_identity::CHANGE, &workload.id)])
            .await?;
        Ok(Empty {})
    }
}
