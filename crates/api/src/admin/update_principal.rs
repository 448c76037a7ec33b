//! `UpdatePrincipal`: replaces a principal's tags, its trust policy, or both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shapes::{Principal, TrustPolicy, principal_name, principal_tags, trust_policy};
use crate::validate::{Checker, Validate};

operation! {
    /// Replaces a principal's tags, its trust policy, or both.
    UpdatePrincipal: "countersign" "/countersign/UpdatePrincipal" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The principal's name, 1 to 64 characters.
    pub principal_name: String,
    /// The tags in place of those it has, at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// The trust policy in place of the one it has; one that trusts nobody ends every use as a role.
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
