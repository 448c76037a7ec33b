//! `UpdateAccessKey`: makes an access key sign, or not; effective within a second.

use serde::{Deserialize, Serialize};

use super::shapes::{AccessKeyStatus, id};
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Makes an access key sign, or not; effective within a second.
    UpdateAccessKey: "countersign" "/countersign/UpdateAccessKey" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The key.
    pub access_key_id: String,
    /// `Active` or `Inactive`.
    pub status: AccessKeyStatus,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "accessKeyId", &self.access_key_id);
    }
}
