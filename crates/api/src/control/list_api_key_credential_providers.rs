//! `ListApiKeyCredentialProviders`: lists API key credential providers by name.

use serde::{Deserialize, Serialize};

use super::shapes;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Lists API key credential providers by name.
    ListApiKeyCredentialProviders: "bedrock-agentcore" "/identities/ListApiKeyCredentialProviders" => 200
}

/// One item of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its name, 1 to 128 characters.
    pub name: String,
    /// Its ARN.
    pub credential_provider_arn: String,
    /// When it was made.
    pub created_time: EpochSeconds,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Most items of a page, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The page.
    pub credential_providers: Vec<Item>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
