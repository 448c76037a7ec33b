//! `ListTagsForResource`: the tags of a resource.

use serde::{Deserialize, Serialize};

use super::shapes::{self, Tags};
use crate::validate::{Checker, Validate};

operation! {
    /// The tags of a resource.
    ListTagsForResource: "bedrock-agentcore" GET "/tags/{resourceArn}" => 200
}

/// The request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The resource, 20 to 1011 characters; in the path.
    pub resource_arn: String,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its tags; empty where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::taggable(check, &self.resource_arn);
    }
}
