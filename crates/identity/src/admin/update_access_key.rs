//! `UpdateAccessKey`: effective within a second on every replica.

use countersign_api::admin::update_access_key::Input;
use countersign_api::admin::{AccessKeyStatus, UpdateAccessKey};
use countersign_api::operation::Empty;

use super::authorized_access_key;
use crate::operation::{Call, Handle, OperationError};
use crate::store::access_key;

impl Handle for UpdateAccessKey {
    #[tracing::instrument(name = "identity.update_access_key", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        let active = input.status == AccessKeyStatus::Active;
        call.entry.detail.insert("active".to_owned(), active.into());
        authorized_access_key(call, &input.access_key_id).await?;
        let mut tx = call.state.pool.begin().await?;
        if !access_key::set_active(&mut tx, call.account(), &input.access_key_id, active).await? {
            return Err(OperationError::not_found("Access key", &input.access_key_id));
        }
        call.state
            .commit(tx, &[(access_key::CHANGE, &input.access_key_id)])
            .await?;
        Ok(Empty {})
    }
}
