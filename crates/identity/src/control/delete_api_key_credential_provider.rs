//! `DeleteApiKeyCredentialProvider`: with its key.

use countersign_api::control::DeleteApiKeyCredentialProvider;
use countersign_api::control::delete_api_key_credential_provider::Input;
use countersign_api::operation::Empty;

use super::api_key;
use crate::operation::{Call, Handle, OperationError};
use crate::store::api_key_provider;

impl Handle for DeleteApiKeyCredentialProvider {
    #[tracing::instrument(name = "identity.delete_api_key_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&api_key::resources(call, &input.name)).await?;
        let mut tx = call.state.pool.begin().await?;
        let Some(provider) = api_key_provider::delete(&mut tx, call.account(), &input.name).await? else {
            return Err(OperationError::not_found("Credential provider", &input.name));
        };
        call.state
            .commit(tx, &[(api_key_provider::CHANGE, &provider.id)])
            .await?;
        Ok(Empty {})
    }
}
