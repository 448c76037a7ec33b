//! The `[identity]` table of a configuration file. Unknown keys are refused.

mod console;
mod grant_limits;
mod issuers;
mod quotas;
mod rate_limits;
mod refresh;
mod secrets_manager;

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use countersign_audit::delivery::EvidenceConfig;
use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_db::DatabaseConfig;
use countersign_outbound::HostPort;
use countersign_web::person::AlbConfig;
use countersign_web::tls::TlsConfig;
use ipnet::IpNet;
use serde::Deserialize;
use url::{Host, Url};

pub use console::ConsoleConfig;
pub use grant_limits::GrantLimits;
pub use issuers::{ClientKeyConfig, GatewayConfig, UserIssuerConfig, WorkloadIssuerConfig};
pub use quotas::Quotas;
pub use rate_limits::RateLimits;
pub use refresh::{RefreshConfig, ReuseGrace};
pub(crate) use secrets_manager::OWN_SECRETS;
pub use secrets_manager::{ExternalSecretsAllowed, SecretsManagerConfig};

/// The configuration of the identity role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the signed API listens, `host:port`; bound by the executable.
    #[serde(default = "listen_api")]
    pub listen_api: String,
    /// Where the front channel listens, `host:port`; bound by the executable.
    #[serde(default = "listen_front_channel")]
    pub listen_front_channel: String,
    /// TLS of the API. Where other machines can reach it there is no way around (design D18).
    #[serde(default)]
    pub api_tls: Option<TlsConfig>,
    /// TLS of the front channel; absent, other machines reach it only from `front_channel_plaintext_from`.
    #[serde(default)]
    pub front_channel_tls: Option<TlsConfig>,
    /// Networks whose machines may reach the front channel without TLS; loopback always may.
    #[serde(default)]
    pub front_channel_plaintext_from: Vec<IpNet>,
    /// The hosts (`host` or `host:port`) under which callers address the API (design D25).
    pub api_hosts: Vec<String>,
    /// The URL of the front channel as browsers see it: scheme and authority of the account origin, no path.
    /// `authorizationUrl` and `callbackUrl` begin with it.
    pub front_channel_url: Url,
    /// Where pages that end nowhere else lead back to: the app origin, no path. Absent, they lead nowhere.
    #[serde(default)]
    pub app_url: Option<Url>,
    /// Hosts under which the front channel is addressed besides the one of `front_channel_url`.
    #[serde(default)]
    pub front_channel_hosts: Vec<String>,
    /// The region of every ARN and of every signature.
    #[serde(default = "region")]
    pub region: String,
    /// The account, 12 digits. It owns the keys of the installation as a whole.
    pub account: String,
    /// Who may open an authorization session that is bound to no recognisable person (design D11).
    #[serde(default)]
    pub start_login: StartLogin,
    /// What happens when the same person completes in another browser session (design D9).
    #[serde(default)]
    pub sid: SidRule,
    /// What happens when a person connects another account of theirs at the service (design D12).
    #[serde(default)]
    pub account_change: AccountChange,
    /// How much the account may have.
    #[serde(default)]
    pub quotas: Quotas,
    /// When the account's grants end by themselves.
    #[serde(default)]
    pub grant_limits: GrantLimits,
    /// The first caller of an account that has none.
    #[serde(default)]
    pub initial_admin: Option<InitialAdmin>,
    /// Further accounts, each apart from the others.
    #[serde(default)]
    pub other_accounts: Vec<AccountConfig>,
    /// Where everything is kept.
    pub database: DatabaseConfig,
    /// The gateways whose user tokens are believed.
    #[serde(default)]
    pub gateways: Vec<GatewayConfig>,
    /// The Application Load Balancers whose `x-amzn-oidc-data` says at the front channel who the person is.
    #[serde(default)]
    pub load_balancers: Vec<AlbConfig>,
    /// Issuers other than gateways whose JWTs prove a person to the API.
    #[serde(default)]
    pub user_issuers: Vec<UserIssuerConfig>,
    /// Issuers whose JWTs prove a workload to `AssumeRoleWithWebIdentity`.
    #[serde(default)]
    pub workload_issuers: Vec<WorkloadIssuerConfig>,
    /// The private keys that providers with `PRIVATE_KEY_JWT` may name.
    #[serde(default)]
    pub client_keys: Vec<ClientKeyConfig>,
    /// Told apart in cookie names on hosts where ports share cookies: the port base in development, else
    /// empty.
    #[serde(default)]
    pub cookie_suffix: String,
    /// Hosts and ports that may be reached by `http` or at internal addresses (design D19).
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
    /// For tests and for work without a network: vendors, by `credentialProviderVendor`, whose endpoints are at a
    /// simulator on this machine (`countersign simulate`), which counts as excepted in `outbound_allow`. Every
    /// provider of that vendor, in every account, goes there instead of to the vendor.
    #[serde(default)]
    pub vendor_endpoints: BTreeMap<String, Url>,
    /// Where providers' secrets are that stay in the customer's own Secrets Manager.
    #[serde(default)]
    pub secrets_manager: Option<SecretsManagerConfig>,
    /// Memory for grants that were read lately, mebibytes, 0 to 4096; up to twice as much is used. With 0 every token is
    /// read from the database.
    #[serde(default = "grant_cache_mib")]
    pub grant_cache_mib: usize,
    /// How often every customer managed key is asked whether it still opens its vault, seconds, 1 to 86,400. One that
    /// is disabled closes the vault within this time.
    #[serde(default = "customer_key_check_seconds")]
    pub customer_key_check_seconds: u64,
    /// How often callers may ask.
    #[serde(default)]
    pub rate_limits: RateLimits,
    /// Worker threads that serve the API, each with a runtime and a socket of its own (design D26); absent: one for each
    /// core.
    #[serde(default)]
    pub workers: Option<NonZeroUsize>,
    /// Who may open the console.
    #[serde(default)]
    pub console: ConsoleConfig,
    /// How tokens are refreshed.
    #[serde(default)]
    pub refresh: RefreshConfig,
    /// Checkpoints of the audit trail are appended to this file too (design D16).
    #[serde(default)]
    pub checkpoint_file: Option<PathBuf>,
    /// Where else the evidence goes: checkpoints and records.
    #[serde(default)]
    pub evidence: EvidenceConfig,
}

