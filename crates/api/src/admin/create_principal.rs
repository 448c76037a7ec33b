//! `CreatePrincipal`: makes a principal, which may do nothing until it has a policy.

use serde::{Deserialize, Serialize};

use super::shapes::{Principal, principal_name};
use crate::validate::{Checker, Validate};

operation! {
    /// Makes a principal, which may do nothing until it has a policy.
    CreatePrincipal: "countersign" "/countersign/CreatePrincipal" => 200, not_idempotent
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
    /// The principal.
    pub principal: Principal,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
    }
}
