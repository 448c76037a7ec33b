//! `ListGrants`: lists grants, newest first.

use serde::{Deserialize, Serialize};

use super::shapes::{Grant, only, page};
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
    /// Only live grants that need somebody: the person has to consent again, a refresh failed, or its outcome is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ailing: Option<bool>,
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
        only(
            check,
            self.user.as_deref(),
            self.workload_name.as_deref(),
            self.credential_provider_name.as_deref(),
        );
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
