//! `GetPrincipal`.

use countersign_api::admin::GetPrincipal;
use countersign_api::admin::get_principal::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};

impl Handle for GetPrincipal {
    #[tracing::instrument(name = "identity.get_principal", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let principal = authorized_principal(call, &input.principal_name).await?;
        Ok(Output {
            principal: shown::principal(&principal),
        })
    }
}
