//! `ListAccessKeys`, without their secrets.

use countersign_api::admin::ListAccessKeys;
use countersign_api::admin::list_access_keys::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};
use crate::store::access_key;

impl Handle for ListAccessKeys {
    #[tracing::instrument(name = "identity.list_access_keys", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let principal = authorized_principal(call, &input.principal_name).await?;
        let rows = access_key::list(&call.state.pool, &principal.id).await?;
        Ok(Output {
            access_keys: rows
                .iter()
                .map(|row| shown::access_key(row, &principal))
                .collect(),
        })
    }
}
