//! `GetPrincipal`: describes a principal.

use serde::{Deserialize, Serialize};

use super::shapes::{Principal, principal_name};
use crate::validate::{Checker, Validate};

operation! {
    /// Describes a principal.
    GetPrincipal: "countersign" "/countersign/GetPrincipal" => 200
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
