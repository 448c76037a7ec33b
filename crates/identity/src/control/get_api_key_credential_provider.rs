//! `GetApiKeyCredentialProvider`.

use countersign_api::control::GetApiKeyCredentialProvider;
use countersign_api::control::get_api_key_credential_provider::{Input, Output};
use countersign_api::{Arn, EpochSeconds};

use super::api_key;
use crate::operation::{Call, Handle, OperationError};
use crate::store::api_key_provider;

impl Handle for GetApiKeyCredentialProvider {
    #[tracing::instrument(name = "identity.get_api_key_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&api_key::resources(call, &input.name)).await?;
        let found = api_key_provider::find(&call.state.pool, call.account(), &input.name).await?;
        let provider = found.ok_or_else(|| OperationError::not_found("Credential provider", &input.name))?;
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
