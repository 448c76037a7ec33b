//! `DeleteAccessKey`: removes an access key; effective within a second.

use serde::{Deserialize, Serialize};

use super::shapes::id;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Removes an access key; effective within a second.
    DeleteAccessKey: "countersign" "/countersign/DeleteAccessKey" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The key.
    pub access_key_id: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        id(check, "accessKeyId", &self.access_key_id);
    }
}
