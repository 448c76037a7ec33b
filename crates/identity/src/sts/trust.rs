//! Whom a role trusts.

use countersign_api::admin::{TrustPolicy, TrustedToken};

use crate::policy::like;

/// The entry of `trust` by which a token of `issuer` for `audiences` about `subject` is trusted, or the audit reason
/// why there is none. Issuer and audience are compared exactly.
pub(crate) fn find<'t>(
    trust: &'t TrustPolicy,
    issuer: &str,
    audiences: &[&str],
    subject: &str,
) -> Result<&'t TrustedToken, &'static str> {
    let mut reason = "issuer_not_trusted";
    for entry in trust.trusted.iter().filter(|entry| entry.issuer == issuer) {
        if !audiences.contains(&entry.audience.as_str()) {
            if reason == "issuer_not_trusted" {
                reason = "audience_not_trusted";
            }
        } else if like(&entry.subject, subject) {
            return Ok(entry);
        } else {
            reason = "subject_not_trusted";
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(entries: &[(&str, &str, &str)]) -> TrustPolicy {
        let trusted = entries.iter().map(|(issuer, audience, subject)| TrustedToken {
            issuer: (*issuer).to_owned(),
            audience: (*audience).to_owned(),
            subject: (*subject).to_owned(),
        });
        TrustPolicy {
            trusted: trusted.collect(),
            max_session_duration: 3600,
        }
    }

    #[test]
    fn all_three_hold_in_one_entry() {
        let trust = trust(&[("https://a", "x", "repo:one/*"), ("https://a", "y", "repo:two")]);
        let found = |issuer, audiences: &[&str], subject| {
            find(&trust, issuer, audiences, subject).map(|entry| entry.audience.as_str())
        };
        assert_eq!(found("https://a", &["z", "x"], "repo:one/main"), Ok("x"));
        assert_eq!(found("https://a", &["x"], "repo:two"), Err("subject_not_trusted"));
        assert_eq!(
            found("https://a", &["y"], "repo:one/main"),
            Err("subject_not_trusted")
        );
        assert_eq!(
            found("https://a", &["X"], "repo:one/main"),
            Err("audience_not_trusted")
        );
        assert_eq!(found("https://a", &[], "repo:two"), Err("audience_not_trusted"));
        assert_eq!(found("https://a/", &["y"], "repo:two"), Err("issuer_not_trusted"));
        assert_eq!(
            found("https://a", &["y"], "repo:two/"),
            Err("subject_not_trusted")
        );
    }
}
