//! `SetTokenVaultCMK`: the key provider of the installation wraps the vault's key, and which one that is the operator
//! configures. A customer managed key is refused by name rather than accepted and not used.

use countersign_api::control::SetTokenVaultCMK;
use countersign_api::control::set_token_vault_cmk::{Input, Output};
use countersign_api::control::token_vault::KeyType;
use countersign_api::{ApiError, ValidationReason};

use super::token_vault;
use crate::operation::{Call, Handle, OperationError};

impl Handle for SetTokenVaultCMK {
    #[tracing::instrument(name = "identity.set_token_vault_cmk", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        token_vault::authorize(call, input.token_vault_id.as_deref()).await?;
        match input.kms_configuration.key_type {
            // What it has already.
            KeyType::ServiceManagedKey => token_vault::show(call).await,
            KeyType::CustomerManagedKey => {
                let message = "kmsConfiguration.keyType: CustomerManagedKey is not available: the key provider of \
                               this installation is not a KMS";
                Err(OperationError::refused(
                    "cmk_not_available",
                    ApiError::validation(ValidationReason::FieldValidationFailed, message),
                ))
            }
        }
    }
}
