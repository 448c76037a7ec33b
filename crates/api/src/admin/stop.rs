//! `Stop`: stops a user, workload, provider, principal or the account within a second, on every replica.

use serde::{Deserialize, Serialize};

use super::shapes::{LiveToken, Stopped, SubjectKind, subject};
use crate::EpochSeconds;
use crate::validate::pattern;
use crate::validate::{Checker, Validate};

// Every grant of an account may have to end, and the trail to be searched: what is cut off is in force, and recorded as
// failed.
operation! {
    /// Stops a user, workload, provider, principal or the account within a second, on every replica.
    Stop: "countersign" "/countersign/Stop" => 200; 10 min
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What kind of subject.
    pub subject_kind: SubjectKind,
    /// Which: a user as published id (`idp:…`), user key (64 hex digits) or the caller's own id; else a name; for the account its id.
    pub subject: String,
    /// Why, for the record; at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether to end the grants that tokens were released from, and withdraw those tokens at the services. Not undone
    /// by `Start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_tokens: Option<bool>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The stop.
    pub stop: Stopped,
    /// Tokens and API keys already released that may still be good, up to 1000; with `revokeTokens` those that belong to
    /// a grant are being withdrawn.
    pub live_tokens: Vec<LiveToken>,
    /// There are more than are listed.
    #[serde(default)]
    pub truncated: bool,
    /// Since when releases on record were looked at, where that is not all of the time. What was released before is
    /// listed only where it is the present token of a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched_from: Option<EpochSeconds>,
    /// How many grants were ended because of `revokeTokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants_revoked: Option<i64>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        subject(check, self.subject_kind, &self.subject);
        if let Some(reason) = &self.reason {
            check.text("reason", reason, 1..=256, &pattern::PRINTABLE);
        }
    }
}
