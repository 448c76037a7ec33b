//! `SetTokenVaultCMK`: which key wraps the vault's: a KMS key of the customer's that the operator lets the account name
//! (design D22), or the root key of the installation.

use countersign_api::control::SetTokenVaultCMK;
use countersign_api::control::set_token_vault_cmk::{Input, Output};

use super::token_vault;
use crate::customer_key;
use crate::operation::{Call, Handle, OperationError};

impl Handle for SetTokenVaultCMK {
    #[tracing::instrument(name = "identity.set_token_vault_cmk", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        token_vault::authorize(call, input.token_vault_id.as_deref()).await?;
        let arn = input.kms_configuration.kms_key_arn;
        call.entry
            .detail
            .insert("kmsKeyArn".to_owned(), arn.clone().into());
        let account = call.account().to_owned();
        let wrapped = customer_key::set(&call.state, &account, arn.as_deref()).await?;
        call.entry.detail.insert("keys".to_owned(), wrapped.into());
        token_vault::show(call).await
    }
}
