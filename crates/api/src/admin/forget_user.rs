//! `ForgetUser`: erases what is stored about a person. It does not lift a stop.

use serde::{Deserialize, Serialize};

use super::shapes::user;
use crate::validate::{Checker, Validate};

// Each grant ends by itself, and what is cut off is not erased.
operation! {
    /// Erases what is stored about a person. It does not lift a stop.
    ForgetUser: "countersign" "/countersign/ForgetUser" => 200; 10 min
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The person: published id (`idp:…`), user key (64 hex digits) or the caller's own id.
    pub user: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Grants ended; they are being withdrawn at the services.
    pub grants_revoked: i64,
    /// Grants erased, those that had ended before too.
    pub grants_erased: i64,
    /// Whether audit records named the person by a key, which is destroyed: nobody can read their details any more.
    pub audit_details_erased: bool,
    /// Every user key that was theirs here. The gateway's trail, which has their names, knows them by the same keys.
    pub user_keys: Vec<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        user(check, "user", &self.user);
    }
}
