//! `RevokeGrant`: ends a grant here, and at the vendor where it can be.

use serde::{Deserialize, Serialize};

use super::shapes::{Grant, id};
use crate::validate::{Checker, Validate};

operation! {
    /// Ends a grant here, and at the vendor where it can be.
    RevokeGrant: "countersign" "/countersign/RevokeGrant" => 200
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
    /// The grant as it now is.
    pub grant: Grant,
    /// Whether the vendor confirmed the revocation.
    pub revoked_at_provider: bool,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "grantId", &self.grant_id);
    }
}
