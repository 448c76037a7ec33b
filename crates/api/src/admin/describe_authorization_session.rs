//! `DescribeAuthorizationSession`: what a page may tell a person about an authorization session of theirs.

use serde::{Deserialize, Serialize};

use super::shapes::SessionState;
use crate::data::{UserIdentifier, request_uri};
use crate::sensitive::Sensitive;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// What a page may tell a person about an authorization session of theirs.
    DescribeAuthorizationSession: "countersign" "/countersign/DescribeAuthorizationSession" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// A session URI or the completion handle that came back as `session_id`.
    pub session_uri: String,
    /// The person now present; answers only if they started the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_identifier: Option<UserIdentifier>,
    /// The browser's cookie; answers if that browser started the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<Sensitive>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The agent that asked.
    pub workload_name: String,
    /// The third-party service.
    pub credential_provider_name: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// What the service gave, which the person may have narrowed there; once completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_scopes: Option<Vec<String>>,
    /// How far it is.
    pub state: SessionState,
    /// Why it ended, from a closed list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The vendor's error code, if the vendor refused (`access_denied`, `invalid_grant`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The account that was connected, by the service's own id; once completed, or while it waits to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The same account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The account of the same service whose place it has taken, or would take once confirmed, by the service's own id
    /// (design D12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_account_id: Option<String>,
    /// That account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_account_name: Option<String>,
    /// When it expires, or expired.
    pub expires_at: EpochSeconds,
    /// Whether the start page required this person's own login; only then may the binding page confirm by itself.
    pub person_bound: bool,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        request_uri(check, "sessionUri", &self.session_uri);
        if let Some(identifier) = &self.user_identifier {
            check.nested("userIdentifier", |check| identifier.validate(check));
        }
        if let Some(browser) = &self.browser {
            check.length("browser", browser.expose(), 1..=256);
        }
        let proof = self.user_identifier.is_some() || self.browser.is_some();
        check.require(proof, "userIdentifier", "must be set unless browser is");
    }
}
