//! `GetWorkloadIdentity`: describes a workload identity.

use serde::{Deserialize, Serialize};

use crate::data::workload_name;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Describes a workload identity.
    GetWorkloadIdentity: "bedrock-agentcore" "/identities/GetWorkloadIdentity" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 3 to 255 characters.
    pub name: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its name, 3 to 255 characters.
    pub name: String,
    /// Its ARN.
    pub workload_identity_arn: String,
    /// The exact URLs to which an authorization may return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_resource_oauth2_return_urls: Option<Vec<String>>,
    /// When it was made.
    pub created_time: EpochSeconds,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        workload_name(check, "name", &self.name);
    }
}
