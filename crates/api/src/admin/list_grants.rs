//! `ListGrants`: lists grants, newest first.

use serde::{Deserialize, Serialize};

use super::shapes::{Grant, page, user};
use crate::data::{provider_name, workload_name};
use crate::validate::{Checker, Validate};

operation! {
    /// Lists grants, newest first.
    ListGrants: "countersign" "/countersign/ListGrants" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only grants of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only grants to this workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// Only grants at this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider_name: Option<String>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Most items of a page, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The page.
    pub grants: Vec<Grant>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(subject) = &self.user {
            user(check, "user", subject);
        }
        if let Some(name) = &self.workload_name {
            workload_name(check, "workloadName", name);
        }
        if let Some(name) = &self.credential_provider_name {
            provider_name(check, "credentialProviderName", name);
        }
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
