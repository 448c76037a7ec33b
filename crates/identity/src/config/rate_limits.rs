//! How often callers may ask.

use std::num::NonZeroU32;

use serde::Deserialize;

/// Requests a second that each replica answers, of operations of `bedrock-agentcore`; our own extension is never
/// limited, so that an operator can always stop whoever asks too often. A second's worth is taken at once after a quiet
/// second. The calls of AWS STS count for the account, once they are known to be its own. AWS's default is 200 a second for each operation of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of an account; absent: any number.
    pub account_requests_per_second: Option<NonZeroU32>,
    /// For tokens and keys of a workload identity; absent: any number.
    pub workload_requests_per_second: Option<NonZeroU32>,
    /// Refusals before authentication of one network source (an IPv4 address, an IPv6 /64), after which it is answered
    /// 429 unless it names an access key that is in use; 0: any number. Default 100.
    pub source_refusals_per_second: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            account_requests_per_second: None,
            workload_requests_per_second: None,
            source_refusals_per_second: 100,
        }
    }
}
