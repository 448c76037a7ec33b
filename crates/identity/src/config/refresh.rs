//! The `[identity.refresh]` table: how patient the refresh ledger (design D14) is.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// How refreshes are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshConfig {
    /// How long a token endpoint may take to answer a refresh, milliseconds, 500 to 20000. As long again is waited
    /// before anybody looks into what became of a refresh without an answer.
    pub timeout_ms: u64,
    /// How long a replica that died keeps others from a grant, milliseconds, 500 to 20000; one that lives renews its
    /// lease three times in this. Must be far above the clock skew between replicas.
    pub lease_ms: u64,
    /// Servers that take a used refresh token again for a while, so that a lost answer can be asked for again. The
    /// templates of the vendors know theirs.
    pub reuse_grace: Vec<ReuseGrace>,
}

/// What an operator knows about an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReuseGrace {
    /// Its exact issuer.
    pub issuer: String,
    /// How long a used refresh token is still taken, seconds, 1 to 3600.
    pub seconds: u32,
}

impl Default for RefreshConfig {
    /// 10 s for an answer, 12 s for a lease, no reuse.
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            lease_ms: 12_000,
            reuse_grace: Vec::new(),
        }
    }
}

impl RefreshConfig {
    pub(crate) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long the server of this issuer takes a used refresh token, as far as the operator says.
    pub(crate) fn grace(&self, issuer: &str) -> Option<Duration> {
        let known = self.reuse_grace.iter().find(|known| known.issuer == issuer)?;
        Some(Duration::from_secs(known.seconds.into()))
    }

    /// What is wrong with it.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        let patience = 500..=20_000;
        if !patience.contains(&self.timeout_ms) || !patience.contains(&self.lease_ms) {
            return Some("timeout_ms and lease_ms are 500 to 20000");
        }
        let known =
            |grace: &ReuseGrace| Url::parse(&grace.issuer).is_ok() && (1..=3600).contains(&grace.seconds);
        if !self.reuse_grace.iter().all(known) {
            return Some("reuse_grace names an issuer (a URL) and 1 to 3600 seconds");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_has_limits() {
        assert_eq!(RefreshConfig::default().broken_rule(), None);
        let with = |json: &str| serde_json::from_str::<RefreshConfig>(json).expect(json);
        let good = with(
            r#"{"timeout_ms": 500, "lease_ms": 500, "reuse_grace": [{"issuer": "https://a", "seconds": 60}]}"#,
        );
        assert_eq!(good.broken_rule(), None);
        assert_eq!(good.grace("https://a"), Some(Duration::from_mins(1)));
        assert_eq!(good.grace("https://a/"), None, "issuers are compared exactly");
        for bad in [
            r#"{"timeout_ms": 499}"#,
            r#"{"lease_ms": 499}"#,
            r#"{"lease_ms": 20001}"#,
            r#"{"reuse_grace": [{"issuer": "a", "seconds": 60}]}"#,
            r#"{"reuse_grace": [{"issuer": "https://a", "seconds": 0}]}"#,
        ] {
            assert!(with(bad).broken_rule().is_some(), "{bad}");
        }
    }
}
