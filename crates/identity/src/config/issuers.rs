//! Whose tokens are believed, and for what. Three lists that share no issuer: gateways of ours and foreign issuers
//! prove people, workloads' issuers prove programs to `AssumeRoleWithWebIdentity`. An issuer on two lists could have a
//! pod's token taken for a person, or a person's for a program.

use std::collections::{BTreeMap, HashMap};

use countersign_crypto::{Algorithm, SecretString};
use countersign_web::Person;
use countersign_web::person::Voucher;
use serde::Deserialize;
use url::Url;

use super::{Config, ConfigError};

/// A gateway of ours whose `x-countersign-user-token` is believed, each audience at its own door (design D8).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The account whose operations and pages believe it; [`Config::account`] if absent. The console, which is of that
    /// one, opens to no other's.
    #[serde(default)]
    pub account: Option<String>,
    /// Where its keys are; by discovery from the issuer if absent.
    #[serde(default)]
    pub jwks_uri: Option<Url>,
    /// For each workload identity the audience that `GetWorkloadAccessTokenForJWT` accepts.
    #[serde(default)]
    pub workload_audiences: BTreeMap<String, String>,
    /// The audience that `CompleteResourceTokenAuth` accepts.
    pub completion_audience: String,
    /// The audience that the start page and `/connections` accept.
    pub start_audience: String,
    /// The audience of the tokens with which the gateway asks who is stopped; absent: it is not told.
    #[serde(default)]
    pub stop_list_audience: Option<String>,
    /// Whether a person whom their identity provider logs out at the gateway (back-channel logout) is stopped, grants and
    /// all, until somebody starts them again. The gateway has to have it set too.
    #[serde(default)]
    pub logout_stops_user: bool,
}

/// An issuer whose JWTs prove a person to `GetWorkloadAccessTokenForJWT` and `CompleteResourceTokenAuth`, as plain
/// AgentCore clients have it: one token for both doors. Keys by OpenID Connect discovery.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserIssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The account whose operations believe it; [`Config::account`] if absent. One entry for each account.
    #[serde(default)]
    pub account: Option<String>,
    /// The audiences accepted, exactly; at least one, and no `*`: a token for anybody would do.
    pub audiences: Vec<String>,
    /// The workload identities that may present its tokens, by name; `["*"]` for every one of the account.
    pub workloads: Vec<String>,
    /// The `typ` headers accepted, without regard to case or an `application/` prefix; RFC 9068 access tokens have
    /// `at+jwt`, many providers write `JWT`. A token without `typ` passes where `JWT` does (RFC 7519 section 5.1).
    #[serde(default = "typ")]
    pub typ: Vec<String>,
    /// The signature algorithms accepted.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Whether ID tokens are accepted. They are addressed to the client that logged the person in, not to an API.
    #[serde(default)]
    pub id_tokens: bool,
}

/// An issuer whose JWTs prove a workload to `AssumeRoleWithWebIdentity`: a Kubernetes cluster, a SPIFFE server, a CI
/// system. Its tokens never name a person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The account whose roles may trust it; [`Config::account`] if absent. One entry for each account.
    #[serde(default)]
    pub account: Option<String>,
    /// Where its keys are; by discovery from the issuer if absent.
    #[serde(default)]
    pub jwks_uri: Option<Url>,
    /// The signature algorithms accepted.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
}

/// A private key by which this service proves itself to providers (`PRIVATE_KEY_JWT`). Providers name it by the ARN of
/// a KMS key, as the API has it; only the ARNs listed here can be used (design D22).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKeyConfig {
    /// `arn:aws:kms:REGION:ACCOUNT:key/ID`, what `kmsKeyArn` of a provider says.
    pub arn: String,
    /// The account whose providers may use it; [`Config::account`] if absent.
    #[serde(default)]
    pub account: Option<String>,
    /// PEM of a PKCS#8 private key: RSA of 2048 bits or more, or P-256. A reference, `file:PATH` or `env:NAME`.
    pub private_key: SecretString,
    /// The `kid` header of its assertions, unless the provider's own header claims have one.
    #[serde(default)]
    pub kid: Option<String>,
}

