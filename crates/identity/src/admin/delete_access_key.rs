//! `DeleteAccessKey`: effective within a second on every replica.

use countersign_api::Arn;
use countersign_api::admin::DeleteAccessKey;
use countersign_api::admin::delete_access_key::Input;
use countersign_api::operation::Empty;

use crate::operation::{Call, Handle, OperationError};
use crate::store::{access_key, principal};

impl Handle for DeleteAccessKey {
    #[tracing::instrument(name = "identity.delete_access_key", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.entry
            .detail
            .insert("accessKeyId".to_owned(), input.access_key_id.clone().into());
        let absent = || OperationError::not_found("Access key", &input.access_key_id);
        let owner = match access_key::find(&call.state.pool, &input.access_key_id).await? {
            Some(key) if key.account == call.account() => {
                principal::find_by_id(&call.state.pool, &key.principal_id).await?
            }
            _ => None,
        };
        // A policy speaks of principals; whoever may not touch any learns nothing about keys that are not there.
        let name = owner.map_or_else(|| "*".to_owned(), |owner| owner.name);
        call.authorize(&[Arn::principal(call.account(), &name)])?;
        let mut tx = call.state.pool.begin().await?;
        if !access_key::delete(&mut tx, call.account(), &input.access_key_id).await? {
            return Err(absent());
        }
        call.state
            .commit(tx, &[(access_key::CHANGE, &input.access_key_id)])
            .await?;
        Ok(Empty {})
    }
}
