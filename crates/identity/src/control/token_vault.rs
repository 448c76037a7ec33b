//! What the operations on the token vault share: the one vault there is, and how it is shown.

use countersign_api::control::token_vault::{KeyType, KmsConfiguration, TokenVault};
use countersign_api::{ApiError, Arn, EpochSeconds, ErrorCode, ValidationReason};
use countersign_crypto::KeyPurpose;

use crate::customer_key::{self, CustomerKeyError};
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
    let kms_key_arn = customer_key::of(&call.state, &keys).map(str::to_owned);
    let changed = customer_key::last_modified(&call.state, call.account(), &keys).await?;
    Ok(TokenVault {
        token_vault_id: "default".to_owned(),
        kms_configuration: KmsConfiguration {
            key_type: match kms_key_arn {
                Some(_) => KeyType::CustomerManagedKey,
                None => KeyType::ServiceManagedKey,
            },
            kms_key_arn,
        },
        last_modified_date: EpochSeconds::from_micros(changed.as_micros()),
    })
}

impl From<CustomerKeyError> for OperationError {
    fn from(error: CustomerKeyError) -> Self {
        // What KMS says names what stands in somebody's account: it is for our log.
        tracing::warn!(%error, "the vault's key was not changed");
        let conflict = |reason, message| {
            Self::refused(
                reason,
                ApiError::validation(ValidationReason::ResourceConflict, message),
            )
        };
        match error {
            CustomerKeyError::Concurrent => Self::refused(
                "key_changing",
                ApiError::new(
                    ErrorCode::ConcurrentModification,
                    "The vault's key is being changed; try again.",
                ),
            ),
            CustomerKeyError::NotAllowed => Self::refused(
                "cmk_not_allowed",
                ApiError::field(
                    "kmsConfiguration.kmsKeyArn",
                    "must be on the account's list of customer managed keys (keys.customer_managed), which the \
                     operator of this installation writes",
                ),
            ),
            CustomerKeyError::Unusable(_) => Self::refused(
                "cmk_unusable",
                ApiError::field(
                    "kmsConfiguration.kmsKeyArn",
                    "must be an enabled symmetric key of a single region that this installation may use \
                     (kms:DescribeKey, kms:Encrypt, kms:Decrypt)",
                ),
            ),
            CustomerKeyError::Closed(_) => conflict(
                "vault_key_closed",
                "The vault's customer managed key exists and refuses; enable it, cancel its deletion, or let this \
                 installation use it",
            ),
            CustomerKeyError::Lost(_) => conflict(
                "vault_key_lost",
                "The vault's customer managed key does not exist any more; ResetTokenVaultKeyMaterial gives the vault \
                 a new one, without what is in it",
            ),
            CustomerKeyError::Works => conflict(
                "vault_key_usable",
                "The vault's key is not lost: it opens the vault",
            ),
            CustomerKeyError::Unavailable(error) => Self::unavailable("key_provider_unavailable", error),
            CustomerKeyError::Db(error) => error.into(),
        }
    }
}