/// What most issuers write.
fn typ() -> Vec<String> {
    vec!["at+jwt".to_owned(), "JWT".to_owned()]
}

/// What OpenID providers sign with. Whoever holds a token cannot choose: the key's own type decides.
fn algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Ps256,
        Algorithm::Rs512,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ]
}

impl UserIssuerConfig {
    /// Whether the workload identity `name` may present its tokens.
    pub(crate) fn allows_workload(&self, name: &str) -> bool {
        self.workloads
            .iter()
            .any(|allowed| allowed == "*" || allowed == name)
    }
}

impl Config {
    /// The users' issuer of this name in `account`.
    pub(crate) fn user_issuer(&self, account: &str, issuer: &str) -> Option<&UserIssuerConfig> {
        self.user_issuers
            .iter()
            .find(|entry| entry.issuer == issuer && self.account_of(entry.account.as_ref()) == account)
    }

    /// The workloads' issuer of this name in `account`.
    pub(crate) fn workload_issuer(&self, account: &str, issuer: &str) -> Option<&WorkloadIssuerConfig> {
        self.workload_issuers
            .iter()
            .find(|entry| entry.issuer == issuer && self.account_of(entry.account.as_ref()) == account)
    }

    /// The account an entry is of.
    pub(crate) fn account_of<'a>(&'a self, named: Option<&'a String>) -> &'a str {
        named.unwrap_or(&self.account)
    }

    /// The account that the sign-in pages in front of `person` serve, and the only one in which they are somebody;
    /// `None` for a load balancer, which is of no account.
    pub(crate) fn account_served(&self, person: &Person) -> Option<&str> {
        match person.voucher {
            Voucher::LoadBalancer => None,
            Voucher::Gateway => {
                let mut gateways = self.gateways.iter();
                let gateway = gateways.find(|gateway| gateway.issuer == person.gateway_issuer);
                Some(self.account_of(gateway.and_then(|gateway| gateway.account.as_ref())))
            }
        }
    }

    /// Checks the three lists.
    pub(super) fn check_issuers(&self) -> Result<(), ConfigError> {
        let require = |holds: bool, key, rule| holds.then_some(()).ok_or(ConfigError { key, rule });
        self.check_disjoint()?;
        for entry in &self.user_issuers {
            let stated = !entry.audiences.is_empty()
                && entry
                    .audiences
                    .iter()
                    .all(|audience| !audience.is_empty() && !audience.contains('*'));
            require(
                stated,
                "user_issuers",
                "audiences must not be empty or contain `*`: a token for anybody would do",
            )?;
            require(
                !entry.workloads.is_empty() && entry.workloads.iter().all(|name| !name.is_empty()),
                "user_issuers",
                "workloads names the workload identities, or says [\"*\"] for every one of the account",
            )?;
            require(
                !entry.typ.is_empty() && !entry.algorithms.is_empty(),
                "user_issuers",
                "typ and algorithms must not be empty: no token would do",
            )?;
        }
        require(
            self.workload_issuers
                .iter()
                .all(|entry| !entry.algorithms.is_empty()),
            "workload_issuers",
            "algorithms must not be empty: no token would do",
        )?;
        self.gateways.iter().try_for_each(GatewayConfig::check)
    }

