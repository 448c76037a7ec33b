//! `GetAuditReport`: which tokens and keys were released, and what became of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{id, user};
use crate::data::{provider_name, workload_name};
use crate::validate::{Checker, Validate};

operation! {
    /// Which tokens and keys were released, and what became of them.
    GetAuditReport: "countersign" "/countersign/GetAuditReport" => 200
}

/// The request body. At least one of workload, user, provider and grant is asked for, or all of them by none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only for this person: published id (`idp:…`), user key (64 hex digits) or the caller's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only to this workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// Only of this credential provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider_name: Option<String>,
    /// Only of this grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// From then on, seconds since the epoch; by default 30 days before `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before then, seconds since the epoch; by default now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// `json` (the default), `csv` or `html`, a page to print or keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Most releases, 1 to 10000; by default 1000. The report says if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
    /// About how many records of each operation that releases something are looked at, oldest first, 1 to 1000000; by
    /// default all of the time. The report says how far it came (`searchedTo`) where that was not the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_records: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The report: an object, or the text of the format that was asked for.
    pub report: Value,
    /// There are more releases than `maxResults`: the report has the oldest.
    #[serde(default)]
    pub truncated: bool,
    /// What was released after this time is not in the report, since `maxRecords` was used up; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched_to: Option<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(name) = &self.user {
            user(check, "user", name);
        }
        if let Some(name) = &self.workload_name {
            workload_name(check, "workloadName", name);
        }
        if let Some(name) = &self.credential_provider_name {
            provider_name(check, "credentialProviderName", name);
        }
        if let Some(grant) = &self.grant_id {
            id(check, "grantId", grant);
        }
        for (member, time) in [("from", self.from), ("to", self.to)] {
            if let Some(time) = time {
                check.range(member, time, 0..=253_402_300_799);
            }
        }
        let ordered = !matches!((self.from, self.to), (Some(from), Some(to)) if from >= to);
        check.require(ordered, "from", "must be before to");
        if let Some(format) = &self.format {
            let known = ["json", "csv", "html"].contains(&format.as_str());
            check.require(known, "format", "must be one of json, csv, html");
        }
        if let Some(most) = self.max_results {
            check.range("maxResults", most, 1..=10_000);
        }
        if let Some(most) = self.max_records {
            check.range("maxRecords", most, 1..=1_000_000);
        }
    }
}
