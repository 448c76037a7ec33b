//! `DeletePrincipal`: removes a principal, its policy and its access keys.

use serde::{Deserialize, Serialize};

use super::shapes::principal_name;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes a principal, its policy and its access keys.
    DeletePrincipal: "countersign" "/countersign/DeletePrincipal" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The principal's name, 1 to 64 characters.
    pub principal_name: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
    }
}
