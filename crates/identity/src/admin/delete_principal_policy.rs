//! `DeletePrincipalPolicy`: the principal may then do nothing.

use countersign_api::admin::DeletePrincipalPolicy;
use countersign_api::admin::delete_principal_policy::Input;
use countersign_api::operation::Empty;

use super::authorized_principal;
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal;

impl Handle for DeletePrincipalPolicy {
    #[tracing::instrument(name = "identity.delete_principal_policy", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        let row = authorized_principal(call, &input.principal_name).await?;
        let mut tx = call.state.pool.begin().await?;
        principal::put_policy(&mut tx, &row.id, None, false, call.now).await?;
        call.state.commit(tx, &[(principal::CHANGE, &row.id)]).await?;
        Ok(Empty {})
    }
}
