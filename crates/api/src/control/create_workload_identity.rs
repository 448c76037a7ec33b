//! `CreateWorkloadIdentity`: makes a workload identity.

use serde::{Deserialize, Serialize};

use super::shapes::{self, Tags};
use crate::data::workload_name;
use crate::validate::{Checker, Validate};

operation! {
    /// Makes a workload identity.
    CreateWorkloadIdentity: "bedrock-agentcore" "/identities/CreateWorkloadIdentity" => 201, not_idempotent
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its name, 3 to 255 characters.
    pub name: String,
    /// The exact URLs to which an authorization may return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_resource_oauth2_return_urls: Option<Vec<String>>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
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
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        workload_name(check, "name", &self.name);
        shapes::return_urls(check, self.allowed_resource_oauth2_return_urls.as_deref());
        shapes::tags(check, self.tags.as_ref());
    }
}
