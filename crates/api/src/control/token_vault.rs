//! What the three operations on the token vault share: its id, its key, and their one answer.

use serde::{Deserialize, Serialize};

use crate::time::EpochSeconds;
use crate::validate::{Checker, pattern};

/// Whose key encrypts the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum KeyType {
    /// The customer's, in a KMS.
    CustomerManagedKey,
    /// The installation's own.
    #[default]
    ServiceManagedKey,
}

/// `KmsConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KmsConfiguration {
    /// Whose key it is.
    pub key_type: KeyType,
    /// The customer's key; with [`KeyType::CustomerManagedKey`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
}

/// The vault and its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenVault {
    /// `default`, the one vault of an account and region.
    pub token_vault_id: String,
    /// Its key.
    pub kms_configuration: KmsConfiguration,
    /// When the key last changed.
    pub last_modified_date: EpochSeconds,
}

impl KmsConfiguration {
    pub(crate) fn validate(&self, check: &mut Checker) {
        if let Some(arn) = &self.kms_key_arn {
            check.text("kmsKeyArn", arn, 1..=2048, &pattern::KMS_KEY_ARN);
        }
        let customers = self.key_type == KeyType::CustomerManagedKey;
        check.require(
            customers == self.kms_key_arn.is_some(),
            "kmsKeyArn",
            "must be set with CustomerManagedKey and only then",
        );
    }
}

/// Checks `TokenVaultIdType`.
pub(crate) fn id(check: &mut Checker, id: &str) {
    check.text("tokenVaultId", id, 1..=64, &pattern::PROVIDER_NAME);
}
