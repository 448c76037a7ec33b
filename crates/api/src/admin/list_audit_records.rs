//! `ListAuditRecords`: lists audit records, oldest first.

use serde::{Deserialize, Serialize};

use super::shapes::{id, page, user};
use crate::data::{provider_name, workload_name};
use crate::time::EpochSeconds;
use crate::validate::pattern;
use crate::validate::{Checker, Validate};
use serde_json::Value;

operation! {
    /// Lists audit records, oldest first.
    ListAuditRecords: "countersign" "/countersign/ListAuditRecords" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only records after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only records of this action, such as `GetResourceOauth2Token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only records of this outcome: `done`, `refused` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Only refusals and failures for this reason, such as `wrong_person`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only records about this workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// Only records about this credential provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider_name: Option<String>,
    /// Only records about this grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// Only records of this caller, by ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Only records of this login session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Only records about this authorization session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Only records of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Only records about this person: published id (`idp:…`), user key (64 hex digits) or the caller's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only records from then on, seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Only records before then, seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// The newest records instead of the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<bool>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Most items of a page, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The page. It may be short, even empty, and not the last: `nextToken` says whether there is more to look at.
    pub records: Vec<Value>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// How far was looked, where a short page is not the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched_to: Option<EpochSeconds>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(record) = &self.after {
            id(check, "after", record);
        }
        if let Some(action) = &self.action {
            check.text("action", action, 1..=128, &pattern::ID);
        }
        if let Some(outcome) = &self.outcome {
            let known = ["done", "refused", "failed"].contains(&outcome.as_str());
            check.require(known, "outcome", "must be one of done, refused, failed");
        }
        if let Some(reason) = &self.reason {
            check.text("reason", reason, 1..=128, &pattern::ID);
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
        for (member, value) in [
            ("principal", &self.principal),
            ("sid", &self.sid),
            ("sessionId", &self.session_id),
            ("requestId", &self.request_id),
        ] {
            if let Some(value) = value {
                check.text(member, value, 1..=2048, &pattern::PRINTABLE);
            }
        }
        if let Some(name) = &self.user {
            user(check, "user", name);
        }
        for (member, time) in [("from", self.from), ("to", self.to)] {
            if let Some(time) = time {
                check.range(member, time, 0..=253_402_300_799);
            }
        }
        page(check, self.next_token.as_deref(), self.max_results, 1000);
    }
}
