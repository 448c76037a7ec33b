//! The three members by which an API key comes in, and the three by which an answer says where it is.

use serde::{Deserialize, Serialize};

use super::shapes::{self, Secret, SecretReference, SecretSource};
use crate::sensitive::Sensitive;
use crate::validate::Checker;

/// Checks `apiKey`, `apiKeySecretSource` and `apiKeySecretConfig`: a key, or where an external one is.
pub(crate) fn validate(
    check: &mut Checker,
    key: Option<&Sensitive>,
    source: Option<SecretSource>,
    reference: Option<&SecretReference>,
) {
    let key = key.map(Sensitive::expose);
    check.length("apiKey", key.unwrap_or_default(), 0..=65_536);
    shapes::secret(
        check,
        ("apiKey", key),
        ("apiKeySecretSource", source),
        ("apiKeySecretConfig", reference),
    );
    let given = key.is_some_and(|key| !key.is_empty()) || source == Some(SecretSource::External);
    check.require(
        given,
        "apiKey",
        "must be set unless apiKeySecretSource is EXTERNAL",
    );
}

/// Where the key of a provider is; flattened into answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecret {
    /// The secret's ARN.
    pub api_key_secret_arn: Secret,
    /// The key within an external secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_json_key: Option<String>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_source: Option<SecretSource>,
}
