//! What a configuration must satisfy beyond its types. The limits are those of load balancer rules.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::{Action, Config, Listener};
use crate::rule::Rules;

/// The configuration cannot work, or would not be safe. Says where and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ConfigError {
    /// Path of the setting, as in `listeners.app.rules[20].actions`.
    pub place: String,
    /// What is wrong.
    pub fault: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            fault: fault.into(),
        }
    }
}

pub(super) fn refuse(place: impl Into<String>, fault: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::new(place, fault))
}

impl Config {
    /// Refuses what would only fail at the first request, or would undo a trust line.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("account", "an account id has 12 digits");
        }
        if !self.cookie_suffix.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("cookie_suffix", "letters and digits only");
        }
        if self.listeners.app.origin == self.listeners.account.origin {
            // The agent's pages would share an origin with the consent button.
            return refuse("listeners", "app and account must be two origins");
        }
        if self.authenticate_oidc.session_cookie_name.is_some()
            && self.listeners.app.origin.host() == self.listeners.account.origin.host()
        {
            // Cookies know no ports (RFC 6265 section 8.5). Our own names differ by listener.
            return refuse(
                "authenticate_oidc.session_cookie_name",
                "app and account have one host, where each would overwrite the other's ticket: leave it out, or give them two",
            );
        }
        self.check_applications()?;
        self.check_lifetimes()?;
        self.forward.check()?;
        self.client.check()?;
        let mut audiences = BTreeSet::new();
        for (name, group) in &self.target_groups {
            group.check(&format!("target_groups.{name}"))?;
            if let Some(audience) = &group.user_token_audience
                && !audiences.insert(audience)
            {
                return refuse(
                    format!("target_groups.{name}.user_token_audience"),
                    "another target group has this audience; a token is for one target",
                );
            }
        }
        self.check_stop_list(&audiences)?;
        if let Some(operator) = &self.operator
            && operator.token.expose_secret().len() < 32
        {
            return refuse("operator.token", "at least 32 characters");
        }
        self.check_acme()?;
        for (name, listener) in self.listeners.with_rules() {
            self.check_listener(name, listener)?;
        }
        Ok(())
    }

    /// The token that opens the stop list opens nothing else, and nothing else opens it.
    fn check_stop_list(&self, audiences: &BTreeSet<&String>) -> Result<(), ConfigError> {
        let Some(stop_list) = &self.stop_list else {
            let mut all = self.applications.values().chain([&self.authenticate_oidc]);
            return if all.any(|oidc| oidc.backchannel_logout_stops_user) {
                refuse("stop_list", "backchannel_logout_stops_user needs one")
            } else {
                Ok(())
            };
        };
        if stop_list.audience.is_empty() || audiences.contains(&stop_list.audience) {
            return refuse("stop_list.audience", "is that of no target, and not empty");
        }
        if !(1..=300).contains(&stop_list.max_age_seconds) {
            return refuse("stop_list.max_age_seconds", "1 to 300");
        }
        Ok(())
    }

    /// Each application has a cookie of its own: two of one name would share sessions of two providers.
    fn check_applications(&self) -> Result<(), ConfigError> {
        self.authenticate_oidc.check("authenticate_oidc")?;
        let mut cookies = BTreeSet::new();
        for (name, application) in &self.applications {
            let place = format!("applications.{name}");
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return refuse(place, "a name has letters, digits and hyphens");
            }
            application.check(&place)?;
            if !cookies.insert(application.application_cookie_name()) {
                return refuse(
                    format!("{place}.session_cookie_name"),
                    "another application has this cookie; independent logins need names of their own",
                );
            }
        }
        Ok(())
    }

    fn check_lifetimes(&self) -> Result<(), ConfigError> {
        self.session.check("session")?;
        // The token of a request is proof for that request, never a session.
        if !(10..=300).contains(&self.claims_header.lifetime_seconds) {
            return refuse("claims_header.lifetime_seconds", "10 to 300");
        }
        if !(10..=600).contains(&self.user_token.lifetime_seconds) {
            return refuse("user_token.lifetime_seconds", "10 to 600");
        }
        if self.user_token.issuer.query().is_some() || self.user_token.issuer.fragment().is_some() {
            return refuse(
                "user_token.issuer",
                "an issuer has no query and no fragment (RFC 8414 section 2)",
            );
        }
        Ok(())
    }

    fn check_listener(&self, name: &str, listener: &Listener) -> Result<(), ConfigError> {
        let place = format!("listeners.{name}");
        let known = |group: &str| self.target_groups.contains_key(group);
        Rules::compile(&place, listener, &known)?;
        let own = matches!(name, "app" | "account");
        let mut private = own;
        let in_rules = listener.rules.iter().flat_map(|rule| {
            let place = format!("{place}.rules[{}].actions", rule.priority);
            rule.actions.iter().map(move |action| (place.clone(), action))
        });
        let by_default = listener
            .default_actions
            .iter()
            .map(|action| (format!("{place}.default_actions"), action));
        for (at, action) in in_rules.chain(by_default) {
            // Tokens of programs are as good as cookies to who reads them on the way.
            private |= matches!(action, Action::JwtValidation(_) | Action::AuthenticateOidc { .. });
            let Action::AuthenticateOidc { application, .. } = action else {
                continue;
            };
            match application {
                Some(name) if !self.applications.contains_key(name) => {
                    return refuse(at, format!("application {name:?} is not configured"));
                }
                None if !own => {
                    return refuse(
                        at,
                        "authenticate-oidc names one of `applications` here; without a name it is the login of app and account",
                    );
                }
                _ => {}
            }
        }
        if private && !listener.origin.is_trustworthy() {
            return refuse(
                format!("{place}.origin"),
                "people log in here, or programs show tokens: https, or http on a loopback host",
            );
        }
        if listener.tls.is_some() && !listener.origin.is_https() {
            return refuse(format!("{place}.origin"), "the listener speaks TLS: write https");
        }
        for host in &listener.hosts {
            if format!("{}://{host}", listener.origin.scheme())
                .parse::<crate::origin::Origin>()
                .is_err()
            {
                return refuse(
                    format!("{place}.hosts"),
                    format!("{host:?} is not a host or host:port"),
                );
            }
        }
        Ok(())
    }

    fn check_acme(&self) -> Result<(), ConfigError> {
        let wanted = self
            .listeners
            .tls()
            .find(|(_, tls)| tls.is_some_and(|tls| tls.acme));
        match (wanted, &self.acme) {
            (Some((name, _)), None) => refuse(
                format!("listeners.{name}.tls.acme"),
                "there is no [gateway.acme] to ask for certificates",
            ),
            (_, Some(acme)) if !acme.terms_of_service_agreed => refuse(
                "acme.terms_of_service_agreed",
                "read the terms of the ACME server and write true",
            ),
            _ => Ok(()),
        }
    }
}
