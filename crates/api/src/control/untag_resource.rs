//! `UntagResource`: removes tags from a resource.

use serde::{Deserialize, Serialize};

use super::shapes;
pub use crate::operation::Empty as Output;
use crate::validate::{Checker, Validate, pattern};

operation! {
    /// Removes tags from a resource.
    UntagResource: "bedrock-agentcore" DELETE "/tags/{resourceArn}" ? "tagKeys" => 204
}

/// The request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The resource, 20 to 1011 characters; in the path.
    pub resource_arn: String,
    /// At most 200 keys; in the query.
    pub tag_keys: Vec<String>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::taggable(check, &self.resource_arn);
        check.count("tagKeys", self.tag_keys.len(), 0..=200);
        check.each("tagKeys", &self.tag_keys, |check, member, key| {
            check.text(member, key, 1..=128, &pattern::TAG);
        });
    }
}
