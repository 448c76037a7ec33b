//! The configuration that `dev` runs with: the same sections as a file for `serve`, on loopback, with SQLite.

use anyhow::Context as _;
use countersign_crypto::{ExposeSecret, SecretString};
use countersign_gateway::config::{account_rules, app_rules};
use countersign_identity::{AccessKey, Bootstrap, BootstrapProvider};
use countersign_outbound::HostPort;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use url::Url;

use super::DevArgs;
use super::{
    DataDirectory,
    model::Model,
    playground::CLIENT_ID,
    ports::{Ports, ours, playground},
    secrets::Secrets,
};
use crate::config::secret_reference;
pub(super) use crate::data_directory::{DEV_ACCOUNT as ACCOUNT, DEV_REGION as REGION};

/// The reference agent's workload identity.
pub(super) const WORKLOAD: &str = "dev-agent";
/// The provider that Ledgerline is registered as.
pub(super) const PROVIDER: &str = "ledgerline";
/// Each role's own audience of user tokens: a token opens one door (design D8).
const AGENT_AUDIENCE: &str = "dev-agent";
const BINDING_AUDIENCE: &str = "binding";
const IDENTITY_AUDIENCE: &str = "identity";
/// With it the gateway asks identity who is stopped.
const STOP_LIST_AUDIENCE: &str = "identity-stop-list";

/// What people log in at: the playground's provider, or the one of `--idp`.
pub(super) struct LoginProvider {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
}

impl LoginProvider {
    /// The provider that the arguments name; `playground_secret` is our client's at the playground.
    pub(super) fn of(args: &DevArgs, ports: Ports, playground_secret: SecretString) -> anyhow::Result<Self> {
        match (&args.idp, &args.idp_client_id, &args.idp_client_secret) {
            (Some(issuer), Some(client_id), Some(secret)) => {
                let secret = match secret_reference::read(secret).context("--idp-client-secret")? {
                    Some(secret) => secret,
                    None => secret.clone(),
                };
                Ok(Self {
                    issuer: issuer.clone(),
                    client_id: client_id.clone(),
                    client_secret: secret.into(),
                })
            }
            _ => Ok(Self {
                issuer: playground(ports.openid_provider()),
                client_id: CLIENT_ID.to_owned(),
                client_secret: playground_secret,
            }),
        }
    }

    /// What the gateway may reach although it is plain HTTP or on this machine.
    fn outbound(&self) -> Vec<String> {
        host_port(&self.issuer).into_iter().collect()
    }
}

/// The identity role's section.
pub(super) fn identity(
    args: &DevArgs,
    ports: Ports,
    data: &DataDirectory,
) -> anyhow::Result<countersign_identity::Config> {
    let mut allow = vec![
        format!("127.0.0.1:{}", ports.ledgerline()),
        format!("localhost:{}", ports.gateway_keys()),
    ];
    allow.extend(args.idp.as_deref().and_then(host_port));
    allow.extend(args.allow_outbound.iter().map(ToString::to_string));
    let vendor_endpoints: Map<String, Value> = args
        .vendor_endpoint
        .iter()
        .map(|(vendor, url)| (vendor.clone(), url.as_str().into()))
        .collect();
    let database = match &args.identity_database {
        Some(url) => url.clone(),
        None => format!("sqlite:{}", data.identity_database().display()),
    };
    let evidence = match &args.evidence_directory {
        None => json!({}),
        Some(directory) => json!({
            "anchors": [{ "name": "directory", "to": { "file": directory.join("checkpoints") } }],
            "exports": [{ "name": "directory", "format": "ocsf", "batch": 1000, "to": { "directory": directory } }],
        }),
    };
    section(json!({
        "account": ACCOUNT,
        "region": REGION,
        "account_change": args.account_change,
        "evidence": evidence,
        "listen_api": format!("localhost:{}", ports.identity_api()),
        "listen_front_channel": format!("localhost:{}", ports.front_channel()),
        "api_hosts": hosts(ports.identity_api()),
        "front_channel_url": ours(ports.account()),
        "app_url": ours(ports.app()),
        "front_channel_hosts": hosts(ports.front_channel()),
        "cookie_suffix": ports.0.to_string(),
        "checkpoint_file": data.checkpoints(),
        "outbound_allow": allow,
        "vendor_endpoints": vendor_endpoints,
        "database": { "url": database },
        "console": { args.console_role.setting(): [countersign_playground::OPERATORS] },
        "gateways": [{
            "issuer": user_token_issuer(ports),
            "workload_audiences": { WORKLOAD: AGENT_AUDIENCE },
            "completion_audience": BINDING_AUDIENCE,
            "start_audience": IDENTITY_AUDIENCE,
            "stop_list_audience": STOP_LIST_AUDIENCE,
        }],
    }))
}

/// The exact `host:port` of a URL that the operator named.
fn host_port(url: &str) -> Option<String> {
    Some(HostPort::of(&Url::parse(url).ok()?)?.to_string())
}

/// What the identity service must have before anything works.
pub(super) fn bootstrap(ports: Ports, secrets: &Secrets) -> anyhow::Result<Bootstrap> {
    let metadata = format!(
        "{}/.well-known/oauth-authorization-server",
        playground(ports.ledgerline())
    );
    Ok(Bootstrap {
        admin: Some(secrets.admin()),
        agent: Some(secrets.agent()),
        binding: Some(secrets.binding()),
        workload: WORKLOAD.to_owned(),
        return_urls: vec![Url::parse(&return_url(ports))?],
        provider: BootstrapProvider {
            name: PROVIDER.to_owned(),
            discovery_url: Url::parse(&metadata)?,
            client_id: CLIENT_ID.to_owned(),
            client_secret: secrets.ledgerline_client_secret.clone(),
        },
    })
}

