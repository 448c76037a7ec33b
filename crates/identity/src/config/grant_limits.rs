//! The `[identity.grant_limits]` table: how long a consent is good for at most.

use serde::Deserialize;

/// When grants of an account end by themselves. Each limit that is set holds; the person sees the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrantLimits {
    /// Days after the consent, 1 to 3650.
    pub max_age_days: Option<u32>,
    /// Days after the last token was released from it, or the consent where none was; 1 to 3650.
    pub unused_days: Option<u32>,
    /// Everything that was consented to before this time (RFC 3339) ends at it.
    pub reconsent_date: Option<jiff::Timestamp>,
}

impl GrantLimits {
    /// What is wrong with it.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        let days = |days: Option<u32>| days.is_none_or(|days| (1..=3650).contains(&days));
        (!days(self.max_age_days) || !days(self.unused_days))
            .then_some("max_age_days and unused_days are 1 to 3650")
    }
}
