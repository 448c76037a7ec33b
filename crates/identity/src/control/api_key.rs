//! What create and update of an API-key provider have in common: taking in a key, and saying where it is.

use countersign_api::Arn;
use countersign_api::Sensitive;
use countersign_api::control::api_key_secret::ApiKeySecret;
use countersign_api::control::{Secret, SecretReference, SecretSource};

use super::external;
use crate::operation::{Call, OperationError};
use crate::store::api_key_provider::{ApiKeyProviderRow, StoredApiKey};

/// What a policy has to allow for an operation on an API-key provider: it and its vault.
pub(super) fn resources(call: &Call, name: &str) -> [Arn; 2] {
    let (region, account) = (call.region(), call.account());
    [
        Arn::api_key_provider(region, account, name),
        Arn::token_vault(region, account),
    ]
}

/// Seals a key for the provider `id`, or reads an external one once to see that it is there.
pub(super) async fn accept(
    call: &Call,
    id: &str,
    key: Option<Sensitive>,
    reference: Option<SecretReference>,
) -> Result<StoredApiKey, OperationError> {
    if let Some(reference) = reference {
        external::check(call, &reference, "apiKeySecretConfig").await?;
        return Ok(StoredApiKey::External(reference));
    }
    let keyring = &call.state.keys(call.account())?.credential;
    let key = key.unwrap_or_default().into_secret();
    Ok(StoredApiKey::seal(
        keyring,
        &*call.state.random,
        call.account(),
        id,
        &key,
    ))
}

/// Where the key of a provider is.
pub(super) fn show(call: &Call, provider: &ApiKeyProviderRow) -> ApiKeySecret {
    let (region, account) = (call.region(), call.account());
    match &provider.key {
        StoredApiKey::Sealed(_) => {
            // Six characters, as Secrets Manager adds them: the random end of the provider's id.
            let end = provider.id.len().saturating_sub(6);
            let suffix = provider.id.get(end..).unwrap_or_default();
            let arn = Arn::api_key_secret(region, account, &provider.name, suffix);
            ApiKeySecret {
                api_key_secret_arn: Secret {
                    secret_arn: arn.to_string(),
                },
                api_key_secret_json_key: None,
                api_key_secret_source: Some(SecretSource::Managed),
            }
        }
        StoredApiKey::External(reference) => ApiKeySecret {
            api_key_secret_arn: Secret {
                secret_arn: external::arn(region, account, reference),
            },
            api_key_secret_json_key: Some(reference.json_key.clone()),
            api_key_secret_source: Some(SecretSource::External),
        },
    }
}
