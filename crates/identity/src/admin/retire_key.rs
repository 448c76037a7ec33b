//! `RetireKey`. The wrapped key stays in the store; nothing uses it.

use countersign_api::Arn;
use countersign_api::admin::RetireKey;
use countersign_api::admin::retire_key::{Input, Output};
use countersign_crypto::KeyState;

use super::shown;
use crate::key_rotation;
use crate::keys::AccountKeys;
use crate::operation::{Call, Handle, OperationError};
use crate::store::key;

impl Handle for RetireKey {
    #[tracing::instrument(name = "identity.retire_key", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry
            .detail
            .insert("keyId".to_owned(), input.key_id.as_str().into());
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let absent = || OperationError::not_found("Key", &input.key_id);
        let found = key::find(&call.state.pool, call.account(), &input.key_id).await?;
        let mut row = found
            .filter(|row| AccountKeys::PURPOSES.contains(&row.purpose))
            .ok_or_else(absent)?;
        call.entry
            .detail
            .insert("purpose".to_owned(), row.purpose.as_str().into());
        key_rotation::retire(&call.state, &row, input.force == Some(true)).await?;
        row.state = KeyState::Retired;
        let key = shown::key(&row, None).ok_or_else(absent)?;
        Ok(Output { key })
    }
}
