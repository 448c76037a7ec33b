//! `GetGrant`: describes a grant.

use serde::{Deserialize, Serialize};

use super::shapes::{Grant, id};
use crate::validate::{Checker, Validate};

operation! {
    /// Describes a grant.
    GetGrant: "countersign" "/countersign/GetGrant" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The grant.
    pub grant_id: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The grant.
    pub grant: Grant,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "grantId", &self.grant_id);
    }
}
