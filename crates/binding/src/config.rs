//! What an operator says about the session binding service. Secrets arrive resolved: `cli` alone reads `env:`
//! and `file:` references.

use countersign_crypto::SecretString;
use countersign_outbound::HostPort;
use countersign_web::tls::TlsConfig;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

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
    /// Issuer of the user tokens that the gateway puts into `x-countersign-user-token`.
    pub gateway_issuer: String,
    /// Where that issuer's keys are; from its discovery document when absent.
    #[serde(default)]
    pub gateway_jwks_uri: Option<Url>,
    /// The audience this service is, `binding` in development. A token for another role is refused.
    pub audience: String,
    /// The identity API and this service's credentials there.
    pub identity: IdentityEndpoint,
    /// End of the cookie names on loopback http, the port base in development; empty on https.
    #[serde(default)]
    pub cookie_suffix: String,
    /// Hosts that may be reached by `http` or at internal addresses, besides those named above.
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
}

/// An identity API and the access key to sign with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityEndpoint {
    /// Our identity role's API, or `https://bedrock-agentcore.<region>.amazonaws.com`.
    pub endpoint: Url,
    /// The region to sign for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: SecretString,
    /// Of temporary credentials.
    #[serde(default)]
    pub session_token: Option<SecretString>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}
