//! A new configuration in a running gateway: all of it, or nothing and a message that says why.

use std::sync::Arc;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::{ExposeSecret as _, SecretString, sha256, sha256_parts};
use countersign_outbound::HostPort;
use countersign_web::tls::{PreparedTls, TlsError};

use crate::authenticate::site::Applications;
use crate::claims_header::ClaimsHeaders;
use crate::config::{Config, ConfigError, TargetGroup as TargetGroupConfig};
use crate::gateway::{Current, Gateway, Shared, served};
use crate::listener::TargetGroups;
use crate::reason::Reason;
use crate::target_group::TargetGroup;

/// Why a configuration was not taken. The old one is still in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates or keys of a listener cannot be used.
    #[error("listeners.{listener}.tls: {error}")]
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong.
        error: TlsError,
    },
    /// A setting that a running gateway cannot change.
    #[error("{0} changes only with a restart")]
    Restart(String),
    /// The change could not be recorded.
    #[error("the audit trail does not take the record: {0:?}")]
    Audit(Reason),
}

impl Gateway {
    /// Puts `config` in force without dropping a connection: rules, target groups, hosts, logins, attributes
    /// and certificates. On an error nothing has changed.
    pub async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        // One at a time; requests never wait for this.
        let mut current = self.current.lock().await;
        config.check()?;
        refuse_fixed(&current.config, &config)?;
        let groups = target_groups(&current, &config)?;
        let applications = Applications::new(&config, &self.shared().clock)?;
        let shared = Arc::new(self.shared().reloaded(&config)?);
        let served = served(&config, &shared, &groups, &applications, self.names())?;
        let prepared = self.prepare_tls(&config)?;

        let entry = Entry::new("ReloadConfiguration", Outcome::Done);
        shared.record(entry).await.map_err(ReloadError::Audit)?;
        for (current, tls) in prepared {
            current.install(tls);
        }
        self.replace(shared, served, &config);
        *current = Current { config, groups };
        tracing::info!("the new configuration is in force");
        Ok(())
    }

    fn prepare_tls(
        &self,
        config: &Config,
    ) -> Result<Vec<(&Arc<countersign_web::tls::Tls>, PreparedTls)>, ReloadError> {
        let mut prepared = Vec::new();
        for (name, tls) in config.listeners.tls() {
            if let (Some(running), Some(tls)) = (self.tls(name), tls) {
                let tls = running.prepare(tls).map_err(|error| ReloadError::Tls {
                    listener: name.to_owned(),
                    error,
                })?;
                prepared.push((running, tls));
            }
        }
        Ok(prepared)
    }
}

/// Groups that stay as they are keep their connections and what is known of their targets' health.
fn target_groups(current: &Current, config: &Config) -> Result<TargetGroups, ConfigError> {
    let unchanged = |name: &str, group: &TargetGroupConfig| {
        let same = current.config.target_groups.get(name) == Some(group)
            && format!("{:?}", current.config.forward) == format!("{:?}", config.forward);
        current.groups.get(name).filter(|_| same).cloned()
    };
    config
        .target_groups
        .iter()
        .map(|(name, group)| {
            let started = match unchanged(name, group) {
                Some(running) => running,
                None => TargetGroup::start(name, group, &config.forward)?,
            };
            Ok((name.clone(), started))
        })
        .collect()
}

fn refuse_fixed(old: &Config, new: &Config) -> Result<(), ReloadError> {
    let (old, new) = (fixed(old), fixed(new));
    let changed = new.iter().find(|setting| !old.contains(setting));
    let gone = || {
        old.iter()
            .find(|(name, _)| !new.iter().any(|(other, _)| other == name))
    };
    match changed.or_else(gone) {
        Some((name, _)) => Err(ReloadError::Restart(name.clone())),
        None => Ok(()),
    }
}

