//! `CompleteResourceTokenAuth`: the person in front of the application is the one who consented.

use serde::{Deserialize, Serialize};

use super::shapes::{self, UserIdentifier};
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Confirms that the person in front of the application is the one who consented; only then is the
    /// authorization code exchanged. Repeating it with the same person and handle changes nothing.
    CompleteResourceTokenAuth: "bedrock-agentcore" "/identities/CompleteResourceTokenAuth" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The artefact by which the workload access token was minted, for the person now present.
    pub user_identifier: UserIdentifier,
    /// What came back to the return URL as `session_id`.
    pub session_uri: String,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        check.nested("userIdentifier", |check| self.user_identifier.validate(check));
        shapes::request_uri(check, "sessionUri", &self.session_uri);
    }
}
