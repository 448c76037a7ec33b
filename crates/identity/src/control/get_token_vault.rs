//! `GetTokenVault`.

use countersign_api::control::GetTokenVault;
use countersign_api::control::get_token_vault::{Input, Output};

use super::token_vault;
use crate::operation::{Call, Handle, OperationError};

impl Handle for GetTokenVault {
    #[tracing::instrument(name = "identity.get_token_vault", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        token_vault::authorize(call, input.token_vault_id.as_deref()).await?;
        token_vault::show(call).await
    }
}
