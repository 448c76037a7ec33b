//! A new configuration in a running gateway: all of it, or nothing and a message that says why.

use std::sync::Arc;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::ExposeSecret as _;
use countersign_web::tls::{PreparedTls, TlsError};

use crate::authenticate::site::Applications;
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
        for (door, tls) in prepared {
            door.install(tls);
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

/// Settings that sockets, stores and keys were made with.
fn refuse_fixed(old: &Config, new: &Config) -> Result<(), ReloadError> {
    let fixed = |config: &Config| {
        let mut settings: Vec<(String, String)> = vec![
            ("account".to_owned(), config.account.clone()),
            ("region".to_owned(), config.region.clone()),
            ("cookie_suffix".to_owned(), config.cookie_suffix.clone()),
            (
                "database".to_owned(),
                config.database.url.expose_secret().to_owned(),
            ),
            (
                "checkpoint_file".to_owned(),
                format!("{:?}", config.checkpoint_file),
            ),
            (
                "operator".to_owned(),
                format!(
                    "{:?}",
                    config
                        .operator
                        .as_ref()
                        .map(|operator| operator.token.expose_secret())
                ),
            ),
            ("access_log".to_owned(), format!("{:?}", config.access_log)),
            ("stop_list".to_owned(), format!("{:?}", config.stop_list)),
            ("claims_header".to_owned(), format!("{:?}", config.claims_header)),
            ("user_token".to_owned(), format!("{:?}", config.user_token)),
            ("client".to_owned(), format!("{:?}", config.client)),
            ("workers".to_owned(), format!("{:?}", config.workers)),
            ("acme".to_owned(), format!("{:?}", config.acme)),
            (
                "listeners.keys.hosts".to_owned(),
                config.listeners.keys.hosts.join(" "),
            ),
        ];
        let keys = &config.listeners.keys;
        let listeners = config.listeners.with_rules().map(|(name, listener)| {
            let tls = listener.tls.as_ref().map(|tls| tls.acme);
            (name, &listener.listen, tls)
        });
        for (name, listen, tls) in
            listeners.chain([("keys", &keys.listen, keys.tls.as_ref().map(|t| t.acme))])
        {
            settings.push((format!("listeners.{name}.listen"), listen.clone()));
            settings.push((format!("listeners.{name}.tls"), format!("{tls:?}")));
        }
        settings
    };
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
            claims_headers: self.claims_headers.clone(),
            forwarder: crate::forward::Forwarder::new(&config.forward, self.random.clone()),
            jwks: crate::gateway::jwks(config, &self.clock)?,
            recorder: self.recorder.clone(),
            csrf_secret: self.csrf_secret,
            max_request_body_bytes: crate::gateway::max_request_body(config),
            clock: self.clock.clone(),
            random: self.random.clone(),
        })
    }
}
