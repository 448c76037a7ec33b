//! `PutReturnHandle`: chooses what a workload identity's return URLs receive as `session_id`.

use serde::{Deserialize, Serialize};

use crate::data::workload_name;
use crate::operation::Empty;
use crate::validate::{Checker, Validate};

operation! {
    /// Chooses what a workload identity's return URLs receive as `session_id`.
    PutReturnHandle: "countersign" "/countersign/PutReturnHandle" => 200
}

/// What comes back to the return URL as `session_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReturnHandle {
    /// A completion handle that only the browser that came back from the provider has seen.
    #[default]
    Fresh,
    /// The session URI itself, as AgentCore Identity does. Whoever started a session can then complete what
    /// a lured victim consented to: for applications that compare the two, and know what they do.
    SessionUri,
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The workload identity's name, 3 to 255 characters.
    pub workload_name: String,
    /// What comes back.
    pub return_handle: ReturnHandle,
}

/// The response body.
pub type Output = Empty;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        workload_name(check, "workloadName", &self.workload_name);
    }
}
