//! `ExportAuditRecords`: every audit record once, in an order that never changes, for collectors that ask.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::validate::pattern;
use crate::validate::{Checker, Validate};

operation! {
    /// Every audit record once, in an order that never changes, for collectors that ask.
    ExportAuditRecords: "countersign" "/countersign/ExportAuditRecords" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What a record looks like: `record` (the default), `ocsf` or `cloudtrail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where the last answer ended; from the beginning when absent. Handing it in acknowledges what was before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Most records, 1 to 1000; by default 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The records. None: all that are under a checkpoint have been read, ask again in a few seconds.
    pub records: Vec<Value>,
    /// For the next call. It stays good until a backup is restored.
    pub cursor: String,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(format) = &self.format {
            let known = ["record", "ocsf", "cloudtrail"].contains(&format.as_str());
            check.require(known, "format", "must be one of record, ocsf, cloudtrail");
        }
        if let Some(cursor) = &self.cursor {
            check.text("cursor", cursor, 1..=128, &pattern::PRINTABLE);
        }
        if let Some(most) = self.max_results {
            check.range("maxResults", most, 1..=1000);
        }
    }
}