/// A further account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// 12 digits.
    pub id: String,
    /// As [`Config::start_login`].
    #[serde(default)]
    pub start_login: StartLogin,
    /// As [`Config::sid`].
    #[serde(default)]
    pub sid: SidRule,
    /// As [`Config::account_change`].
    #[serde(default)]
    pub account_change: AccountChange,
    /// As [`Config::quotas`].
    #[serde(default)]
    pub quotas: Quotas,
    /// As [`Config::grant_limits`].
    #[serde(default)]
    pub grant_limits: GrantLimits,
    /// As [`Config::initial_admin`].
    #[serde(default)]
    pub initial_admin: Option<InitialAdmin>,
}

/// The access key of the principal `admin`, who may do everything (break-glass). Made when the account has no
/// principal at all; afterwards nothing here has any effect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialAdmin {
    /// 16 to 128 upper-case letters and digits.
    pub access_key_id: String,
    /// Its secret, at least 32 characters.
    pub secret_access_key: SecretString,
}

/// Whose authorization requests the start page opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartLogin {
    /// Requests of recognisable people after their login, all others at once: what plain AgentCore clients
    /// need.
    #[default]
    Recognised,
    /// Only requests of recognisable people, after their login.
    Required,
}

/// Whether completion needs the browser session of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SidRule {
    /// It does: the page offers to start again.
    #[default]
    Require,
    /// It does not; the difference is audited.
    Warn,
}

/// What becomes of the connection to another account at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountChange {
    /// The new one takes its place; audited and shown.
    #[default]
    Replace,
    /// The person is asked which of the two stays; until then, and for ten minutes at most, the new one is not served.
    Confirm,
    /// The old one stays.
    Refuse,
}

