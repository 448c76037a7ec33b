//! Where identities come from, as configuration words it.

use serde::Deserialize;
use url::Url;

use super::AlbConfig;

/// Where identities come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Inbound {
    /// Our gateway's [`USER_TOKEN`](super::USER_TOKEN).
    UserToken {
        /// Exact `iss`.
        issuer: String,
        /// This role's own `aud`.
        audience: String,
        /// The gateway's keys; found by OpenID Connect discovery from `issuer` when absent.
        #[serde(default)]
        jwks_uri: Option<Url>,
    },
    /// The `x-amzn-oidc-data` of an Application Load Balancer.
    Alb(AlbConfig),
}

/// The word for it in a role's configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InboundKind {
    /// Our gateway.
    #[default]
    UserToken,
    /// An Application Load Balancer.
    Alb,
}

/// What a role's configuration says of it. The keys stand in the role's own table.
#[derive(Debug, Clone, Default)]
pub struct InboundConfig {
    /// Which of the two.
    pub inbound: InboundKind,
    /// With our gateway: the issuer of its user tokens.
    pub gateway_issuer: Option<String>,
    /// Where that issuer's keys are, if not in its discovery document.
    pub gateway_jwks_uri: Option<Url>,
    /// This role's own audience.
    pub audience: Option<String>,
    /// With a load balancer: which one.
    pub alb: Option<AlbConfig>,
}

/// Keys that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// A key is missing.
    #[error("`{key}` is missing: `inbound = \"{inbound}\"` needs it")]
    Missing {
        /// The key.
        key: &'static str,
        /// The word.
        inbound: &'static str,
    },
    /// A key has no meaning there.
    #[error("`{key}` has no meaning with `inbound = \"{inbound}\"`")]
    Superfluous {
        /// The key.
        key: &'static str,
        /// The word.
        inbound: &'static str,
    },
    /// Not a URL.
    #[error("`gateway_issuer` must be an http or https URL with a host")]
    Issuer,
}

impl InboundConfig {
    /// What a verifier takes. A role believes one of the two, never both: a key that only the other would read is an
    /// error, not a hint.
    pub fn resolve(self) -> Result<Inbound, InboundError> {
        match self.inbound {
            InboundKind::UserToken => self.user_token(),
            InboundKind::Alb => self.load_balancer(),
        }
    }

    fn user_token(self) -> Result<Inbound, InboundError> {
        let inbound = "user-token";
        if self.alb.is_some() {
            return Err(InboundError::Superfluous { key: "alb", inbound });
        }
        let missing = |key| InboundError::Missing { key, inbound };
        let issuer = self.gateway_issuer.ok_or_else(|| missing("gateway_issuer"))?;
        let url = Url::parse(&issuer).map_err(|_| InboundError::Issuer)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InboundError::Issuer);
        }
        Ok(Inbound::UserToken {
            issuer,
            audience: self.audience.ok_or_else(|| missing("audience"))?,
            jwks_uri: self.gateway_jwks_uri,
        })
    }

    fn load_balancer(self) -> Result<Inbound, InboundError> {
        let inbound = "alb";
        let others = [
            ("gateway_issuer", self.gateway_issuer.is_some()),
            ("gateway_jwks_uri", self.gateway_jwks_uri.is_some()),
            ("audience", self.audience.is_some()),
        ];
        if let Some(&(key, _)) = others.iter().find(|(_, given)| *given) {
            return Err(InboundError::Superfluous { key, inbound });
        }
        self.alb
            .map(Inbound::Alb)
            .ok_or(InboundError::Missing { key: "alb", inbound })
    }
}

impl Inbound {
    /// Where public keys are fetched from: what the guard of outbound requests has to allow.
    #[must_use]
    pub fn places(&self) -> Vec<Url> {
        match self {
            Self::UserToken { issuer, jwks_uri, .. } => {
                let issuer = Url::parse(issuer).ok();
                issuer.into_iter().chain(jwks_uri.clone()).collect()
            }
            Self::Alb(config) => vec![config.keys().clone()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNER: &str =
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";

    fn alb() -> AlbConfig {
        AlbConfig::new(vec![SIGNER.to_owned()], "https://idp.example", "client", None).expect("an ARN")
    }

    #[test]
    fn a_role_believes_one_of_the_two() {
        let gateway = InboundConfig {
            gateway_issuer: Some("https://gateway.example".to_owned()),
            audience: Some("agent".to_owned()),
            ..InboundConfig::default()
        };
        assert!(matches!(gateway.clone().resolve(), Ok(Inbound::UserToken { .. })));
        let load_balancer = InboundConfig {
            inbound: InboundKind::Alb,
            alb: Some(alb()),
            ..InboundConfig::default()
        };
        assert_eq!(load_balancer.clone().resolve(), Ok(Inbound::Alb(alb())));
        for (config, key) in [
            (
                InboundConfig {
                    audience: None,
                    ..gateway.clone()
                },
                "`audience` is missing",
            ),
            (
                InboundConfig {
                    gateway_issuer: None,
                    ..gateway.clone()
                },
                "`gateway_issuer` is missing",
            ),
            (
                InboundConfig {
                    gateway_issuer: Some("x".to_owned()),
                    ..gateway.clone()
                },
                "`gateway_issuer` must be",
            ),
            (
                InboundConfig {
                    alb: Some(alb()),
                    ..gateway.clone()
                },
                "`alb` has no meaning",
            ),
            (
                InboundConfig {
                    alb: None,
                    ..load_balancer.clone()
                },
                "`alb` is missing",
            ),
            (
                InboundConfig {
                    audience: Some("a".to_owned()),
                    ..load_balancer.clone()
                },
                "`audience` has no",
            ),
        ] {
            let error = config.resolve().expect_err(key).to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
