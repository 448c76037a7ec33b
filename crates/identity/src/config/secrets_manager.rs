//! `[identity.secrets_manager]`: whose external secrets may be read, and where.

use countersign_crypto::SecretString;
use serde::Deserialize;
use url::Url;

/// Names of the secrets that this service, or AWS's original of it, makes: never eligible (design D22).
pub(crate) const OWN_SECRETS: [&str; 2] = ["bedrock-agentcore-identity!", "countersign/"];

/// The AWS Secrets Manager, or what speaks like it, that holds customers' secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsManagerConfig {
    /// Its URL, such as `https://secretsmanager.us-east-1.amazonaws.com`. At an internal address, or by `http`, it
    /// also stands in `outbound_allow`.
    pub endpoint: Url,
    /// The region of the signature.
    pub region: String,
    /// The access key it is read with; it needs `secretsmanager:GetSecretValue` and nothing else.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
    /// With temporary credentials.
    #[serde(default)]
    pub session_token: Option<SecretString>,
    /// How long a secret that was read is used, seconds, 1 to 86,400. A rotation is picked up within this time, or
    /// at once when a provider refuses the older secret.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
    /// Which account may name which secrets. Whatever is not here is refused.
    #[serde(default)]
    pub allow: Vec<ExternalSecretsAllowed>,
}

/// Secrets that an account's providers may name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSecretsAllowed {
    /// The account, 12 digits.
    pub account: String,
    /// Exact secret ids (names or ARNs) as the provider names them; `*` at the end stands for any rest.
    pub secrets: Vec<String>,
}

impl SecretsManagerConfig {
    /// Whether `account` may name `secret_id`.
    pub(crate) fn allows(&self, account: &str, secret_id: &str) -> bool {
        !is_own(secret_id)
            && self
                .allow
                .iter()
                .filter(|allowed| allowed.account == account)
                .flat_map(|allowed| &allowed.secrets)
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => secret_id.starts_with(prefix),
                    None => secret_id == pattern,
                })
    }

    /// The rule that this breaks, if any.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        let patterns = || self.allow.iter().flat_map(|allowed| &allowed.secrets);
        // A pattern that matches everything would match ours under another name.
        let open = |pattern: &String| pattern.trim_end_matches('*').is_empty();
        let inner = |pattern: &String| pattern.strip_suffix('*').unwrap_or(pattern).contains('*');
        if !(1..=86_400).contains(&self.cache_seconds) {
            Some("cache_seconds is 1 to 86400")
        } else if patterns().any(open) {
            Some("allow.secrets: a bare `*` would make every secret readable")
        } else if patterns().any(inner) {
            Some("allow.secrets: `*` stands at the end only")
        } else if patterns().any(|pattern| is_own(pattern)) {
            Some("allow.secrets: the service's own secrets are never eligible")
        } else {
            None
        }
    }
}

/// By name, or by the name in an ARN.
fn is_own(secret_id: &str) -> bool {
    let name = match secret_id.split_once(":secret:") {
        Some((_, name)) => name,
        None => secret_id,
    };
    OWN_SECRETS.iter().any(|prefix| name.starts_with(prefix))
}

fn cache_seconds() -> u64 {
    300
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(secrets: &[&str]) -> SecretsManagerConfig {
        serde_json::from_value(serde_json::json!({
            "endpoint": "https://secretsmanager.us-east-1.amazonaws.com",
            "region": "us-east-1",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "secret",
            "allow": [{"account": "123456789012", "secrets": secrets}],
        }))
        .expect("a configuration")
    }

    #[test]
    fn only_what_is_listed_for_the_account_and_never_ours() {
        let partner = "arn:aws:secretsmanager:us-east-1:123456789012:secret:partners/x-AbCdEf";
        let ours = "arn:aws:secretsmanager:us-east-1:123456789012:secret:countersign/db-AbCdEf";
        let config = config(&[
            "partners/*",
            "exact",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:*",
        ]);
        for (secret, allowed) in [
            ("partners/x", true),
            ("exact", true),
            ("exactly", false),
            (partner, true),
            (ours, false),
            ("countersign/db", false),
            ("bedrock-agentcore-identity!default/oauth2/x-AbCdEf", false),
            ("other", false),
            ("", false),
        ] {
            assert_eq!(config.allows("123456789012", secret), allowed, "{secret}");
            assert!(
                !config.allows("999999999999", secret),
                "{secret} of another account"
            );
        }
        assert_eq!(config.broken_rule(), None);
    }

    #[test]
    fn patterns_that_would_open_everything_are_refused() {
        for secrets in [&["*"][..], &["**"], &["a*b"], &["countersign/db"], &[""]] {
            assert!(config(secrets).broken_rule().is_some(), "{secrets:?}");
        }
    }
}
