//! Timestamps as the wire carries them.

use serde::{Deserialize, Serialize};

/// Seconds since the Unix epoch with a fraction: a JSON number. The JavaScript and Rust SDKs fail on any
/// other form.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochSeconds(f64);

impl EpochSeconds {
    /// From microseconds since the epoch, to the millisecond as AWS gives it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds fit an f64 exactly for 285,000 years"
    )]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.div_euclid(1000) as f64 / 1000.0)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_json_number_to_the_millisecond() {
        let time = EpochSeconds::from_micros(1_795_456_800_123_456);
        assert_eq!(serde_json::to_string(&time).expect("a number"), "1795456800.123");
    }
}
