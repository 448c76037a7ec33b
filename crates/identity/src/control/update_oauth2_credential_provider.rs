//! `UpdateOauth2CredentialProvider`: the registration is replaced as a whole, under a new version. Sessions under
//! way keep to the version they began with and end; grants whose pinned endpoints differ need consent again
//! (design D14). The callback URL stays.

use countersign_api::EpochSeconds;
use countersign_api::control::update_oauth2_credential_provider::{Input, Output};
use countersign_api::control::{ProviderStatus, UpdateOauth2CredentialProvider};

use super::provider_resources;
use super::registration::{accept, show};
use crate::operation::{Call, Handle, OperationError};
use crate::store::oauth2_provider::{self, ProviderRow, ProviderUpdate};

impl Handle for UpdateOauth2CredentialProvider {
    #[tracing::instrument(name = "identity.update_oauth2_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        call.authorize(&provider_resources(call, &input.name)).await?;
        let absent = || OperationError::not_found("Credential provider", &input.name);
        let found = oauth2_provider::find(&call.state.pool, call.account(), &input.name).await?;
        let present = found.ok_or_else(absent)?;
        let registration = accept(
            call,
            input.credential_provider_vendor,
            input.oauth2_provider_config_input,
        )
        .await?;
        call.entry
            .detail
            .insert("clientId".to_owned(), registration.client_id.clone().into());
        let update = ProviderUpdate {
            id: &present.id,
            vendor: input.credential_provider_vendor,
            config: &registration.config,
            client_id: &registration.client_id,
            client_secret: ProviderRow::seal_client_secret(
                &call.state.keys(call.account())?.credential,
                &*call.state.random,
                call.account(),
                &present.id,
                &registration.client_secret,
            ),
        };
        let mut tx = call.state.pool.begin().await?;
        let updated = oauth2_provider::update(&mut tx, call.account(), update, call.now).await?;
        let provider = updated.ok_or_else(absent)?;
        call.entry
            .detail
            .insert("configVersion".to_owned(), provider.config_version.into());
        call.state
            .commit(tx, &[(oauth2_provider::CHANGE, &provider.id)])
            .await?;
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
        })
    }
}
