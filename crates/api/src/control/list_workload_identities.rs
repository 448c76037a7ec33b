//! `ListWorkloadIdentities`: lists workload identities by name.

use serde::{Deserialize, Serialize};

use super::shapes;
use crate::validate::{Checker, Validate};

operation! {
    /// Lists workload identities by name.
    ListWorkloadIdentities: "bedrock-agentcore" "/identities/ListWorkloadIdentities" => 200
}

/// One item of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its name, 3 to 255 characters.
    pub name: String,
    /// Its ARN.
    pub workload_identity_arn: String,
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Most items of a page, 1 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The page.
    pub workload_identities: Vec<Item>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::page(check, self.next_token.as_deref(), self.max_results, 20);
    }
}
