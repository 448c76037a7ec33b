//! `GetResourceApiKey`: an API key from the vault.

use serde::{Deserialize, Serialize};

use super::shapes;
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// An API key from the vault.
    GetResourceApiKey: "bedrock-agentcore" "/identities/api-key" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Who asks, and for whom.
    pub workload_identity_token: Sensitive,
    /// The API-key credential provider.
    pub resource_credential_provider_name: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The key.
    pub api_key: Sensitive,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::workload_access_token(check, "workloadIdentityToken", &self.workload_identity_token);
        let provider = &self.resource_credential_provider_name;
        shapes::provider_name(check, "resourceCredentialProviderName", provider);
    }
}
