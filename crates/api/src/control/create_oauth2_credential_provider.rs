//! `CreateOauth2CredentialProvider`: registers an OAuth2 credential provider.

use serde::{Deserialize, Serialize};

use super::oauth2_provider_config::{Oauth2ProviderConfigInput, Oauth2ProviderConfigOutput};
use super::shapes::{self, CredentialProviderVendor, ProviderStatus, Secret, SecretSource, Tags};
use crate::data::provider_name;
use crate::validate::{Checker, Validate};

operation! {
    /// Registers an OAuth2 credential provider.
    CreateOauth2CredentialProvider: "bedrock-agentcore" "/identities/CreateOauth2CredentialProvider" => 201, not_idempotent
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Whose authorization server it is.
    pub credential_provider_vendor: CredentialProviderVendor,
    /// The client's registration there; the member must be the vendor's.
    pub oauth2_provider_config_input: Oauth2ProviderConfigInput,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Where the client secret is.
    pub client_secret_arn: Secret,
    /// The key within an external secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_json_key: Option<String>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_source: Option<SecretSource>,
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Its ARN.
    pub credential_provider_arn: String,
    /// The redirect URI to register at the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The configuration without its secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2_provider_config_output: Option<Oauth2ProviderConfigOutput>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProviderStatus>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
        self.oauth2_provider_config_input
            .validate(check, self.credential_provider_vendor);
        shapes::tags(check, self.tags.as_ref());
    }
}