/// Settings that sockets, stores and keys were made with. As digests, since there are secrets among them, which `Debug`
/// does not tell apart.
fn fixed(config: &Config) -> Vec<(String, [u8; 32])> {
    let shown = |setting: &dyn std::fmt::Debug| sha256(format!("{setting:?}").as_bytes());
    let with = |setting: &dyn std::fmt::Debug, secrets: &[&SecretString]| {
        let secrets: Vec<&[u8]> = secrets
            .iter()
            .map(|secret| secret.expose_secret().as_bytes())
            .collect();
        sha256_parts(&[&shown(setting), &sha256_parts(&secrets)])
    };
    let database = &config.database;
    let operator = config.operator.iter().map(|operator| &operator.token);
    let external = config
        .acme
        .iter()
        .filter_map(|acme| acme.external_account.as_ref());
    let external: Vec<_> = external.map(|account| &account.hmac_key).collect();
    let mut settings: Vec<(String, [u8; 32])> = [
        ("account", shown(&config.account)),
        ("region", shown(&config.region)),
        ("cookie_suffix", shown(&config.cookie_suffix)),
        ("database", with(database, &[&database.url])),
        ("checkpoint_file", shown(&config.checkpoint_file)),
        (
            "evidence",
            with(&config.evidence, &config.evidence.secrets().collect::<Vec<_>>()),
        ),
        ("operator", with(&config.operator, &operator.collect::<Vec<_>>())),
        ("access_log", shown(&config.access_log)),
        ("stop_list", shown(&config.stop_list)),
        ("claims_header", shown(&config.claims_header)),
        ("user_token", shown(&config.user_token)),
        ("client", shown(&config.client)),
        ("workers", shown(&config.workers)),
        ("acme", with(&config.acme, &external)),
        ("outbound_allow", shown(&allowed_at_start(config))),
        ("listeners.keys.hosts", shown(&config.listeners.keys.hosts)),
    ]
    .map(|(name, digest)| (name.to_owned(), digest))
    .into();
    for socket in config.listeners.sockets() {
        let place = |setting: &str| format!("listeners.{}.{setting}", socket.name);
        settings.push((place("listen"), shown(&socket.listen)));
        settings.push((place("tls"), shown(&socket.tls.map(|tls| tls.acme))));
    }
    for (name, listener) in config.listeners.with_rules() {
        // Names that a certificate was made or asked for with.
        if listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.acme || tls.self_signed)
        {
            settings.push((format!("listeners.{name}.hosts"), shown(&listener.names())));
        }
    }
    settings
}

/// Exceptions of the outbound guard that clients have which are made at the start alone: the ACME server's may be any,
/// since its directory names its other addresses.
fn allowed_at_start(config: &Config) -> Vec<&HostPort> {
    let stop_list = config.stop_list.as_ref().and_then(|list| HostPort::of(&list.url));
    let concerns = |allowed: &&HostPort| config.acme.is_some() || stop_list.as_ref() == Some(*allowed);
    config.outbound_allow.iter().filter(concerns).collect()
}

