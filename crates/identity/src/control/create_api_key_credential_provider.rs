//! `CreateApiKeyCredentialProvider`.

use countersign_api::Arn;
use countersign_api::control::CreateApiKeyCredentialProvider;
use countersign_api::control::create_api_key_credential_provider::{Input, Output};
use countersign_crypto::uuid_v7;

use super::{already_exists, api_key, request_tags, within_quota};
use crate::operation::{Call, Handle, OperationError};
use crate::store::api_key_provider::{self, ApiKeyProviderRow};

impl Handle for CreateApiKeyCredentialProvider {
    #[tracing::instrument(name = "identity.create_api_key_credential_provider", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.provider = Some(input.name.clone());
        request_tags(call, input.tags.as_ref());
        call.authorize(&api_key::resources(call, &input.name)).await?;
        let account = call.account().to_owned();
        // Before an external secret is read, so that a repetition is told so.
        if api_key_provider::find(&call.state.pool, &account, &input.name)
            .await?
            .is_some()
        {
            return Err(already_exists("Credential provider", &input.name));
        }
        let id = uuid_v7(&*call.state.clock, &*call.state.random).to_string();
        let key = api_key::accept(call, &id, input.api_key, input.api_key_secret_config).await?;
        let new = ApiKeyProviderRow {
            id,
            account,
            name: input.name,
            key,
            tags: input.tags.unwrap_or_default(),
            created_at: call.now,
            updated_at: call.now,
        };
        let mut tx = call.state.pool.begin().await?;
        let present = api_key_provider::count(&mut tx, &new.account).await?;
        let quota = call
            .state
            .settings(&new.account)
            .quotas
            .api_key_credential_providers;
        within_quota("API key credential providers", present, quota)?;
        if !api_key_provider::insert(&mut tx, &new).await? {
            return Err(already_exists("Credential provider", &new.name));
        }
        call.state
            .commit(tx, &[(api_key_provider::CHANGE, &new.id)])
            .await?;
        Ok(Output {
            secret: api_key::show(call, &new),
            credential_provider_arn: Arn::api_key_provider(call.region(), &new.account, &new.name)
                .to_string(),
            name: new.name,
        })
    }
}
