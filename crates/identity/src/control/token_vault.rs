//! What the operations on the token vault share: the one vault there is, and how it is shown.

use countersign_api::control::token_vault::{KeyType, KmsConfiguration, TokenVault};
use countersign_api::{Arn, EpochSeconds};
use countersign_crypto::{KeyPurpose, KeyState};

use crate::operation::{Call, OperationError};
use crate::store::key;

/// Authorizes an operation on the vault `id`; there is none but `default`.
pub(super) async fn authorize(call: &mut Call, id: Option<&str>) -> Result<(), OperationError> {
    let vault = Arn::token_vault(call.region(), call.account());
    call.authorize(&[vault]).await?;
    match id {
        None | Some("default") => Ok(()),
        Some(other) => Err(OperationError::not_found("Token vault", other)),
    }
}

/// Shows the vault with the key that it has now.
pub(super) async fn show(call: &Call) -> Result<TokenVault, OperationError> {
    let keys = key::list(&call.state.pool, call.account(), KeyPurpose::Vault).await?;
    let primary = keys.iter().find(|key| key.state == KeyState::Primary);
    let primary =
        primary.ok_or_else(|| OperationError::internal("vault_key", "the vault has no primary key"))?;
    Ok(TokenVault {
        token_vault_id: "default".to_owned(),
        kms_configuration: KmsConfiguration {
            key_type: KeyType::ServiceManagedKey,
            kms_key_arn: None,
        },
        last_modified_date: EpochSeconds::from_micros(primary.created_at.as_micros()),
    })
}
