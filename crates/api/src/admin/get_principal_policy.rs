//! `GetPrincipalPolicy`: shows a principal's policy.

use serde::{Deserialize, Serialize};

use super::shapes::principal_name;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};
use serde_json::Value;

operation! {
    /// Shows a principal's policy.
    GetPrincipalPolicy: "countersign" "/countersign/GetPrincipalPolicy" => 200
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
    /// The document.
    pub document: Value,
    /// Whether it was stored under break-glass.
    pub break_glass: bool,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
    }
}
