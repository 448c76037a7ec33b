//! `CreateOauth2CredentialProvider`.

use countersign_api::control::CreateOauth2CredentialProvider;
use countersign_api::control::ProviderStatus;
use countersign_api::control::create_oauth2_credential_provider::{Input, Output};
use countersign_crypto::{uuid_v4, uuid_v7};

use super::registration::{accept, show};
use super::{already_exists, provider_resources, request_tags, within_quota};
use crate::operation::{Call, Handle, OperationError};
use crate::store::oauth2_provider::{self, ProviderRow};

impl Handle for CreateOauth2CredentialProvider {
    #[tracing::instrument(name = "identity.create_oauth2_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        request_tags(call, input.tags.as_ref());
        call.authorize(&provider_resources(call, &input.name)).await?;
        // Before the fetch, so that a repetition needs no authorization server to be told so.
        if oauth2_provider::find(&call.state.pool, call.account(), &input.name)
            .await?
            .is_some()
        {
            return Err(already_exists("Credential provider", &input.name));
        }
        let registration = accept(
            call,
            input.credential_provider_vendor,
            input.oauth2_provider_config_input,
        )
        .await?;
        let account = call.account().to_owned();
        let id = uuid_v7(&*call.state.clock, &*call.state.random).to_string();
        let keyring = &call.state.keys(&account)?.credential;
        let client_secret = ProviderRow::seal_client_secret(
            keyring,
            &*call.state.random,
            &account,
            &id,
            &registration.client_secret,
        );
        let new = ProviderRow {
            id,
            account,
            name: input.name,
            vendor: input.credential_provider_vendor,
            config_version: 1,
            config: registration.config,
            client_id: registration.client_id,
            client_secret,
            callback_id: uuid_v4(&*call.state.random).to_string(),
            tags: input.tags.unwrap_or_default(),
            created_at: call.now,
            updated_at: call.now,
        };
        call.entry
            .detail
            .insert("clientId".to_owned(), new.client_id.clone().into());
        let vendor = oauth2_provider::vendor_name(new.vendor);
        call.entry.detail.insert("vendor".to_owned(), vendor.into());
        let mut tx = call.state.pool.begin().await?;
        let present = oauth2_provider::count(&mut tx, &new.account).await?;
        let quota = call
            .state
            .settings(&new.account)
            .quotas
            .oauth2_credential_providers;
        within_quota("OAuth2 credential providers", present, quota)?;
        if !oauth2_provider::insert(&mut tx, &new).await? {
            return Err(already_exists("Credential provider", &new.name));
        }
        call.state
            .commit(tx, &[(oauth2_provider::CHANGE, &new.id)])
            .await?;
        let shown = show(call, &new)?;
        Ok(Output {
            client_secret_arn: shown.client_secret_arn,
            client_secret_json_key: shown.client_secret_json_key,
            client_secret_source: Some(shown.client_secret_source),
            name: new.name,
            credential_provider_arn: shown.arn,
            callback_url: Some(shown.callback_url),
            oauth2_provider_config_output: Some(shown.config),
            status: Some(ProviderStatus::Ready),
        })
    }
}
