//! `DeletePrincipalPolicy`: removes a principal's policy; it may then do nothing.

use serde::{Deserialize, Serialize};

use super::shapes::principal_name;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes a principal's policy; it may then do nothing.
    DeletePrincipalPolicy: "countersign" "/countersign/DeletePrincipalPolicy" => 200
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
