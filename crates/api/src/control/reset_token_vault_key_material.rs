//! `ResetTokenVaultKeyMaterial`: gives the vault a new key when its customer managed key is gone for good.

use serde::{Deserialize, Serialize};

use super::token_vault;
pub use super::token_vault::TokenVault as Output;
use crate::validate::{Checker, Validate};

operation! {
    /// Gives the vault a new key when its customer managed key is gone for good. Every stored token is lost.
    ResetTokenVaultKeyMaterial: "bedrock-agentcore" "/identities/reset-token-vault-key-material" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The vault: `default`.
    pub token_vault_id: String,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        token_vault::id(check, &self.token_vault_id);
    }
}
