//! The `authenticate-oidc` action's settings: which OpenID provider people log in at, as which client, and
//! how long that lasts. Field for field those of an Application Load Balancer, and what it lacks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::check::{ConfigError, refuse};

/// Parameters of the authorization request that the action may add, as on an ALB.
const MAX_EXTRA_PARAMS: usize = 10;
/// Longest session, in seconds: 7 days, which is also an ALB's default.
const MAX_SESSION_TIMEOUT: u64 = 604_800;
/// The cookie name that applications written for an ALB expire to log out.
const ALB_COOKIE_NAME: &str = "AWSELBAuthSessionCookie";

/// An `authenticate-oidc` action: an OpenID provider, and our client there.
///
/// Endpoints are found by discovery; those written down win. The redirect URI to register is
/// `<origin>/oauth2/idpresponse`, and for logout `<account origin>/logged-out`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthenticateOidc {
    /// Issuer, exactly as the provider's metadata and ID tokens write it.
    pub issuer: String,
    /// Discovery document, when it is not at `<issuer>/.well-known/openid-configuration`.
    #[serde(default)]
    pub discovery_url: Option<Url>,
    /// Where the browser is sent, instead of what discovery says.
    #[serde(default)]
    pub authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens go, instead of what discovery says.
    #[serde(default)]
    pub token_endpoint: Option<Url>,
    /// Where claims come from, instead of what discovery says.
    #[serde(default)]
    pub user_info_endpoint: Option<Url>,
    /// The provider's signing keys, instead of what discovery says. With this and the first two endpoints
    /// written down there is no discovery at all.
    #[serde(default)]
    pub jwks_uri: Option<Url>,
    /// RP-initiated logout, instead of what discovery says.
    #[serde(default)]
    pub end_session_endpoint: Option<Url>,
    /// Client id at the provider.
    pub client_id: String,
    /// Client secret at the provider; absent for a public client, which PKCE then protects alone.
    #[serde(default)]
    pub client_secret: Option<SecretString>,
    /// Scopes to ask for; must contain `openid`.
    #[serde(default = "default_scope")]
    pub scope: Vec<String>,
    /// Begins the name of the ticket cookie, which is `<name>-0`: an application logs a person out by
    /// expiring it. Absent: `AWSELBAuthSessionCookie` for one of `applications`, and our own
    /// `__Host-` name on the app and account origins.
    #[serde(default)]
    pub session_cookie_name: Option<String>,
    /// Limits of these sessions. Absent: those of an ALB for one of `applications` (7 days, no idle limit),
    /// and `session` on the app and account origins.
    #[serde(default)]
    pub session: Option<SessionLimits>,
    /// Further parameters of the authorization request (`prompt`, `domain_hint`, …), at most 10.
    #[serde(default)]
    pub extra_params: BTreeMap<String, String>,
    /// Time-out of each request to the provider, in milliseconds.
    #[serde(default = "default_endpoint_timeout_ms")]
    pub endpoint_timeout_ms: u64,
    /// Seconds that a session goes on with the claims it has while the provider cannot be reached to
    /// refresh them. A provider that answers and refuses ends it at once.
    #[serde(default = "default_refresh_grace_seconds")]
    pub refresh_grace_seconds: u64,
    /// The only groups that targets learn of; absent: all. People are in hundreds, headers are small.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// The claim that `groups` filters, an array of texts.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Serve `/oauth2/backchannel-logout` for this provider (OpenID Connect Back-Channel Logout 1.0). Always
    /// served on the account origin; on other listeners the path is the application's unless this is set.
    #[serde(default)]
    pub backchannel_logout: bool,
    /// Whether a back-channel logout also stops the person at the identity service: agents' grants serve them no more
    /// until somebody starts them again. Needs `stop_list`, and `logout_stops_user` at the identity service.
    #[serde(default)]
    pub backchannel_logout_stops_user: bool,
}

