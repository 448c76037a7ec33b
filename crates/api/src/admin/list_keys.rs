//! `ListKeys`: lists the keys of the account, without the keys themselves.

use serde::{Deserialize, Serialize};

use super::shapes::{Key, page};
use crate::validate::{Checker, Validate};

operation! {
    /// Lists the keys of the account, without the keys themselves.
    ListKeys: "countersign" "/countersign/ListKeys" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Whether to leave out how many values a replaced key still holds: in a large vault counting takes seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_sealed_values: Option<bool>,
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
    pub keys: Vec<Key>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
