//! `CreateApiKeyCredentialProvider`: registers an API key credential provider.

use serde::{Deserialize, Serialize};

use super::api_key_secret::{self, ApiKeySecret};
use super::shapes::{self, SecretReference, SecretSource, Tags};
use crate::data::provider_name;
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// Registers an API key credential provider.
    CreateApiKeyCredentialProvider: "bedrock-agentcore" "/identities/CreateApiKeyCredentialProvider" => 201, not_idempotent
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// The key, at most 65,536 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Sensitive>,
    /// Where an external key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_config: Option<SecretReference>,
    /// Who keeps the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_source: Option<SecretSource>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Where the key is.
    #[serde(flatten)]
    pub secret: ApiKeySecret,
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Its ARN.
    pub credential_provider_arn: String,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
        let reference = self.api_key_secret_config.as_ref();
        api_key_secret::validate(
            check,
            self.api_key.as_ref(),
            self.api_key_secret_source,
            reference,
        );
        shapes::tags(check, self.tags.as_ref());
    }
}
