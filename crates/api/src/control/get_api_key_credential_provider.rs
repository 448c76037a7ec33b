//! `GetApiKeyCredentialProvider`: describes an API key credential provider, never its key.

use serde::{Deserialize, Serialize};

use super::api_key_secret::ApiKeySecret;
use crate::data::provider_name;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Describes an API key credential provider.
    GetApiKeyCredentialProvider: "bedrock-agentcore" "/identities/GetApiKeyCredentialProvider" => 200
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
    /// Where the key is.
    #[serde(flatten)]
    pub secret: ApiKeySecret,
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Its ARN.
    pub credential_provider_arn: String,
    /// When it was made.
    pub created_time: EpochSeconds,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
    }
}
