//! The configuration of a process: one TOML file, overlaid by variables, with secret references resolved.
//!
//! Each role owns its section; this module only puts them together. Unknown keys are refused by every section, and
//! an error names the file, the key and the reason.

mod import_alb;
mod overlay;
mod schema;
pub(crate) mod secret_reference;

use std::path::Path;

use anyhow::Context as _;
use countersign_api::Environment;
use countersign_web::tls::{ProxyProtocol, Tls, TlsConfig};
use ipnet::IpNet;
use serde::Deserialize;
use toml::{Table, Value};

use crate::{args::ConfigCommand, key_provider::Keys, listener::Listener, output, telemetry::Telemetry};

/// The commented default: the reference of every key, loaded by a test.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// One file, all roles. A role that is not served may be absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The keys that wrap all other keys, of roles that have any.
    #[serde(default)]
    pub(crate) keys: Keys,
    /// `/healthz`, `/readyz`, `/metrics`.
    #[serde(default)]
    pub(crate) operations: Operations,
    /// Where traces are sent.
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    pub(crate) identity: Option<countersign_identity::Config>,
    pub(crate) gateway: Option<countersign_gateway::Config>,
    pub(crate) binding: Option<countersign_binding::Config>,
    pub(crate) agent: Option<countersign_agent::Config>,
}

/// The operations listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Operations {
    /// Its address.
    pub(crate) listen: String,
    /// TLS; absent, other machines come only from `plaintext_from`.
    pub(crate) tls: Option<TlsConfig>,
    /// Networks whose machines may come without TLS; loopback always may.
    pub(crate) plaintext_from: Vec<IpNet>,
    /// Load balancers whose health checks carry a PROXY protocol header; who comes without one is served too.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            listen: "localhost:8409".to_owned(),
            tls: None,
            plaintext_from: vec![],
            proxy_protocol: None,
        }
    }
}

/// Reads a configuration file as `serve` does.
///
/// # Errors
/// Names the file, the key and the reason.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    let mut table = overlaid(path)?;
    let mut value = Value::Table(std::mem::take(&mut table));
    secret_reference::resolve(&mut value, "").with_context(|| path.display().to_string())?;
    parse(value).with_context(|| path.display().to_string())
}

/// The file with the environment's overlays, references unresolved. A path `env:NAME` is the text of a variable: what
/// starts containers often has variables and no files.
fn overlaid(path: &Path) -> anyhow::Result<Table> {
    let text = match path.to_str().filter(|path| path.starts_with("env:")) {
        Some(reference) => secret_reference::read(reference)?.unwrap_or_default(),
        None => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut table: Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
    overlay::from_environment(&mut table)?;
    Ok(table)
}

fn parse(value: Value) -> anyhow::Result<Config> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        anyhow::anyhow!("key `{path}`: {}", error.into_inner().message())
    })
}

/// What AWS tells a process by variables, where agent and binding have no access key of their own.
#[expect(
    clippy::disallowed_methods,
    reason = "these variables are AWS's, not settings of ours"
)]
pub(crate) fn aws_environment() -> anyhow::Result<Environment> {
    Ok(Environment::read(|name| std::env::var(name).ok())?)
}

/// What would otherwise only fail at the start: rules of the roles, protection of their listeners, certificates.
fn check(config: &Config) -> anyhow::Result<()> {
    if let Some(identity) = &config.identity {
        identity.check().context("identity")?;
        identity.evidence.check().context("identity")?;
    }
    if let Some(gateway) = &config.gateway {
        gateway.check().context("gateway")?;
        gateway.evidence.check().context("gateway")?;
    }
    if let Some(binding) = &config.binding {
        binding.check().context("binding")?;
    }
    if let Some(agent) = &config.agent {
        agent.check().context("agent")?;
    }
    config.telemetry.check()?;
    for listener in Listener::all(config) {
        listener.check()?;
        if let Some(tls) = listener.tls.filter(|tls| !tls.acme) {
            Tls::check(tls).with_context(|| listener.tls_key.clone())?;
        }
    }
    Ok(())
}

/// `countersign config …`.
pub(crate) fn command(command: &ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check(file) => {
            let config = load(&file.config)?;
            check(&config).with_context(|| file.config.display().to_string())?;
            output::line(format!("{}: OK", file.config.display()));
        }
        ConfigCommand::Show(file) => {
            output::line(toml::to_string_pretty(&overlaid(&file.config)?)?.trim_end());
        }
        ConfigCommand::Schema => output::json(&schema::of(DEFAULT))?,
        ConfigCommand::Default => output::line(DEFAULT.trim_end()),
        ConfigCommand::ImportAlb { files } => import_alb::run(files)?,
    }
    Ok(())
}
