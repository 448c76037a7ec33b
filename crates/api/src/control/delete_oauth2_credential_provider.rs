//! `DeleteOauth2CredentialProvider`: removes an OAuth2 credential provider and every grant under it.

use serde::{Deserialize, Serialize};

use crate::data::provider_name;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes an OAuth2 credential provider and every grant under it.
    DeleteOauth2CredentialProvider: "bedrock-agentcore" "/identities/DeleteOauth2CredentialProvider" => 204
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 1 to 128 characters.
    pub name: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        provider_name(check, "name", &self.name);
    }
}
