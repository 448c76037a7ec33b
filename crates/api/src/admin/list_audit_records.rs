//! `ListAuditRecords`: lists audit records, oldest first.

use serde::{Deserialize, Serialize};

use super::shapes::{id, page};
use crate::validate::pattern;
use crate::validate::{Checker, Validate};
use serde_json::Value;

operation! {
    /// Lists audit records, oldest first.
    ListAuditRecords: "countersign" "/countersign/ListAuditRecords" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only records after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only records of this action, such as `GetResourceOauth2Token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only records of this outcome: `done`, `refused` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The newest records instead of the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<bool>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Most items of a page, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The page.
    pub records: Vec<Value>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(record) = &self.after {
            id(check, "after", record);
        }
        if let Some(action) = &self.action {
            check.text("action", action, 1..=128, &pattern::ID);
        }
        if let Some(outcome) = &self.outcome {
            let known = ["done", "refused", "failed"].contains(&outcome.as_str());
            check.require(known, "outcome", "must be one of done, refused, failed");
        }
        page(check, self.next_token.as_deref(), self.max_results, 1000);
    }
}