/// A configuration that cannot be used as written.
#[derive(Debug, thiserror::Error)]
#[error("identity.{key}: {rule}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Config {
    fn check_numbers(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.grant_cache_mib <= 4096, "grant_cache_mib", "is 0 to 4096"),
            (
                (1..=86_400).contains(&self.customer_key_check_seconds),
                "customer_key_check_seconds",
                "is 1 to 86400",
            ),
        ];
        match rules.into_iter().find(|(kept, ..)| !kept) {
            None => Ok(()),
            Some((_, key, rule)) => Err(ConfigError { key, rule }),
        }
    }

    /// How often customer managed keys are asked.
    pub(crate) const fn customer_key_check(&self) -> Duration {
        Duration::from_secs(self.customer_key_check_seconds)
    }

    /// Every account with its settings, the installation's own first.
    pub(crate) fn accounts(&self) -> Vec<AccountConfig> {
        let own = AccountConfig {
            id: self.account.clone(),
            start_login: self.start_login,
            sid: self.sid,
            account_change: self.account_change,
            quotas: self.quotas,
            grant_limits: self.grant_limits,
            initial_admin: self.initial_admin.clone(),
        };
        std::iter::once(own)
            .chain(self.other_accounts.iter().cloned())
            .collect()
    }

    /// Checks what types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let require = |holds, key, rule| {
            if holds {
                Ok(())
            } else {
                Err(ConfigError { key, rule })
            }
        };
        let accounts = self.accounts();
        let digits = |id: &str| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
        require(
            accounts.iter().all(|account| digits(&account.id)),
            "account",
            "an account id has 12 digits",
        )?;
        let distinct: HashSet<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
        require(
            distinct.len() == accounts.len(),
            "other_accounts",
            "an account is listed once",
        )?;
        let admins = accounts
            .iter()
            .filter_map(|account| account.initial_admin.as_ref());
        let long = |admin: &InitialAdmin| admin.secret_access_key.expose_secret().len() >= 32;
        require(
            admins.into_iter().all(long),
            "initial_admin",
            "secret_access_key has at least 32 characters",
        )?;
        let region = !self.region.is_empty()
            && self
                .region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        require(region, "region", "lower-case letters, digits and hyphens")?;
        let origin = "an http or https URL without path, query or user";
        require(is_origin(&self.front_channel_url), "front_channel_url", origin)?;
        let app = self.app_url.as_ref();
        require(app.is_none_or(is_origin), "app_url", origin)?;
        self.check_vendor_endpoints()?;
        let suffix = self
            .cookie_suffix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric());
        require(suffix, "cookie_suffix", "letters and digits")?;
        require(
            !self.api_hosts.is_empty(),
            "api_hosts",
            "at least the host that callers use",
        )?;
        if let Some(rule) = accounts
            .iter()
            .find_map(|account| account.grant_limits.broken_rule())
        {
            return Err(ConfigError {
                key: "grant_limits",
                rule,
            });
        }
        self.check_numbers()?;
        if let Some(rule) = self.refresh.broken_rule() {
            return Err(ConfigError { key: "refresh", rule });
        }
        if let Some(rule) = self
            .secrets_manager
            .as_ref()
            .and_then(SecretsManagerConfig::broken_rule)
        {
            return Err(ConfigError {
                key: "secrets_manager",
                rule,
            });
        }
        self.check_issuers()
    }

    fn check_vendor_endpoints(&self) -> Result<(), ConfigError> {
        let key = "vendor_endpoints";
        for (name, url) in &self.vendor_endpoints {
            if name == "CustomOauth2" || countersign_oauth::vendor::vendor(name).is_none() {
                let rule = "a vendor as credentialProviderVendor names it; not CustomOauth2, whose registrations name \
                            endpoints";
                return Err(ConfigError { key, rule });
            }
            if !is_loopback_origin(url) {
                let rule = "a simulator on this machine: http://127.0.0.1:PORT, http://[::1]:PORT or \
                            http://localhost:PORT";
                return Err(ConfigError { key, rule });
            }
        }
        Ok(())
    }
}

/// Whether `url` is nothing but scheme and authority.
fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
        && url.host_str().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Secrets of real clients would go to whatever is there.
fn is_loopback_origin(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    loopback && url.scheme() == "http" && is_origin(url)
}

fn listen_api() -> String {
    "localhost:8401".to_owned()
}

fn listen_front_channel() -> String {
    "localhost:8408".to_owned()
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn grant_cache_mib() -> usize {
    16
}

fn customer_key_check_seconds() -> u64 {
    300
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_lead_back_to_an_origin_and_nowhere_deeper() {
        let with = |url: &str| {
            let config = json!({
                "api_hosts": ["identity.test"], "front_channel_url": "https://account.test",
                "account": "000000000000", "database": {"url": "sqlite::memory:"}, "app_url": url,
            });
            serde_json::from_value::<Config>(config)
                .expect("well-formed")
                .check()
        };
        with("https://app.test").expect("an origin");
        for bad in [
            "https://app.test/?next=https://evil.example",
            "https://app.test/deep",
            "https://app.test@evil.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(with(bad).expect_err(bad).key, "app_url", "{bad}");
        }
    }

    #[test]
    fn a_vendors_place_is_taken_by_simulators_on_this_machine_alone() {
        let with = |vendor: &str, url: &str| {
            let config = json!({
                "api_hosts": ["identity.test"], "front_channel_url": "https://account.test",
                "account": "000000000000", "database": {"url": "sqlite::memory:"},
                "vendor_endpoints": {vendor: url},
            });
            serde_json::from_value::<Config>(config)
                .expect("well-formed")
                .check()
        };
        for good in [
            "http://127.0.0.1:8410",
            "http://[::1]:8410",
            "http://localhost:8410/",
        ] {
            with("GithubOauth2", good).expect(good);
        }
        for evil in [
            "https://github.evil.example",
            "http://github.evil.example:8410",
            "http://169.254.169.254",
            "http://0.0.0.0:8410",
            "http://127.0.0.1.evil.example:8410",
            "http://localhost.evil.example:8410",
            "http://user@127.0.0.1:8410",
            "http://127.0.0.1:8410/base",
            "http://127.0.0.1:8410/?x",
            "https://127.0.0.1:8410",
        ] {
            let refused = with("GithubOauth2", evil).expect_err(evil);
            assert_eq!(refused.key, "vendor_endpoints", "{evil}");
        }
        for name in ["github", "CustomOauth2", "MyspaceOauth2"] {
            with(name, "http://127.0.0.1:8410").expect_err(name);
        }
    }
}
