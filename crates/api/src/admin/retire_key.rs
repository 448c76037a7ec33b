//! `RetireKey`: takes a key out of use that was replaced and that nothing needs any more.

use serde::{Deserialize, Serialize};

use super::shapes::{Key, id};
use crate::validate::{Checker, Validate};

operation! {
    /// Takes a key out of use that was replaced. Refused (`ConflictException`) while a stored value is sealed under it,
    /// and, without `force`, while a token that it sealed may still be good.
    RetireKey: "countersign" "/countersign/RetireKey" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The key.
    pub key_id: String,
    /// Whether to end tokens that it sealed (workload access tokens, temporary credentials) before their time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The key, retired.
    pub key: Key,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "keyId", &self.key_id);
    }
}
