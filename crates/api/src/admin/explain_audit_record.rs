//! `ExplainAuditRecord`: the chain from a login to a use of a token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shapes::id;
use crate::validate::{Checker, Validate};
use serde_json::Value;

operation! {
    /// The chain from a login to a use of a token.
    ExplainAuditRecord: "countersign" "/countersign/ExplainAuditRecord" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// A record, request or grant id.
    pub id: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The tree.
    pub explanation: Value,
    /// User keys of the people behind the tree's grants, by grant id, as far as the grants are stored: the records have
    /// pseudonyms.
    #[serde(default)]
    pub user_keys: BTreeMap<String, String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "id", &self.id);
    }
}
