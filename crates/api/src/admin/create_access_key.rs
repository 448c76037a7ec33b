//! `CreateAccessKey`: makes an access key; its secret is shown this once.

use serde::{Deserialize, Serialize};

use super::shapes::{AccessKey, principal_name};
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// Makes an access key; its secret is shown this once.
    CreateAccessKey: "countersign" "/countersign/CreateAccessKey" => 200, not_idempotent
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The principal's name, 1 to 64 characters.
    pub principal_name: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The key.
    pub access_key: AccessKey,
    /// Its secret.
    pub secret_access_key: Sensitive,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
    }
}
