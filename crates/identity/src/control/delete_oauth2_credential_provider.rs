//! `DeleteOauth2CredentialProvider`: with every grant under it. One made again has another callback URL and none
//! of the grants.

use countersign_api::control::DeleteOauth2CredentialProvider;
use countersign_api::control::delete_oauth2_credential_provider::Input;
use countersign_api::operation::Empty;

use super::provider_resources;
use crate::operation::{Call, Handle, OperationError};
use crate::store::{grant, oauth2_provider};

impl Handle for DeleteOauth2CredentialProvider {
    #[tracing::instrument(name = "identity.delete_oauth2_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&provider_resources(call, &input.name)).await?;
        let mut tx = call.state.pool.begin().await?;
        let Some(provider) = oauth2_provider::delete(&mut tx, call.account(), &input.name).await? else {
            return Err(OperationError::not_found("Credential provider", &input.name));
        };
        let ended = grant::end_of_provider(&mut tx, &provider.id, call.now).await?;
        call.entry.detail.insert("grantsEnded".to_owned(), ended.into());
        call.state
            .commit(tx, &[(oauth2_provider::CHANGE, &provider.id)])
            .await?;
        Ok(Empty {})
    }
}
