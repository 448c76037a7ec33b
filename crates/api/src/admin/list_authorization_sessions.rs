//! `ListAuthorizationSessions`: lists authorization sessions, newest first.

use serde::{Deserialize, Serialize};

use super::shapes::{SessionState, only, page};
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Lists authorization sessions, newest first: those under way, and those that ended within the last day.
    ListAuthorizationSessions: "countersign" "/countersign/ListAuthorizationSessions" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only sessions of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only sessions of this workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// Only sessions at this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider_name: Option<String>,
    /// Only sessions in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SessionState>,
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
    pub sessions: Vec<Session>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// An authorization session, without anything by which one could act in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The public record id, which audit records carry; never the session URI.
    pub session_id: String,
    /// The agent that asked.
    pub workload_name: String,
    /// The service.
    pub credential_provider_name: String,
    /// The person's user key, 64 hex digits.
    pub user_key: String,
    /// The login in which it was asked for, where a gateway of ours said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// How far it is.
    pub state: SessionState,
    /// Why it ended, from a closed list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The vendor's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The grant it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// When it was asked for.
    pub created_time: EpochSeconds,
    /// When it expires, while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EpochSeconds>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        only(
            check,
            self.user.as_deref(),
            self.workload_name.as_deref(),
            self.credential_provider_name.as_deref(),
        );
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
