//! Amazon Resource Names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `arn:partition:service:region:account:resource`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub partition: Cow<'static, str>,
    /// Such as `bedrock-agentcore`.
    pub service: Cow<'static, str>,
    /// Empty for global services.
    pub region: String,
    /// Twelve digits, or empty.
    pub account: String,
    /// The rest; may hold colons and slashes.
    pub resource: String,
}

/// The text is not an ARN.
#[derive(Debug, thiserror::Error)]
#[error("expected arn:partition:service:region:account:resource")]
pub struct InvalidArn;

impl Arn {
    fn new(service: &'static str, region: &str, account: &str, resource: String) -> Self {
        Self {
            partition: Cow::Borrowed("aws"),
            service: Cow::Borrowed(service),
            region: region.to_owned(),
            account: account.to_owned(),
            resource,
        }
    }

    /// The one workload identity directory of an account and region.
    #[must_use]
    pub fn directory(region: &str, account: &str) -> Self {
        Self::new(
            "bedrock-agentcore",
            region,
            account,
            "workload-identity-directory/default".to_owned(),
        )
    }

    /// A workload identity.
    #[must_use]
    pub fn workload_identity(region: &str, account: &str, name: &str) -> Self {
        let resource = format!("workload-identity-directory/default/workload-identity/{name}");
        Self::new("bedrock-agentcore", region, account, resource)
    }

    /// The one token vault of an account and region.
    #[must_use]
    pub fn token_vault(region: &str, account: &str) -> Self {
        Self::new(
            "bedrock-agentcore",
            region,
            account,
            "token-vault/default".to_owned(),
        )
    }

    /// An OAuth2 credential provider. The model's pattern says service `acps`; real ARNs do not.
    #[must_use]
    pub fn oauth2_provider(region: &str, account: &str, name: &str) -> Self {
        let resource = format!("token-vault/default/oauth2credentialprovider/{name}");
        Self::new("bedrock-agentcore", region, account, resource)
    }

    /// An API-key credential provider.
    #[must_use]
    pub fn api_key_provider(region: &str, account: &str, name: &str) -> Self {
        let resource = format!("token-vault/default/apikeycredentialprovider/{name}");
        Self::new("bedrock-agentcore", region, account, resource)
    }

    /// The secret behind an OAuth2 provider's `clientSecretArn`; `suffix` is six characters, as Secrets
    /// Manager adds them.
    #[must_use]
    pub fn client_secret(region: &str, account: &str, provider: &str, suffix: &str) -> Self {
        let resource = format!("secret:bedrock-agentcore-identity!default/oauth2/{provider}-{suffix}");
        Self::new("secretsmanager", region, account, resource)
    }

    /// The secret behind an API-key provider's `apiKeySecretArn`, likewise.
    #[must_use]
    pub fn api_key_secret(region: &str, account: &str, provider: &str, suffix: &str) -> Self {
        let resource = format!("secret:bedrock-agentcore-identity!default/apikey/{provider}-{suffix}");
        Self::new("secretsmanager", region, account, resource)
    }

    /// A principal.
    #[must_use]
    pub fn principal(account: &str, name: &str) -> Self {
        Self::new("iam", "", account, format!("user/{name}"))
    }

    /// A principal that may be assumed as a role.
    #[must_use]
    pub fn role(account: &str, name: &str) -> Self {
        Self::new("iam", "", account, format!("role/{name}"))
    }

    /// A session of a role.
    #[must_use]
    pub fn assumed_role(account: &str, name: &str, session: &str) -> Self {
        Self::new("sts", "", account, format!("assumed-role/{name}/{session}"))
    }

    /// A grant (our extension).
    #[must_use]
    pub fn grant(region: &str, account: &str, id: &str) -> Self {
        Self::new("countersign", region, account, format!("grant/{id}"))
    }

    /// The account as a whole, as a resource of our extension operations.
    #[must_use]
    pub fn account(region: &str, account: &str) -> Self {
        Self::new("countersign", region, account, "account".to_owned())
    }
}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or(InvalidArn);
        if part()? != "arn" {
            return Err(InvalidArn);
        }
        let arn = Self {
            partition: part()?.to_owned().into(),
            service: part()?.to_owned().into(),
            region: part()?.to_owned(),
            account: part()?.to_owned(),
            resource: part()?.to_owned(),
        };
        let account = arn.account.is_empty()
            || (arn.account.len() == 12 && arn.account.bytes().all(|b| b.is_ascii_digit()));
        let filled = !arn.partition.is_empty() && !arn.service.is_empty() && !arn.resource.is_empty();
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if account && filled && printable {
            Ok(arn)
        } else {
            Err(InvalidArn)
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl Serialize for Arn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Arn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_give_the_documented_forms() {
        let (region, account) = ("us-east-1", "123456789012");
        for (arn, text) in [
            (
                Arn::workload_identity(region, account, "agent-one"),
                "arn:aws:bedrock-agentcore:us-east-1:123456789012:workload-identity-directory/default/workload-identity/agent-one",
            ),
            (
                Arn::oauth2_provider(region, account, "my_google"),
                "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default/oauth2credentialprovider/my_google",
            ),
            (
                Arn::client_secret(region, account, "my-google", "AbC123"),
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:bedrock-agentcore-identity!default/oauth2/my-google-AbC123",
            ),
            (
                Arn::principal(account, "dev-agent"),
                "arn:aws:iam::123456789012:user/dev-agent",
            ),
            (
                Arn::grant(region, account, "g-1"),
                "arn:aws:countersign:us-east-1:123456789012:grant/g-1",
            ),
        ] {
            assert_eq!(arn.to_string(), text);
            assert_eq!(text.parse::<Arn>().expect(text), arn);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "arn",
            "arn:aws:s3",
            "arn:aws:s3:::",
            "arn::s3:::b",
            "ARN:aws:s3:::b",
            "arn:aws:s3::12:b",
            "arn:aws:s3:::a b",
        ] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
    }
}
