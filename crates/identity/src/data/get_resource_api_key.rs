//! `GetResourceApiKey`: an API key for a resource, from the vault or from the customer's own Secrets Manager.

use countersign_api::Arn;
use countersign_api::data::GetResourceApiKey;
use countersign_api::data::get_resource_api_key::{Input, Output};
use countersign_crypto::SecretString;

use super::{open_wat, user_subjects};
use crate::control::external;
use crate::external_secret::Age;
use crate::operation::{Call, Handle, OperationError};
use crate::stops::Subject;
use crate::store::api_key_provider::{self, ApiKeyProviderRow, StoredApiKey};

impl Handle for GetResourceApiKey {
    #[tracing::instrument(name = "identity.get_resource_api_key", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let name = input.resource_credential_provider_name;
        call.entry.provider = Some(name.clone());
        let (wat, workload) = open_wat(call, &input.workload_identity_token).await?;
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[
            Arn::api_key_provider(&region, &account, &name),
            Arn::token_vault(&region, &account),
            Arn::workload_identity(&region, &account, &workload.name),
            Arn::directory(&region, &account),
        ])
        .await?;
        call.state.rates.workload(&workload.id, call.now)?;
        let mut subjects = vec![
            Subject::Workload(workload.name.clone()),
            Subject::Provider(name.clone()),
        ];
        subjects.extend(
            wat.user
                .iter()
                .flat_map(|user| user_subjects(user.key, user.person.as_deref())),
        );
        call.check_stops(subjects).await?;
        let found = api_key_provider::find(&call.state.pool, &account, &name).await?;
        let provider =
            found.ok_or_else(|| OperationError::not_found("API key credential provider", &name))?;
        let key = open(call, &provider).await?;
        call.entry.detail.insert("released".to_owned(), true.into());
        Ok(Output { api_key: key.into() })
    }
}

async fn open(call: &Call, provider: &ApiKeyProviderRow) -> Result<SecretString, OperationError> {
    match &provider.key {
        StoredApiKey::Sealed(sealed) => {
            let keys = call.state.keys(&provider.account)?;
            provider
                .open(keys, sealed)
                .map_err(|error| OperationError::internal("vault_unreadable", error))
        }
        StoredApiKey::External(reference) => {
            let secret = call
                .state
                .external_secrets
                .get(&provider.account, reference, Age::Cached);
            secret
                .await
                .map(|(key, _)| key)
                .map_err(|error| external::refused(call, reference, error))
        }
    }
}