impl AuthenticateOidc {
    /// An action with the default of every optional field.
    #[must_use]
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            discovery_url: None,
            authorization_endpoint: None,
            token_endpoint: None,
            user_info_endpoint: None,
            jwks_uri: None,
            end_session_endpoint: None,
            client_id: client_id.into(),
            client_secret: None,
            scope: default_scope(),
            session_cookie_name: None,
            session: None,
            extra_params: BTreeMap::new(),
            endpoint_timeout_ms: default_endpoint_timeout_ms(),
            refresh_grace_seconds: default_refresh_grace_seconds(),
            groups: None,
            groups_claim: default_groups_claim(),
            backchannel_logout: false,
            backchannel_logout_stops_user: false,
        }
    }

    /// The cookie name of one of `applications`.
    pub(crate) fn application_cookie_name(&self) -> &str {
        self.session_cookie_name.as_deref().unwrap_or(ALB_COOKIE_NAME)
    }

    pub(super) fn check(&self, place: &str) -> Result<(), ConfigError> {
        let at = |field: &str| format!("{place}.{field}");
        if self.client_id.is_empty() {
            return refuse(at("client_id"), "is empty");
        }
        if !self.scope.iter().any(|scope| scope == "openid") {
            return refuse(
                at("scope"),
                "must contain openid: without it there is no ID token",
            );
        }
        if self.extra_params.len() > MAX_EXTRA_PARAMS {
            return refuse(at("extra_params"), format!("at most {MAX_EXTRA_PARAMS}"));
        }
        if !(100..=60_000).contains(&self.endpoint_timeout_ms) {
            return refuse(at("endpoint_timeout_ms"), "100 to 60000");
        }
        if let Some(name) = &self.session_cookie_name {
            check_cookie_name(&at("session_cookie_name"), name)?;
        }
        if let Some(session) = &self.session {
            session.check(&at("session"))?;
        }
        Ok(())
    }
}

/// A cookie name is a token (RFC 6265 section 4.1.1), and not one that this product gives a meaning.
fn check_cookie_name(place: &str, name: &str) -> Result<(), ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        return refuse(place, "1 to 128 characters of a cookie name (RFC 6265)");
    }
    if name.to_ascii_lowercase().contains(crate::cookie::PREFIX) || name.starts_with("__Host-") {
        return refuse(place, "names of the gateway's own cookies are taken");
    }
    Ok(())
}

/// How long a browser session lives.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLimits {
    /// Seconds from login to the end, whatever happens in between.
    pub session_timeout_seconds: u64,
    /// Seconds without a request after which the session ends.
    pub idle_timeout_seconds: u64,
}

impl SessionLimits {
    /// Those of an ALB: 7 days, idle or not.
    pub(crate) const ALB: Self = Self {
        session_timeout_seconds: MAX_SESSION_TIMEOUT,
        idle_timeout_seconds: MAX_SESSION_TIMEOUT,
    };

    pub(super) fn check(&self, place: &str) -> Result<(), ConfigError> {
        if self.session_timeout_seconds == 0 || self.session_timeout_seconds > MAX_SESSION_TIMEOUT {
            return refuse(format!("{place}.session_timeout_seconds"), "1 to 604800 (7 days)");
        }
        if self.idle_timeout_seconds == 0 {
            return refuse(format!("{place}.idle_timeout_seconds"), "at least 1");
        }
        Ok(())
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            session_timeout_seconds: 12 * 3_600,
            idle_timeout_seconds: 2 * 3_600,
        }
    }
}

/// Where the gateway reads which people are stopped (design D23).
///
/// The gateway may not read the identity service's database or call its API; it follows a list that is given
/// to whoever shows a token of the gateway's own. Without a list that can be read every session is answered 503.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopList {
    /// Where the list is: `/identities/stops` of the identity service's front channel.
    pub url: Url,
    /// The `aud` of the token that the gateway shows: `stop_list_audience` at the identity service, and of no target.
    pub audience: String,
    /// Seconds without a readable list after which sessions are refused (503). Nobody is taken for not
    /// stopped because the list cannot be read.
    #[serde(default = "default_stop_list_max_age_seconds")]
    pub max_age_seconds: u64,
    /// The authority of its certificate where the system does not know it: a PEM file, or the PEM itself.
    #[serde(default)]
    pub certificate_authority: Option<PathBuf>,
}

fn default_scope() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

const fn default_endpoint_timeout_ms() -> u64 {
    // An ALB gives the provider's endpoints 5 s.
    5_000
}

const fn default_refresh_grace_seconds() -> u64 {
    300
}

const fn default_stop_list_max_age_seconds() -> u64 {
    30
}
