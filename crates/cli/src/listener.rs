//! What protects the listeners of the roles (design D18): TLS on every address that other machines reach, with
//! `plaintext_from` as the exception of those that a load balancer stands before. The identity API has no exception:
//! its answers are tokens.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use countersign_agent as agent;
use countersign_binding as binding;
use countersign_identity as identity;
use countersign_web::{
    Transport,
    tls::{ListenerTransport, ProxyProtocol, Tls, TlsConfig},
};
use ipnet::IpNet;

use crate::config::{Config, Operations};

/// A listener as it is configured.
pub(crate) struct Listener<'a> {
    /// Its key in the configuration.
    pub(crate) place: String,
    /// The key of its TLS.
    pub(crate) tls_key: String,
    /// `host:port`.
    pub(crate) listen: &'a str,
    pub(crate) tls: Option<&'a TlsConfig>,
    /// Networks that may come without TLS.
    pub(crate) plaintext_from: &'a [IpNet],
    /// Whether there is an exception at all.
    pub(crate) may_be_plain: bool,
    /// Who may send a PROXY protocol header; a gateway's listeners take care of their own.
    proxy_protocol: Option<&'a ProxyProtocol>,
    /// Names of a self-signed certificate, with or without port.
    names: &'a [String],
}

impl<'a> Listener<'a> {
    pub(crate) fn identity_api(config: &'a identity::Config) -> Self {
        Self {
            place: "identity.listen_api".to_owned(),
            tls_key: "identity.api_tls".to_owned(),
            listen: &config.listen_api,
            tls: config.api_tls.as_ref(),
            plaintext_from: &[],
            may_be_plain: false,
            proxy_protocol: None,
            names: &config.api_hosts,
        }
    }

    pub(crate) fn front_channel(config: &'a identity::Config) -> Self {
        Self {
            place: "identity.listen_front_channel".to_owned(),
            tls_key: "identity.front_channel_tls".to_owned(),
            listen: &config.listen_front_channel,
            tls: config.front_channel_tls.as_ref(),
            plaintext_from: &config.front_channel_plaintext_from,
            may_be_plain: true,
            proxy_protocol: None,
            names: &config.front_channel_hosts,
        }
    }

    pub(crate) fn binding(config: &'a binding::Config) -> Self {
        Self {
            place: "binding.listen".to_owned(),
            tls_key: "binding.tls".to_owned(),
            listen: &config.listen,
            tls: config.tls.as_ref(),
            plaintext_from: &config.plaintext_from,
            may_be_plain: true,
            proxy_protocol: None,
            names: &config.hosts,
        }
    }

    pub(crate) fn agent(config: &'a agent::Config) -> Self {
        Self {
            place: "agent.listen".to_owned(),
            tls_key: "agent.tls".to_owned(),
            listen: &config.listen,
            tls: config.tls.as_ref(),
            plaintext_from: &config.plaintext_from,
            may_be_plain: true,
            proxy_protocol: None,
            names: &config.hosts,
        }
    }

    pub(crate) fn operations(config: &'a Operations) -> Self {
        Self {
            place: "operations.listen".to_owned(),
            tls_key: "operations.tls".to_owned(),
            listen: &config.listen,
            tls: config.tls.as_ref(),
            plaintext_from: &config.plaintext_from,
            may_be_plain: true,
            proxy_protocol: config.proxy_protocol.as_ref(),
            names: &[],
        }
    }

    /// Every listener of a configuration, the gateway's too.
    pub(crate) fn all(config: &'a Config) -> Vec<Self> {
        let mut all = vec![Self::operations(&config.operations)];
        if let Some(identity) = &config.identity {
            all.extend([Self::identity_api(identity), Self::front_channel(identity)]);
        }
        if let Some(gateway) = &config.gateway {
            all.extend(gateway.listeners.sockets().map(|socket| Self {
                place: format!("gateway.listeners.{}", socket.name),
                tls_key: format!("gateway.listeners.{}.tls", socket.name),
                listen: socket.listen,
                tls: socket.tls,
                plaintext_from: socket.plaintext_from,
                may_be_plain: true,
                proxy_protocol: None,
                names: &[],
            }));
        }
        all.extend(config.binding.as_ref().map(Self::binding));
        all.extend(config.agent.as_ref().map(Self::agent));
        all
    }

