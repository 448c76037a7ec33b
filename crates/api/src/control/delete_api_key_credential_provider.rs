//! `DeleteApiKeyCredentialProvider`: removes an API key credential provider and its key.

use serde::{Deserialize, Serialize};

use crate::data::provider_name;
pub use crate::operation::Empty as Output;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes an API key credential provider and its key.
    DeleteApiKeyCredentialProvider: "bedrock-agentcore" "/identities/DeleteApiKeyCredentialProvider" => 204
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 1 to 128 characters.
    pub name: String,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
    }
}