    /// No issuer is on two lists, and none is on one list twice for an account. A trailing slash makes no other
    /// issuer here: whoever runs the one runs the other.
    fn check_disjoint(&self) -> Result<(), ConfigError> {
        let gateways = self.gateways.iter();
        let users = self.user_issuers.iter();
        let workloads = self.workload_issuers.iter();
        let entries = gateways
            // A gateway is believed in one account alone: its sign-in pages serve that account.
            .map(|entry| ("gateways", &entry.issuer, None))
            .chain(users.map(|entry| ("user_issuers", &entry.issuer, Some(entry.account.as_ref()))))
            .chain(workloads.map(|entry| ("workload_issuers", &entry.issuer, Some(entry.account.as_ref()))));
        let mut lists = HashMap::new();
        let mut seen = std::collections::HashSet::new();
        for (list, issuer, account) in entries {
            let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
            let account = account.map(|account| self.account_of(account));
            if issuer.is_empty() || !seen.insert((list, issuer, account)) {
                return Err(ConfigError {
                    key: list,
                    rule: "an issuer is listed once for an account",
                });
            }
            if *lists.entry(issuer).or_insert(list) != list {
                return Err(ConfigError {
                    key: list,
                    rule: "gateways, user_issuers and workload_issuers share no issuer",
                });
            }
        }
        Ok(())
    }
}

impl GatewayConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let agents: Vec<&String> = self.workload_audiences.values().collect();
        let own = [&self.completion_audience, &self.start_audience];
        let own: Vec<&String> = own.into_iter().chain(self.stop_list_audience.as_ref()).collect();
        let distinct = own
            .iter()
            .enumerate()
            .all(|(at, audience)| !agents.contains(audience) && !own[..at].contains(audience));
        let stated = agents.into_iter().chain(own).all(|audience| !audience.is_empty());
        (distinct && stated).then_some(()).ok_or(ConfigError {
            key: "gateways",
            rule: "completion_audience, start_audience, stop_list_audience and every workload's audience differ (a token opens one door)",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::Config;

    fn check(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut config = json!({
            "account": "000000000000",
            "api_hosts": ["localhost"],
            "front_channel_url": "https://account.example",
            "database": {"url": "sqlite:/nowhere"},
            "gateways": [{
                "issuer": "https://gateway.example", "workload_audiences": {"agent": "agent"},
                "completion_audience": "binding", "start_audience": "identity",
            }],
            "user_issuers": [{
                "issuer": "https://people.example", "audiences": ["agents"], "workloads": ["agent"],
            }],
            "workload_issuers": [{"issuer": "https://cluster.example"}],
        });
        change(&mut config);
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_lists_share_no_issuer() {
        assert_eq!(check(|_| ()), Ok(()));
        for (list, issuer) in [
            ("user_issuers", "https://gateway.example"),
            ("user_issuers", "https://cluster.example"),
            ("user_issuers", "https://cluster.example/"),
            ("workload_issuers", "https://gateway.example"),
            ("workload_issuers", "https://people.example"),
            ("gateways", "https://people.example"),
        ] {
            let refused = check(|config| config[list][0]["issuer"] = json!(issuer)).expect_err(issuer);
            assert!(refused.contains("share no issuer"), "{list} {issuer}: {refused}");
        }
    }

    #[test]
    fn an_issuer_may_be_of_two_accounts_and_twice_of_none() {
        let second = |account: &'static str| {
            move |config: &mut Value| {
                let entry = json!({
                    "issuer": "https://people.example", "audiences": ["others"], "workloads": ["*"], "account": account,
                });
                config["user_issuers"].as_array_mut().expect("a list").push(entry);
            }
        };
        assert_eq!(check(second("000000000001")), Ok(()));
        assert!(check(second("000000000000")).is_err());
    }

    #[test]
    fn what_a_users_issuer_must_state() {
        for (member, wrong) in [
            ("audiences", json!([])),
            ("audiences", json!(["*"])),
            ("audiences", json!(["agents", "a*"])),
            ("audiences", json!([""])),
            ("workloads", json!([])),
            ("typ", json!([])),
            ("algorithms", json!([])),
            ("algorithms", json!(["none"])),
            ("algorithms", json!(["HS256"])),
        ] {
            let refused = check(|config| config["user_issuers"][0][member] = wrong.clone());
            assert!(refused.is_err(), "{member} {wrong}");
        }
        for member in ["audiences", "workloads", "issuer"] {
            let refused = check(|config| {
                config["user_issuers"][0]
                    .as_object_mut()
                    .expect("a table")
                    .remove(member);
            });
            assert!(refused.is_err(), "{member}");
        }
    }
}
