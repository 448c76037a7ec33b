//! The gateway's configuration, in the words of load balancers: listeners have rules, a rule has
//! conditions and actions, and its last action forwards to a target group, redirects or answers.
//!
//! Unknown keys are refused, and [`Config::check`] refuses what would only fail at the first request.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use countersign_audit::delivery::EvidenceConfig;
use countersign_db::DatabaseConfig;
use countersign_outbound::HostPort;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

mod access_log;
mod acme;
mod authenticate;
mod check;
mod limits;
mod listener;
mod rule;
mod target_group;
#[cfg(test)]
mod tests;

pub use access_log::{AccessLog, AccessLogFormat};
pub use acme::{AcmeChallenge, AcmeConfig, ExternalAccount};
pub use authenticate::{AuthenticateOidc, SessionLimits, StopList};
pub use check::ConfigError;
pub use limits::{ClientLimits, ForwardLimits};
pub use listener::{
    AmznTraceId, Attributes, HeaderText, KeyListener, Listener, ListenerSocket, Listeners, ResponseHeaders,
    Traceparent, XffHeaderProcessing,
};
pub use rule::{
    Action, AdditionalClaim, ClaimFormat, Conditions, FixedResponse, Forward, HttpHeaderCondition,
    JwtValidation, OnUnauthenticatedRequest, QueryStringCondition, QueryStringPair, Redirect, Rewrite, Rule,
    Transforms, WeightedTargetGroup, account_rules, app_rules,
};
pub use target_group::{HealthCheck, LoadBalancingAlgorithm, ProtocolVersion, TargetGroup};

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
    /// Where else the evidence goes: checkpoints and records.
    #[serde(default)]
    pub evidence: EvidenceConfig,
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
    /// The two browser origins, the key listener, and listeners of your own.
    pub listeners: Listeners,
    /// Certificates by ACME, for listeners whose `tls` says so.
    #[serde(default)]
    pub acme: Option<AcmeConfig>,
    /// Where requests go, by name.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Limits of forwarding.
    #[serde(default)]
    pub forward: ForwardLimits,
    /// Limits of clients' connections.
    #[serde(default)]
    pub client: ClientLimits,
    /// The access log.
    #[serde(default)]
    pub access_log: AccessLog,
    /// The operator's routes on the operations listener; absent: none.
    #[serde(default)]
    pub operator: Option<OperatorAccess>,
    /// Threads that serve requests; absent: one for each core.
    #[serde(default)]
    pub workers: Option<NonZeroUsize>,
}

/// Who may see and end sessions and rotate keys: `countersign session` and `countersign key --gateway`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorAccess {
    /// Shown as a bearer token, at least 32 characters. A reference, `file:PATH` or `env:NAME`.
    pub token: SecretString,
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

const fn default_claims_header_lifetime_seconds() -> u32 {
    120
}

const fn default_user_token_lifetime_seconds() -> u32 {
    300
}

const fn yes() -> bool {
    true
}