    /// Whether it listens where this machine alone can come.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.listen.rsplit_once(':') {
            Some(("localhost", _)) => true,
            Some((host, _)) => {
                let address = host.trim_start_matches('[').trim_end_matches(']');
                address
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
            }
            None => false,
        }
    }

    /// Refuses what cannot be kept safe. Reads no files.
    ///
    /// # Errors
    /// Names the key and what to write.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.may_be_plain && self.tls.is_none() && !self.is_loopback() {
            bail!(
                "{}: other machines can reach {}, and its answers are tokens: write {} (it has no plaintext_from)",
                self.place,
                self.listen,
                self.tls_key
            );
        }
        if self.tls.is_some_and(|tls| tls.acme) && !self.tls_key.starts_with("gateway.") {
            bail!(
                "{}: certificates by ACME are for the gateway's listeners; name files or write \"self-signed\"",
                self.tls_key
            );
        }
        Ok(())
    }

    /// What comes before HTTP. `None` where nothing does: plain HTTP on loopback.
    ///
    /// # Errors
    /// Names the key, and the file with what is wrong with it.
    pub(crate) fn transport(&self) -> anyhow::Result<Option<Arc<dyn Transport>>> {
        self.check()?;
        if self.tls.is_none() && self.is_loopback() && self.proxy_protocol.is_none() {
            return Ok(None);
        }
        let tls = match self.tls {
            None => None,
            Some(tls) => {
                let mut names: Vec<String> = self.names.iter().map(|name| host_name(name)).collect();
                if names.is_empty() {
                    names.push("localhost".to_owned());
                }
                let tls = Tls::load(tls, &names, None).with_context(|| self.tls_key.clone())?;
                tls.watch();
                Some(tls)
            }
        };
        let transport =
            ListenerTransport::new(tls, self.proxy_protocol.cloned(), self.plaintext_from.to_vec())
                .header_may_be_absent();
        Ok(Some(Arc::new(transport)))
    }
}

/// A host without its port.
fn host_name(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name.to_owned(),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener<'a>(listen: &'a str, tls: Option<&'a TlsConfig>, may_be_plain: bool) -> Listener<'a> {
        Listener {
            place: "role.listen".to_owned(),
            tls_key: "role.tls".to_owned(),
            listen,
            tls,
            plaintext_from: &[],
            may_be_plain,
            proxy_protocol: None,
            names: &[],
        }
    }

    #[test]
    fn loopback_is_what_this_machine_alone_reaches() {
        for (listen, expected) in [
            ("localhost:1", true),
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("localhost.example:1", false),
            ("localhost", false),
        ] {
            assert_eq!(listener(listen, None, true).is_loopback(), expected, "{listen}");
        }
    }

    #[test]
    fn the_identity_api_is_never_plain_for_others() {
        assert!(listener("localhost:1", None, false).check().is_ok());
        assert!(listener("0.0.0.0:1", None, true).check().is_ok());
        let error = listener("0.0.0.0:1", None, false).check().unwrap_err();
        assert!(error.to_string().contains("write role.tls"), "{error}");
        let own = TlsConfig {
            self_signed: true,
            ..TlsConfig::default()
        };
        assert!(listener("0.0.0.0:1", Some(&own), false).check().is_ok());
        let acme = TlsConfig {
            acme: true,
            ..TlsConfig::default()
        };
        assert!(listener("0.0.0.0:1", Some(&acme), false).check().is_err());
    }
}
