//! `GetWorkloadAccessTokenForJWT`: a workload access token for the agent and the person a JWT proves.

use serde::{Deserialize, Serialize};

use super::shapes;
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// A workload access token for the agent and the person a JWT proves.
    GetWorkloadAccessTokenForJWT: "bedrock-agentcore" "/identities/GetWorkloadAccessTokenForJWT" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The workload identity, 3 to 255 characters.
    pub workload_name: String,
    /// The JWT, at most [`MAX_USER_TOKEN_BYTES`](super::MAX_USER_TOKEN_BYTES).
    pub user_token: Sensitive,
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
        shapes::user_token(check, "userToken", &self.user_token);
    }
}
