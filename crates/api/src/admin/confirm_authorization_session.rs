//! `ConfirmAuthorizationSession`: the second answer of a person who has connected another account than before.

use serde::{Deserialize, Serialize};

use super::shapes::SessionState;
use crate::data::{UserIdentifier, request_uri};
use crate::sensitive::Sensitive;
use crate::validate::{Checker, Validate};

operation! {
    /// The second answer of a person who has connected another account than before (account setting
    /// `account_change = "confirm"`). Only then is the new grant served, and the earlier one ended; or the other way
    /// round. A session that waits for no such answer refuses it, one that has had its answer too.
    ConfirmAuthorizationSession: "countersign" "/countersign/ConfirmAuthorizationSession" => 200
}

/// What the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccountDecision {
    /// The account that was connected before. The new grant ends and is revoked at the service.
    #[default]
    Keep,
    /// The account that was connected just now. The grants of the other end and are revoked at the service.
    Use,
}

impl AccountDecision {
    /// Its spelling on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "KEEP",
            Self::Use => "USE",
        }
    }
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What came back to the return URL as `session_id`.
    pub session_uri: String,
    /// The person now present: the one for whom the session was made, or nothing happens.
    pub user_identifier: UserIdentifier,
    /// The browser's cookie: the browser that started the session, or nothing happens.
    pub browser: Sensitive,
    /// What the person answered.
    pub decision: AccountDecision,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Where the session stands now: `COMPLETED` or `DENIED`.
    pub state: SessionState,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        request_uri(check, "sessionUri", &self.session_uri);
        check.nested("userIdentifier", |check| self.user_identifier.validate(check));
        check.length("browser", self.browser.expose(), 1..=256);
    }
}
