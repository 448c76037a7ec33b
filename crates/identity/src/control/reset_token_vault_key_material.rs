//! `ResetTokenVaultKeyMaterial`: a new key for a vault whose customer managed key is gone for good. Every token in it is
//! lost, and every connection needs consent again; providers stay as they are.

use countersign_api::control::ResetTokenVaultKeyMaterial;
use countersign_api::control::reset_token_vault_key_material::{Input, Output};

use super::token_vault;
use crate::customer_key;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ResetTokenVaultKeyMaterial {
    #[tracing::instrument(name = "identity.reset_token_vault_key_material", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        token_vault::authorize(call, Some(&input.token_vault_id)).await?;
        let account = call.account().to_owned();
        let reset = customer_key::reset(&call.state, &account).await?;
        call.entry.detail.insert("grants".to_owned(), reset.grants.into());
        token_vault::show(call).await
    }
}
