//! `RotateKey`: answered when the new key is the primary one and every replica can open what it seals.

use countersign_api::admin::rotate_key::{Input, Output};
use countersign_api::admin::{KeyPurpose, RotateKey};
use countersign_api::{ApiError, Arn};
use countersign_crypto::KeyPurpose as StoredPurpose;

use super::shown;
use crate::key_rotation::{self, RotationError};
use crate::operation::{Call, Handle, OperationError};

impl Handle for RotateKey {
    #[tracing::instrument(name = "identity.rotate_key", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let purpose = match input.purpose {
            KeyPurpose::Vault => StoredPurpose::Vault,
            KeyPurpose::Credential => StoredPurpose::Credential,
            KeyPurpose::WorkloadAccessToken => StoredPurpose::WorkloadAccessToken,
        };
        call.entry
            .detail
            .insert("purpose".to_owned(), purpose.as_str().into());
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let account = call.account().to_owned();
        let row = key_rotation::rotate(&call.state, &account, purpose).await?;
        call.entry
            .detail
            .insert("keyId".to_owned(), row.id.as_str().into());
        let key = shown::key(&row, None).ok_or_else(|| OperationError::internal("key_purpose", row.id))?;
        Ok(Output { key })
    }
}

impl From<RotationError> for OperationError {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Conflict(message) => Self::refused(
                "key_in_use",
                ApiError::conflict(format!("The key stays as it is: {message}.")),
            ),
            RotationError::Db(error) => error.into(),
            RotationError::Key(error) => Self::unavailable("key_provider_unavailable", error),
        }
    }
}
