//! `GetTokenVault`: describes the token vault and its key.

use serde::{Deserialize, Serialize};

use super::token_vault;
pub use super::token_vault::TokenVault as Output;
use crate::validate::{Checker, Validate};

operation! {
    /// Describes the token vault and its key.
    GetTokenVault: "bedrock-agentcore" "/identities/get-token-vault" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The vault; `default` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_vault_id: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(id) = &self.token_vault_id {
            token_vault::id(check, id);
        }
    }
}
