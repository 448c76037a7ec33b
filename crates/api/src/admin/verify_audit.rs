//! `VerifyAudit`: checks the audit chains against themselves, their checkpoints and, if given, checkpoints kept elsewhere.

use serde::{Deserialize, Serialize};

use crate::validate::{Checker, Validate};

// A million records take most of a minute.
operation! {
    /// Checks the audit chains against themselves, their checkpoints and, if given, checkpoints kept elsewhere.
    VerifyAudit: "countersign" "/countersign/VerifyAudit" => 200; 10 min
}

/// A place where the log is not what was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Where: a record, a checkpoint, a writer.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Lines of a checkpoint file, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Vec<String>>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Whether no fault was found.
    pub ok: bool,
    /// How many records were checked.
    pub records: u64,
    /// The last record that a checkpoint covers, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchored_to: Option<String>,
    /// What was found.
    pub faults: Vec<Fault>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        let lines = self.against.as_deref().unwrap_or_default();
        check.count("against", lines.len(), 0..=10_000);
        check.each("against", lines, |check, member, line| {
            check.length(member, line, 1..=65_536);
        });
    }
}