/// The gateway role's section.
pub(super) fn gateway(
    args: &DevArgs,
    ports: Ports,
    data: &DataDirectory,
    login: &LoginProvider,
    secrets: &Secrets,
) -> anyhow::Result<countersign_gateway::Config> {
    // As an origin: the target group's path comes from each request.
    let own_agent = args.agent.as_ref().map(|url| url.origin().ascii_serialization());
    let agent_url = own_agent.unwrap_or_else(|| ours(ports.agent()));
    let mut outbound = login.outbound();
    outbound.push(format!("localhost:{}", ports.front_channel()));
    let mut config: countersign_gateway::Config = section(json!({
        "account": ACCOUNT,
        "region": REGION,
        "cookie_suffix": ports.0.to_string(),
        "checkpoint_file": data.checkpoints(),
        "database": { "url": format!("sqlite:{}", data.gateway_database().display()) },
        "outbound_allow": outbound,
        "stop_list": {
            "url": format!("{}/identities/stops", ours(ports.front_channel())),
            "audience": STOP_LIST_AUDIENCE,
        },
        "operator": { "token": secrets.operator_token() },
        "access_log": { "format": "json", "path": data.access_log() },
        "authenticate_oidc": {
            "issuer": login.issuer,
            "client_id": login.client_id,
            "client_secret": login.client_secret.expose_secret(),
        },
        "claims_header": {
            "signer": format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/countersign-dev/{:016x}", ports.0),
        },
        "user_token": { "issuer": user_token_issuer(ports) },
        "listeners": {
            "app": {
                "listen": format!("localhost:{}", ports.app()),
                "origin": ours(ports.app()),
                // Records of both trails name the same trace, whether or not it is kept anywhere.
                "attributes": { "traceparent": "generate" },
                "rules": [],
            },
            "account": {
                "listen": format!("localhost:{}", ports.account()),
                "origin": ours(ports.account()),
                // Records of both trails name the same trace, whether or not it is kept anywhere.
                "attributes": { "traceparent": "generate" },
                "rules": [],
            },
            "keys": { "listen": format!("localhost:{}", ports.gateway_keys()), "hosts": hosts(ports.gateway_keys()) },
        },
        "target_groups": {
            "agent": { "url": agent_url, "user_token_audience": AGENT_AUDIENCE },
            "binding": {
                "url": ours(ports.binding()),
                "user_token_audience": BINDING_AUDIENCE,
                "cookies": ["browser", "csrf"],
            },
            "identity": {
                "url": ours(ports.front_channel()),
                "user_token_audience": IDENTITY_AUDIENCE,
                "user_token_groups": true,
                "cookies": ["browser", "csrf"],
            },
        },
    }))?;
    config.listeners.app.rules = app_rules("agent");
    config.listeners.account.rules = account_rules("identity", "binding");
    Ok(config)
}

/// The binding role's section.
pub(super) fn binding(ports: Ports, key: &AccessKey) -> anyhow::Result<countersign_binding::Config> {
    section(json!({
        "listen": format!("localhost:{}", ports.binding()),
        "hosts": hosts(ports.binding()),
        "account_url": ours(ports.account()),
        "app_url": ours(ports.app()),
        "gateway_issuer": user_token_issuer(ports),
        "audience": BINDING_AUDIENCE,
        "cookie_suffix": ports.0.to_string(),
        "identity": endpoint(ports, key),
        "outbound_allow": [format!("localhost:{}", ports.gateway_keys())],
    }))
}

/// The agent role's section.
pub(super) fn agent(
    ports: Ports,
    data: &DataDirectory,
    model: &Model,
    key: &AccessKey,
) -> anyhow::Result<countersign_agent::Config> {
    section(json!({
        "listen": format!("localhost:{}", ports.agent()),
        "hosts": hosts(ports.agent()),
        "app_url": ours(ports.app()),
        "gateway_issuer": user_token_issuer(ports),
        "audience": AGENT_AUDIENCE,
        "identity": endpoint(ports, key),
        "account": ACCOUNT,
        "workload": WORKLOAD,
        "return_url": return_url(ports),
        "front_channel_url": ours(ports.account()),
        "tools": { "ledgerline": { "provider": PROVIDER, "url": playground(ports.ledgerline()) } },
        "conversations": data.conversations(),
        "model": model.name,
        "model_api_key": model.api_key.as_ref().map(ExposeSecret::expose_secret),
        "outbound_allow": [format!("localhost:{}", ports.gateway_keys())],
    }))
}

/// Where consent comes back to: the session binding page.
pub(super) fn return_url(ports: Ports) -> String {
    format!("{}/oauth2/session-binding", ours(ports.account()))
}

/// The `iss` of the gateway's user tokens; it stays when hosts or ports of listeners change.
fn user_token_issuer(ports: Ports) -> String {
    format!("{}/default", ours(ports.gateway_keys()))
}

/// The identity API and the access key of one of its principals.
fn endpoint(ports: Ports, key: &AccessKey) -> Value {
    json!({
        "endpoint": ours(ports.identity_api()),
        "region": REGION,
        "access_key_id": key.access_key_id,
        "secret_access_key": key.secret_access_key.expose_secret(),
    })
}

/// The `Host` values of a port of ours.
fn hosts(port: u16) -> Value {
    json!([
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}")
    ])
}

/// A role's section from its members; an error names the key, as for a file.
fn section<T: DeserializeOwned>(members: Value) -> anyhow::Result<T> {
    serde_path_to_error::deserialize(members)
        .map_err(|error| anyhow::anyhow!("key `{}`: {}", error.path(), error.inner()))
}
