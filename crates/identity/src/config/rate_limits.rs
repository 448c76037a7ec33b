//! How often callers may ask.

use std::num::NonZeroU32;

use serde::Deserialize;

/// Requests a second that each replica answers, of operations of `bedrock-agentcore`; our own extension is never
/// limited, so that an operator can always stop whoever asks too often. Twice as many at once are taken after a quiet
/// second. AWS's default is 200 a second for each operation of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of an account; absent: any number.
    pub account_requests_per_second: Option<NonZeroU32>,
    /// For tokens and keys of a workload identity; absent: any number.
    pub workload_requests_per_second: Option<NonZeroU32>,
}
