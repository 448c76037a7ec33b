//! `GetOauth2CredentialProvider`: describes an OAuth2 credential provider.

use serde::{Deserialize, Serialize};

use super::oauth2_provider_config::Oauth2ProviderConfigOutput;
use super::shapes::{CredentialProviderVendor, ProviderStatus, Secret, SecretSource};
use crate::data::provider_name;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Describes an OAuth2 credential provider.
    GetOauth2CredentialProvider: "bedrock-agentcore" "/identities/GetOauth2CredentialProvider" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 1 to 128 characters.
    pub name: String,
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
    /// Whose authorization server it is.
    pub credential_provider_vendor: CredentialProviderVendor,
    /// Its ARN.
    pub credential_provider_arn: String,
    /// The redirect URI to register at the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The configuration without its secrets.
    pub oauth2_provider_config_output: Oauth2ProviderConfigOutput,
    /// When it was made.
    pub created_time: EpochSeconds,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ProviderStatus>,
    /// Why the status is a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
    }
}
