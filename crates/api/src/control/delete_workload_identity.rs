//! `DeleteWorkloadIdentity`: removes a workload identity and every grant under it.

use serde::{Deserialize, Serialize};

use crate::data::workload_name;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes a workload identity and every grant under it.
    DeleteWorkloadIdentity: "bedrock-agentcore" "/identities/DeleteWorkloadIdentity" => 204
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 3 to 255 characters.
    pub name: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        workload_name(check, "name", &self.name);
    }
}
