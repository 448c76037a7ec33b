//! The gateway's configuration, in the words of load balancers: listeners have rules, a rule has
//! conditions and actions, and its last action forwards to a target group, redirects or answers.
//!
//! Unknown keys are refused, and [`Config::check`] refuses what would only fail at the first request.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_db::DatabaseConfig;
use countersign_outbound::HostPort;
use serde::Deserialize;
use url::Url;

use crate::origin::Origin;

mod authenticate;
mod check;
mod rule;
#[cfg(test)]
mod tests;

pub use authenticate::{AuthenticateOidc, SessionLimits, StopList};
pub use check::ConfigError;
pub use rule::{
    Action, Conditions, FixedResponse, OnUnauthenticatedRequest, Redirect, Rule, account_rules, app_rules,
};

/// Everything the gateway role is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Account id of 12 digits that the gateway's keys and audit records belong to.
    pub account: String,
    /// AWS region name of the account.
    pub region: String,
    /// Ends every cookie name. Browsers share the cookies of one host between its ports, so two
    /// installations on `localhost` need different ones (`dev`: the port base). Empty otherwise.
    #[serde(default)]
    pub cookie_suffix: String,
    /// The gateway's own database; never the identity service's.
    pub database: DatabaseConfig,
    /// File that audit checkpoints are also appended to, outside the database.
    #[serde(default)]
    pub checkpoint_file: Option<PathBuf>,
    /// The OpenID provider that people log in at.
    pub authenticate_oidc: AuthenticateOidc,
    /// Further, independent logins by name, each with its provider, cookie and limits: for applications
    /// that are logged in to on the origin they are served at, as behind an ALB. A rule's
    /// `authenticate-oidc` action names one.
    #[serde(default)]
    pub applications: BTreeMap<String, AuthenticateOidc>,
    /// Where stops of people are read; absent where no identity service stands behind this gateway.
    #[serde(default)]
    pub stop_list: Option<StopList>,
    /// A file with one line a request, as an ALB's access log. The process's own log has less.
    #[serde(default)]
    pub access_log: Option<AccessLog>,
    /// Exact `host:port` exceptions of the outbound guard, for a provider on HTTP or an internal address.
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
    /// Limits of browser sessions.
    #[serde(default)]
    pub session: SessionLimits,
    /// The signed header that an Application Load Balancer would send.
    pub claims_header: ClaimsHeader,
    /// The gateway's own token for targets of our roles.
    pub user_token: UserToken,
    /// The two browser origins and the key listener.
    pub listeners: Listeners,
    /// Where requests go, by name.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Limits of forwarding.
    #[serde(default)]
    pub forward: ForwardLimits,
}

/// `x-amzn-oidc-data` as an Application Load Balancer would sign it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimsHeader {
    /// ARN in the `signer` field, which targets pin.
    pub signer: String,
    /// Seconds from minting to `exp`. One is minted for each request.
    #[serde(default = "default_claims_header_lifetime_seconds")]
    pub lifetime_seconds: u32,
}

/// `x-countersign-user-token`: a standard ES256 JWT for one audience.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserToken {
    /// The `iss` claim: a URL on the key listener that stays when hosts or ports change. Discovery,
    /// JWKS and PEM keys are served below its path.
    pub issuer: Url,
    /// Seconds from minting to `exp`.
    #[serde(default = "default_user_token_lifetime_seconds")]
    pub lifetime_seconds: u32,
}

impl UserToken {
    /// The `iss` claim. A URL without a path is written without the slash that [`Url`] adds.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_str().trim_end_matches('/')
    }
}

/// The three listeners.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listeners {
    /// Carries the agent's pages and nothing else.
    pub app: Listener,
    /// Carries login, consent, session binding, connections, logout.
    pub account: Listener,
    /// Serves public keys.
    pub keys: KeyListener,
}

/// A browser origin and its rules. A request that no rule matches gets 404.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Socket address to bind: `localhost:8400` (IPv4 and IPv6 loopback) or `0.0.0.0:443`.
    pub listen: String,
    /// The origin as browsers see it.
    pub origin: Origin,
    /// `Host` values accepted beside the origin's own.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Rules; evaluated by ascending priority, the first match decides.
    pub rules: Vec<Rule>,
}

/// The listener that serves public keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyListener {
    /// Socket address to bind.
    pub listen: String,
    /// `Host` values accepted.
    pub hosts: Vec<String>,
}

/// One target and what it may learn about the person.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Scheme, host and port; `http` only.
    pub url: Url,
    /// Whether authenticated requests carry the three `x-amzn-oidc-*` headers.
    #[serde(default = "yes")]
    pub claims_header: bool,
    /// Audience of `x-countersign-user-token`; absent: the target gets none. Only targets of our own
    /// roles have one, each its own.
    #[serde(default)]
    pub user_token_audience: Option<String>,
    /// Which of our cookies belong to this target (`browser`, `csrf`): they are let through to it and
    /// may be set by it. All other cookies with our prefix are removed both ways.
    #[serde(default)]
    pub cookies: Vec<String>,
    /// Send the browser's `Host` to the target instead of the target's own authority.
    #[serde(default)]
    pub preserve_host_header: bool,
    /// Largest request body in bytes.
    #[serde(default = "default_max_request_body_bytes")]
    pub max_request_body_bytes: u64,
}

/// The access log. `code`, `state`, `session_id` and tokens in URLs are redacted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Where lines are appended.
    pub file: PathBuf,
    /// How they are written.
    #[serde(default)]
    pub format: AccessLogFormat,
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum AccessLogFormat {
    /// Space-delimited, the fields and order of an ALB's.
    #[default]
    Alb,
    /// One JSON object a line, members named as the ALB's fields.
    Json,
}

/// What happens to `X-Forwarded-For` of the client.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum XffHeaderProcessing {
    /// The client's address is appended to what it sent: right behind another trusted proxy.
    Append,
    /// What the client sent is dropped and its address alone is sent: right at the edge.
    #[default]
    Replace,
}

/// Time-outs of forwarding.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardLimits {
    /// Milliseconds to connect to a target, after which the answer is 504.
    pub connect_timeout_ms: u64,
    /// Seconds without a byte from the target, before the answer or within it. A silent event stream
    /// ends after this; servers of one send comments.
    pub idle_timeout_seconds: u64,
    /// Treatment of `X-Forwarded-For`.
    pub xff_header_processing: XffHeaderProcessing,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 10_000,
            idle_timeout_seconds: 60,
            xff_header_processing: XffHeaderProcessing::default(),
        }
    }
}

const fn default_claims_header_lifetime_seconds() -> u32 {
    120
}

const fn default_user_token_lifetime_seconds() -> u32 {
    300
}

const fn default_max_request_body_bytes() -> u64 {
    10 * 1024 * 1024
}

const fn yes() -> bool {
    true
}
