//! `GetWorkloadAccessTokenForUserId`: a workload access token for the agent and a person the caller names, unproven.

use serde::{Deserialize, Serialize};

use super::shapes;
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// A workload access token for the agent and a person the caller names, unproven.
    GetWorkloadAccessTokenForUserId: "bedrock-agentcore" "/identities/GetWorkloadAccessTokenForUserId" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The workload identity, 3 to 255 characters.
    pub workload_name: String,
    /// The caller's name for the person, 1 to 128 characters.
    pub user_id: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Opaque to the caller.
    pub workload_access_token: Sensitive,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::workload_name(check, "workloadName", &self.workload_name);
        shapes::user_id(check, "userId", &self.user_id);
    }
}
