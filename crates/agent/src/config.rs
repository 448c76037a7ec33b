//! What an operator says about the agent. Secrets arrive resolved: `cli` alone reads `env:` and `file:`
//! references.

use std::path::PathBuf;

use countersign_crypto::SecretString;
use countersign_outbound::HostPort;
use countersign_web::tls::TlsConfig;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

/// The `[agent]` table. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Socket address, bound by `cli`; `localhost:8405` is both loopbacks.
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
    /// The app origin as browsers see it, without a trailing slash: `http://localhost:8400`.
    pub app_url: Url,
    /// Issuer of the user tokens that the gateway puts into `x-countersign-user-token`.
    pub gateway_issuer: String,
    /// Where that issuer's keys are; from its discovery document when absent.
    #[serde(default)]
    pub gateway_jwks_uri: Option<Url>,
    /// The audience this agent is, `dev-agent` in development. A token for another role is refused.
    pub audience: String,
    /// The identity API and this agent's credentials there.
    pub identity: IdentityEndpoint,
    /// Account whose name goes into conversation keys.
    #[serde(default = "default_account")]
    pub account: String,
    /// This agent's workload identity.
    pub workload: String,
    /// The session binding page, exactly as it stands on the workload identity's list of return URLs.
    pub return_url: String,
    /// The only origin that an authorization URL may have; a consent card with any other is not shown.
    pub front_channel_url: Url,
    /// What the model may call.
    #[serde(default)]
    pub tools: Tools,
    /// Where conversations are kept; made with mode 0700 when missing.
    pub conversations: PathBuf,
    /// `offline`, or `<vendor>:<name>[@URL]` with vendor `openai`, `anthropic`, `google` or `ollama`. A URL
    /// selects another endpoint that speaks the vendor's protocol.
    #[serde(default = "default_model")]
    pub model: String,
    /// The model vendor's API key.
    #[serde(default)]
    pub model_api_key: Option<SecretString>,
    /// Hosts that may be reached by `http` or at internal addresses, besides those named above.
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
}

/// The services whose tools the model may call. Without any it can only talk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// The playground's issue tracker: list, read and create issues.
    #[serde(default)]
    pub ledgerline: Option<Ledgerline>,
    /// GitHub: the person's profile and repositories.
    #[serde(default)]
    pub github: Option<Github>,
}

/// Ledgerline's tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledgerline {
    /// The OAuth2 credential provider that it is registered as.
    pub provider: String,
    /// Its origin; the tools call `/api/issues` there.
    pub url: Url,
}

/// GitHub's tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// The OAuth2 credential provider that it is registered as.
    pub provider: String,
    /// Base of the REST API; another one is GitHub Enterprise's `https://HOST/api/v3`.
    #[serde(default = "default_github_api")]
    pub api_url: Url,
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

fn default_account() -> String {
    "000000000000".to_owned()
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

#[expect(clippy::expect_used, reason = "a constant")]
fn default_github_api() -> Url {
    Url::parse("https://api.github.com").expect("a URL")
}

fn default_model() -> String {
    "offline".to_owned()
}
