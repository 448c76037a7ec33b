//! `ListUsers`: lists the people who have let an agent do something.

use serde::{Deserialize, Serialize};

use super::shapes::{page, user};
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// Lists the people who have let an agent do something, in the order of their user keys.
    ListUsers: "countersign" "/countersign/ListUsers" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Only this person: published user id, user key or the caller's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
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
    pub users: Vec<User>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A person, by what is known of their newest 100 grants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// 64 hex digits. Nothing that names the person is kept beside it.
    pub user_key: String,
    /// Their published user id (`idp:…`), where the person is recognisable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_user_id: Option<String>,
    /// Grants that have not ended.
    pub live_grants: i64,
    /// Whether there are more grants than were looked at.
    pub more_grants: bool,
    /// The agents that have them, at most 100.
    pub workload_names: Vec<String>,
    /// When they last consented.
    pub last_consent_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        if let Some(subject) = &self.user {
            user(check, "user", subject);
        }
        page(check, self.next_token.as_deref(), self.max_results, 100);
    }
}
