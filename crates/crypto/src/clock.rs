//! Time, injected. Everything above reads the time through [`Clock`], so that every expiry is testable.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since the Unix epoch, the unit of every stored and hashed time.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From whole seconds since the epoch, saturating.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole seconds since the epoch, rounded down (the `NumericDate` of a JWT).
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the epoch with their fraction, as AWS JSON APIs print times.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970 stay below 2^53 until the year 2255"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This time minus `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, with as many digits of the second as needed: `2026-01-01T00:00:00.25Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.jiff().to_string()
    }

    /// The `X-Amz-Date` form of Signature Version 4: `20260101T000000Z`.
    #[must_use]
    pub fn amz_date(self) -> String {
        self.jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Reads the `X-Amz-Date` form; `None` for any other spelling.
    #[must_use]
    pub fn parse_amz_date(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' || !digits(0..8) || !digits(9..15) {
            return None;
        }
        let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
        Some(Self(timestamp.as_microsecond()))
    }

    /// The `Date`-style form of RFC 9110 section 5.6.7: `Thu, 01 Jan 2026 00:00:00 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        self.jiff().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    fn jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells the time. Production code holds a [`SharedClock`] and never asks the system directly.
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// A clock shared by the parts of one process.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp(micros(since_epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spellings() {
        let time = Timestamp::from_secs(1_440_938_160); // 2015-08-30T12:36:00Z, of AWS's signing examples
        assert_eq!(time.amz_date(), "20150830T123600Z");
        assert_eq!(time.to_rfc3339(), "2015-08-30T12:36:00Z");
        assert_eq!(time.http_date(), "Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(Timestamp::parse_amz_date("20150830T123600Z"), Some(time));
        for wrong in [
            "",
            "20150830T123600",
            "2015-08-30T12:36:00Z",
            "20151330T123600Z",
            "20150830t123600z",
            "+0150830T123600Z",
        ] {
            assert_eq!(Timestamp::parse_amz_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let time = Timestamp::from_secs(10);
        assert_eq!(time.since(Timestamp::from_secs(20)), Duration::ZERO);
        assert_eq!(time.plus(Duration::from_millis(1)).as_micros(), 10_001_000);
        assert_eq!(time.plus(Duration::MAX).as_micros(), i64::MAX);
        assert_eq!(Timestamp::from_micros(-1).as_secs(), -1);
        assert!((Timestamp::from_micros(1_500_000).as_secs_f64() - 1.5).abs() < f64::EPSILON);
    }
}