impl Shared {
    /// The same stores, keys and sessions under another configuration.
    fn reloaded(&self, config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            account: self.account.clone(),
            app_origin: config.listeners.app.origin.clone(),
            account_origin: config.listeners.account.origin.clone(),
            sessions: self.sessions.clone(),
            keys: self.keys.clone(),
            stops: self.stops.clone(),
            claims_headers: Arc::new(ClaimsHeaders::new(
                config,
                self.keys.clone(),
                self.clock.clone(),
                self.random.clone(),
            )),
            forwarder: crate::forward::Forwarder::new(&config.forward, self.random.clone()),
            jwks: crate::gateway::jwks(config, &self.clock)?,
            recorder: self.recorder.clone(),
            csrf_secret: self.csrf_secret,
            max_request_body_bytes: crate::gateway::max_request_body(config),
            clock: self.clock.clone(),
            random: self.random.clone(),
            ids: self.ids.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use countersign_audit::delivery::{AnchorPlace, ExportPlace};

    use super::*;

    /// A configuration with everything that is made at the start.
    fn everything() -> Config {
        let text = r#"
            account = "000000000000"
            region = "us-east-1"
            outbound_allow = ["127.0.0.1:8403"]
            database = { url = "postgres://gateway@db/gateway", schema = "gateway" }
            claims_header = { signer = "arn" }
            user_token = { issuer = "http://localhost:8402/default" }
            authenticate_oidc = { issuer = "http://127.0.0.1:8403", client_id = "gateway" }
            stop_list = { url = "http://127.0.0.1:8401/identities/stops", audience = "stops" }
            operator = { token = "0123456789abcdef0123456789abcdef" }
            target_groups = {}

            [acme]
            terms_of_service_agreed = true
            storage = "/nowhere"
            external_account = { key_id = "k", hmac_key = "AAAA" }

            [[evidence.anchors]]
            name = "bucket"
            to = { s3 = { bucket = "bucket", region = "us-east-1", access_key_id = "a", secret_access_key = "AAAA" } }

            [[evidence.exports]]
            name = "hook"
            to = { webhook = { url = "https://hook.example/", secret = "AAAA" } }

            [listeners.keys]
            listen = "localhost:8402"
            hosts = ["localhost:8402"]

            [listeners.account]
            listen = "localhost:8407"
            origin = "https://account.example"
            rules = []
            tls = "self-signed"

            [listeners.app]
            listen = "localhost:8400"
            origin = "https://app.example"
            rules = []
            tls = { acme = true }
        "#;
        toml::from_str(text).expect("it parses")
    }

    #[test]
    fn what_a_reload_cannot_apply_it_refuses() {
        type Change = fn(&mut Config);
        let secret = || SecretString::from("BBBB");
        let table: &[(&str, Change)] = &[
            ("account", |config| config.account = "1".to_owned()),
            ("database", |config| {
                config.database.url = "postgres://b@db/b".into();
            }),
            ("database", |config| config.database.schema = None),
            ("database", |config| config.database.max_connections = Some(4)),
            ("operator", |config| config.operator = None),
            ("outbound_allow", |config| config.outbound_allow.clear()),
            ("listeners.app.hosts", |config| {
                config.listeners.app.hosts.push("more.example".to_owned());
            }),
            ("listeners.app.hosts", |config| {
                config.listeners.app.origin = "https://other.example".parse().expect("an origin");
            }),
            ("listeners.account.hosts", |config| {
                config.listeners.account.hosts.push("more.example".to_owned());
            }),
            ("listeners.keys.listen", |config| {
                config.listeners.keys.listen = "localhost:1".to_owned();
            }),
        ];
        for (name, change) in table {
            let mut changed = everything();
            change(&mut changed);
            assert_refused(&changed, name);
        }
        let mut changed = everything();
        let account = changed
            .acme
            .as_mut()
            .and_then(|acme| acme.external_account.as_mut());
        account.expect("an account").hmac_key = secret();
        assert_refused(&changed, "acme");
        for (place, is) in everything().evidence.secrets().enumerate() {
            assert_eq!(is.expose_secret(), "AAAA", "{place}");
        }
        let mut changed = everything();
        if let AnchorPlace::S3(s3) = &mut changed.evidence.anchors[0].to {
            s3.secret_access_key = Some(secret());
        }
        assert_refused(&changed, "evidence");
        let mut changed = everything();
        if let ExportPlace::Webhook(webhook) = &mut changed.evidence.exports[0].to {
            webhook.previous_secret = Some(secret());
        }
        assert_refused(&changed, "evidence");
    }

    fn assert_refused(changed: &Config, name: &str) {
        let error = refuse_fixed(&everything(), changed).expect_err(name).to_string();
        assert_eq!(error, format!("{name} changes only with a restart"));
    }

    #[test]
    fn what_a_reload_applies_it_does_not_refuse() {
        let mut changed = everything();
        changed.authenticate_oidc.groups_claim = "teams".to_owned();
        changed.listeners.keys.plaintext_from = vec!["10.0.0.0/8".parse().expect("a network")];
        refuse_fixed(&everything(), &changed).expect("applied");
        // Without an ACME server an exception is a provider's, whose clients are made anew.
        let (mut old, mut new) = (everything(), everything());
        (old.acme, new.acme) = (None, None);
        new.outbound_allow.clear();
        refuse_fixed(&old, &new).expect("applied");
        old.outbound_allow
            .push("127.0.0.1:8401".parse().expect("the stop list's"));
        assert!(refuse_fixed(&old, &new).is_err());
    }
}
