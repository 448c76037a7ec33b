//! `ListAccessKeys`: lists a principal's access keys.

use serde::{Deserialize, Serialize};

use super::shapes::{AccessKey, principal_name};
use crate::validate::{Checker, Validate};

operation! {
    /// Lists a principal's access keys.
    ListAccessKeys: "countersign" "/countersign/ListAccessKeys" => 200
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
    /// The keys; a principal has few.
    pub access_keys: Vec<AccessKey>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
    }
}
