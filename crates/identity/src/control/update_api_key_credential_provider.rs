//! `UpdateApiKeyCredentialProvider`: the new key is what the next call gets.

use countersign_api::control::UpdateApiKeyCredentialProvider;
use countersign_api::control::update_api_key_credential_provider::{Input, Output};
use countersign_api::{Arn, EpochSeconds};

use super::api_key;
use crate::operation::{Call, Handle, OperationError};
use crate::store::api_key_provider;

impl Handle for UpdateApiKeyCredentialProvider {
    #[tracing::instrument(name = "identity.update_api_key_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&api_key::resources(call, &input.name)).await?;
        let absent = || OperationError::not_found("Credential provider", &input.name);
        let found = api_key_provider::find(&call.state.pool, call.account(), &input.name).await?;
        let present = found.ok_or_else(absent)?;
        let key = api_key::accept(call, &present.id, input.api_key, input.api_key_secret_config).await?;
        let mut tx = call.state.pool.begin().await?;
        let updated = api_key_provider::update(&mut tx, call.account(), &present.id, &key, call.now).await?;
        let provider = updated.ok_or_else(absent)?;
        call.state
            .commit(tx, &[(api_key_provider::CHANGE, &provider.id)])
            .await?;
        Ok(Output {
            secret: api_key::show(call, &provider),
            credential_provider_arn: Arn::api_key_provider(call.region(), call.account(), &provider.name)
                .to_string(),
            name: provider.name,
            created_time: EpochSeconds::from_micros(provider.created_at.as_micros()),
            last_updated_time: EpochSeconds::from_micros(provider.updated_at.as_micros()),
        })
    }
}
