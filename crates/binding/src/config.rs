//! What an operator says about the session binding service. Secrets arrive resolved: `cli` alone reads `env:`
//! and `file:` references.

use countersign_api::IdentityEndpoint;
use countersign_crypto::SecretString;
use countersign_outbound::HostPort;
use countersign_web::person::{AlbConfig, InboundConfig, InboundKind};
use countersign_web::tls::TlsConfig;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::StartError;

/// The `[binding]` table. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Socket address, bound by `cli`; `localhost:8406` is both loopbacks.
    pub listen: String,
    /// TLS; absent, other machines come only from `plaintext_from` (design D18).
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Networks whose machines may come without TLS; loopback always may.
    #[serde(default)]
    pub plaintext_from: Vec<IpNet>,
    /// Authorities this listener answers to (`Host`), as the gateway's target URL and health checks name
    /// them.
    pub hosts: Vec<String>,
    /// The account origin as browsers see it: where this page is served and its form posts to.
    pub account_url: Url,
    /// The app origin, to which the pages lead back.
    pub app_url: Url,
    /// Who says who the person is: `user-token` (default), our gateway; `alb`, an Application Load Balancer.
    #[serde(default)]
    pub inbound: InboundKind,
    /// Issuer of the user tokens that the gateway puts into `x-countersign-user-token`.
    #[serde(default)]
    pub gateway_issuer: Option<String>,
    /// Where that issuer's keys are; from its discovery document when absent.
    #[serde(default)]
    pub gateway_jwks_uri: Option<Url>,
    /// The audience this service is, `binding` in development. A token for another role is refused.
    #[serde(default)]
    pub audience: Option<String>,
    /// With `inbound = "alb"`: the load balancers that are believed, by their ARNs.
    #[serde(default)]
    pub alb: Option<AlbConfig>,
    /// The identity API and this service's credentials there.
    pub identity: IdentityEndpoint,
    /// Beside AgentCore: where it begins an authorization; by default `<endpoint>/identities/oauth2/authorize`.
    #[serde(default)]
    pub authorize_url: Option<Url>,
    /// What forms and the browser cookie are made with, 32 characters or more, the same on every replica. By default
    /// derived from the secret access key; needed where credentials are temporary.
    #[serde(default)]
    pub form_key: Option<SecretString>,
    /// End of the cookie names on loopback http, the port base in development; empty on https.
    #[serde(default)]
    pub cookie_suffix: String,
    /// Hosts that may be reached by `http` or at internal addresses, besides those named above.
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
}

impl Config {
    /// What would otherwise only fail when it starts: keys that do not fit together.
    pub fn check(&self) -> Result<(), StartError> {
        self.inbound().resolve()?;
        Ok(())
    }

    /// The part about who the person is.
    pub(crate) fn inbound(&self) -> InboundConfig {
        InboundConfig {
            inbound: self.inbound,
            gateway_issuer: self.gateway_issuer.clone(),
            gateway_jwks_uri: self.gateway_jwks_uri.clone(),
            audience: self.audience.clone(),
            alb: self.alb.clone(),
        }
    }
}
