//! `SetTokenVaultCMK`: chooses the key that encrypts the token vault.

use serde::{Deserialize, Serialize};

pub use super::token_vault::TokenVault as Output;
use super::token_vault::{self, KmsConfiguration};
use crate::validate::{Checker, Validate};

operation! {
    /// Chooses the key that encrypts the token vault.
    SetTokenVaultCMK: "bedrock-agentcore" "/identities/set-token-vault-cmk" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The vault; `default` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_vault_id: Option<String>,
    /// Its new key.
    pub kms_configuration: KmsConfiguration,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(id) = &self.token_vault_id {
            token_vault::id(check, id);
        }
        check.nested("kmsConfiguration", |check| self.kms_configuration.validate(check));
    }
}
