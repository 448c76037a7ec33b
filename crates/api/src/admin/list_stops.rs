//! `ListStops`: lists what is stopped.

use serde::{Deserialize, Serialize};

use super::shapes::{Stopped, SubjectKind, page, subject};
use crate::validate::{Checker, Validate};

operation! {
    /// Lists what is stopped.
    ListStops: "countersign" "/countersign/ListStops" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only stops of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_kind: Option<SubjectKind>,
    /// Only the stop of this subject, named as for `Stop`; goes with `subjectKind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
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
    pub stops: Vec<Stopped>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        match (self.subject_kind, &self.subject) {
            (Some(kind), Some(name)) => subject(check, kind, name),
            (None, Some(_)) => check.require(false, "subject", "goes with subjectKind"),
            (_, None) => {}
        }
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
