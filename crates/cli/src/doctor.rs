//! `countersign doctor`: what is wrong or dangerous in a configuration, and how to mend it.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode};

use countersign_crypto::{FileKeyProvider, SystemRandom};
use countersign_db::{DatabaseConfig, Pool, database_identity};
use serde::Serialize;

use crate::{
    args::{DoctorArgs, Output},
    config::{self, Config},
    output, roles,
};

/// How bad a finding is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

/// One thing to mend.
#[derive(Debug, Serialize)]
struct Finding {
    severity: Severity,
    place: String,
    what: String,
    mend: String,
}

/// Prints the findings; 1 if there is an error among them.
pub(crate) async fn run(args: &DoctorArgs, output: Output) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.file.config)?;
    let mut findings = vec![];
    keys(&config, &mut findings);
    transport(&config, &mut findings);
    if args.deep {
        deep(&config, &mut findings).await;
    }
    match output {
        Output::Json => output::json(&findings)?,
        Output::Text if findings.is_empty() => output::line("nothing to mend"),
        Output::Text => {
            for finding in &findings {
                let severity = if finding.severity == Severity::Error {
                    "error"
                } else {
                    "warning"
                };
                output::line(format!("{severity}: {}: {}", finding.place, finding.what));
                output::line(format!("  mend: {}", finding.mend));
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if failed {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

fn add(findings: &mut Vec<Finding>, severity: Severity, place: &str, what: impl Into<String>, mend: &str) {
    findings.push(Finding {
        severity,
        place: place.to_owned(),
        what: what.into(),
        mend: mend.to_owned(),
    });
}

/// Key files: there, private, one for each owner of secrets.
fn keys(config: &Config, findings: &mut Vec<Finding>) {
    let files = [
        (
            "keys.identity",
            config.identity.is_some(),
            config.keys.identity.as_deref(),
        ),
        (
            "keys.gateway",
            config.gateway.is_some(),
            config.keys.gateway.as_deref(),
        ),
    ];
    for (place, needed, path) in files {
        match path {
            None if needed => add(
                findings,
                Severity::Error,
                place,
                "is not set",
                "name a key file for this role",
            ),
            Some(path) => key_file(place, path, findings),
            None => {}
        }
    }
    if config.keys.identity.is_some() && config.keys.identity == config.keys.gateway {
        add(
            findings,
            Severity::Error,
            "keys",
            "the gateway and the identity service share a key file, so the gateway could open the vault",
            "give each its own",
        );
    }
}

fn key_file(place: &str, path: &Path, findings: &mut Vec<Finding>) {
    let Ok(metadata) = std::fs::metadata(path) else {
        let mend = "nothing to do before the first start, which makes it; else restore it from your backup";
        return add(
            findings,
            Severity::Warning,
            place,
            format!("{} does not exist", path.display()),
            mend,
        );
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let what = format!("{} can be read by others", path.display());
        add(
            findings,
            Severity::Error,
            place,
            what,
            "chmod 600, and rotate the keys if others may have read it",
        );
    } else if let Err(error) = FileKeyProvider::open(path, std::sync::Arc::new(SystemRandom)) {
        add(
            findings,
            Severity::Error,
            place,
            error.to_string(),
            "restore it from your backup",
        );
    }
}

/// Plain HTTP is for loopback (design D18).
fn transport(config: &Config, findings: &mut Vec<Finding>) {
    let mut listens = vec![("operations.listen", config.operations.listen.as_str())];
    if let Some(identity) = &config.identity {
        listens.push(("identity.listen_api", &identity.listen_api));
        listens.push(("identity.listen_front_channel", &identity.listen_front_channel));
        if identity.front_channel_url.scheme() != "https"
            && !is_loopback(identity.front_channel_url.host_str())
        {
            let mend = "put TLS in front of the account origin and write its https URL";
            add(
                findings,
                Severity::Error,
                "identity.front_channel_url",
                "is plain http",
                mend,
            );
        }
        if !identity.outbound_allow.is_empty() {
            let what = format!(
                "{} exceptions to the outbound guard",
                identity.outbound_allow.len()
            );
            add(
                findings,
                Severity::Warning,
                "identity.outbound_allow",
                what,
                "keep only what is needed",
            );
        }
    }
    for vendor in config
        .identity
        .iter()
        .flat_map(|identity| identity.vendor_endpoints.keys())
    {
        add(
            findings,
            Severity::Warning,
            "identity.vendor_endpoints",
            format!("every {vendor} provider goes to a simulator, not to the vendor"),
            "remove it unless this installation is for tests",
        );
    }
    if let Some(binding) = &config.binding {
        listens.push(("binding.listen", &binding.listen));
    }
    if let Some(agent) = &config.agent {
        listens.push(("agent.listen", &agent.listen));
    }
    for (place, listen) in listens {
        let host = listen.rsplit_once(':').map(|(host, _)| host);
        if !is_loopback(host) {
            let what = format!("{listen} is reachable from other machines over plain HTTP");
            add(
                findings,
                Severity::Warning,
                place,
                what,
                "listen on loopback, or keep it inside a private network",
            );
        }
    }
}

fn is_loopback(host: Option<&str>) -> bool {
    matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// What only a connection tells.
async fn deep(config: &Config, findings: &mut Vec<Finding>) {
    if let Some(identity) = &config.identity {
        database(&identity.database, "identity", findings).await;
    }
    if let Some(gateway) = &config.gateway {
        database(&gateway.database, "gateway", findings).await;
        let issuer = &gateway.authenticate_oidc.issuer;
        let place = "gateway.authenticate_oidc.issuer";
        let reached = async {
            let url = url::Url::parse(issuer)?;
            let client = roles::operator_client(std::slice::from_ref(&url))?;
            let parts: countersign_crypto::SharedClock = std::sync::Arc::new(countersign_crypto::SystemClock);
            let discovery = countersign_oauth::Discovery::new(client, parts);
            let document = match &gateway.authenticate_oidc.discovery_url {
                Some(document) => document.clone(),
                None => countersign_oauth::discovery::openid_configuration_url(issuer)?,
            };
            discovery.fetch(&document).await?;
            anyhow::Ok(())
        };
        if let Err(error) = reached.await {
            add(
                findings,
                Severity::Error,
                place,
                format!("{error:#}"),
                "check the issuer and the network",
            );
        }
    }
}

async fn database(config: &DatabaseConfig, owner: &str, findings: &mut Vec<Finding>) {
    let place = format!("{owner}.database");
    let opened = async {
        let pool = Pool::connect(&config.database(owner)?.read_only()).await?;
        let identity = database_identity(&pool).await;
        pool.close().await;
        anyhow::Ok(identity?)
    };
    match opened.await {
        Ok(identity) if identity.dev => {
            add(
                findings,
                Severity::Error,
                &place,
                "was made by `countersign dev`",
                "use a new database",
            );
        }
        Ok(_) => {}
        Err(error) => {
            add(
                findings,
                Severity::Error,
                &place,
                format!("{error:#}"),
                "check the URL, then `countersign migrate`",
            );
        }
    }
}
