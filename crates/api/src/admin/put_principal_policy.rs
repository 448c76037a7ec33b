//! `PutPrincipalPolicy`: replaces a principal's policy.

use serde::{Deserialize, Serialize};

use super::shapes::{MAX_DOCUMENT, principal_name};
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};
use serde_json::Value;

operation! {
    /// Replaces a principal's policy.
    PutPrincipalPolicy: "countersign" "/countersign/PutPrincipalPolicy" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The principal's name, 1 to 64 characters.
    pub principal_name: String,
    /// An AWS IAM policy document, at most 20,480 characters as JSON. What it may contain is the identity service's to say.
    pub document: Value,
    /// Permits a document that lets one principal both ask for tokens and complete their sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<bool>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// When the policy changed.
    pub last_updated_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
        check.require(self.document.is_object(), "document", "must be an object");
        check.length("document", &self.document.to_string(), 2..=MAX_DOCUMENT);
    }
}
