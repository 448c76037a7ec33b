//! `GetOauth2CredentialProvider`.

use countersign_api::EpochSeconds;
use countersign_api::control::get_oauth2_credential_provider::{Input, Output};
use countersign_api::control::{GetOauth2CredentialProvider, ProviderStatus};

use super::provider_resources;
use super::registration::show;
use crate::operation::{Call, Handle, OperationError};
use crate::store::oauth2_provider;

impl Handle for GetOauth2CredentialProvider {
    #[tracing::instrument(name = "identity.get_oauth2_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&provider_resources(call, &input.name)).await?;
        let found = oauth2_provider::find(&call.state.pool, call.account(), &input.name).await?;
        let provider = found.ok_or_else(|| OperationError::not_found("Credential provider", &input.name))?;
        let shown = show(call, &provider)?;
        Ok(Output {
            client_secret_arn: shown.client_secret_arn,
            client_secret_json_key: shown.client_secret_json_key,
            client_secret_source: Some(shown.client_secret_source),
            name: provider.name,
            credential_provider_vendor: provider.vendor,
            credential_provider_arn: shown.arn,
            callback_url: Some(shown.callback_url),
            oauth2_provider_config_output: shown.config,
            created_time: EpochSeconds::from_micros(provider.created_at.as_micros()),
            last_updated_time: EpochSeconds::from_micros(provider.updated_at.as_micros()),
            status: Some(ProviderStatus::Ready),
            failure_reason: None,
        })
    }
}
