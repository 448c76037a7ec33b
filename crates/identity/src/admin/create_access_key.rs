//! `CreateAccessKey`: the secret is shown this once.

use countersign_api::admin::CreateAccessKey;
use countersign_api::admin::create_access_key::{Input, Output};
use countersign_api::{ApiError, ErrorCode, Sensitive};

use super::{authorized_principal, shown};
use crate::authn;
use crate::operation::{Call, Handle, OperationError};
use crate::store::access_key;

/// Most access keys of a principal: one in use, and the next while it is rolled out.
const MAX_KEYS: usize = 2;

impl Handle for CreateAccessKey {
    #[tracing::instrument(name = "identity.create_access_key", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let principal = authorized_principal(call, &input.principal_name).await?;
        if access_key::list(&call.state.pool, &principal.id).await?.len() >= MAX_KEYS {
            let message = format!("A principal has at most {MAX_KEYS} access keys");
            let error = ApiError::new(ErrorCode::ResourceLimitExceeded, message);
            return Err(OperationError::refused("too_many_access_keys", error));
        }
        let keyring = &call.state.keys(call.account())?.credential;
        let (row, secret) = authn::generate_access_key(keyring, &*call.state.random, &principal, call.now);
        call.entry
            .detail
            .insert("accessKeyId".to_owned(), row.id.clone().into());
        let mut tx = call.state.pool.begin().await?;
        access_key::insert(&mut tx, &row).await?;
        call.state.commit(tx, &[(access_key::CHANGE, &row.id)]).await?;
        Ok(Output {
            access_key: shown::access_key(&row, &principal),
            secret_access_key: Sensitive::from(secret),
        })
    }
}
