//! `DeletePrincipal`: with its policy and its access keys.

use countersign_api::admin::DeletePrincipal;
use countersign_api::admin::delete_principal::Input;
use countersign_api::operation::Empty;

use super::authorized_principal;
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal;

impl Handle for DeletePrincipal {
    #[tracing::instrument(name = "identity.delete_principal", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        let row = authorized_principal(call, &input.principal_name).await?;
        let mut tx = call.state.pool.begin().await?;
        principal::delete(&mut tx, &row.id).await?;
        call.state.commit(tx, &[(principal::CHANGE, &row.id)]).await?;
        Ok(Empty {})
    }
}
