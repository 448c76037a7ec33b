//! `ResetTokenVaultKeyMaterial`: only for a vault whose customer managed key is gone for good; every token in it would
//! be lost.

use countersign_api::control::ResetTokenVaultKeyMaterial;
use countersign_api::control::reset_token_vault_key_material::{Input, Output};
use countersign_api::{ApiError, ValidationReason};

use super::token_vault;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ResetTokenVaultKeyMaterial {
    #[tracing::instrument(name = "identity.reset_token_vault_key_material", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        token_vault::authorize(call, Some(&input.token_vault_id)).await?;
        let message =
            "The token vault has no customer managed key that could be lost; its service managed key works";
        Err(OperationError::refused(
            "vault_key_usable",
            ApiError::validation(ValidationReason::ResourceConflict, message),
        ))
    }
}
