//! `Start`: lifts a stop.

use serde::{Deserialize, Serialize};

use super::shapes::{SubjectKind, subject};
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Lifts a stop.
    Start: "countersign" "/countersign/Start" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What kind of subject.
    pub subject_kind: SubjectKind,
    /// Which: a user as published id (`idp:…`), user key (64 hex digits) or the caller's own id; else a name; for the account its id.
    pub subject: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        subject(check, self.subject_kind, &self.subject);
    }
}
