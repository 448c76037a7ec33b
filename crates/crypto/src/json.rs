//! JSON that means one thing: duplicate members are refused.

use serde_json::Value;

/// Why a text is not strict JSON.
#[derive(Debug, thiserror::Error)]
#[error("not JSON, or a member is repeated: {0}")]
pub struct StrictJsonError(#[from] serde_json::Error);

/// Parses JSON; a member name that occurs twice in one object is an error, at any depth.
pub fn parse_strict_json(json: &[u8]) -> Result<Value, StrictJsonError> {
    todo!()
}
