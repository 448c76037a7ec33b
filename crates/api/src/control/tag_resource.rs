//! `TagResource`: adds tags to a resource, or gives those it has other values.

use serde::{Deserialize, Serialize};

use super::shapes::{self, Tags};
pub use crate::operation::Empty as Output;
use crate::validate::{Checker, Validate};

operation! {
    /// Adds tags to a resource, or gives those it has other values.
    TagResource: "bedrock-agentcore" "/tags/{resourceArn}" => 204
}

/// The request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The resource, 20 to 1011 characters; in the path.
    pub resource_arn: String,
    /// At most 50.
    pub tags: Tags,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::taggable(check, &self.resource_arn);
        shapes::tags(check, Some(&self.tags));
    }
}
