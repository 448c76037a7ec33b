//! `CreatePrincipal`: makes a principal, which may do nothing until it has a policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shapes::{Principal, TrustPolicy, principal_name, principal_tags, trust_policy};
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
    /// Its tags, at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Makes it a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<TrustPolicy>,
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
        if let Some(tags) = &self.tags {
            principal_tags(check, tags);
        }
        if let Some(trust) = &self.trust_policy {
            check.nested("trustPolicy", |check| trust_policy(check, trust));
        }
    }
}
