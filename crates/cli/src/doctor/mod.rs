//! `countersign doctor`: what is wrong or dangerous in a configuration, and how to mend it.

mod evidence;

use std::{path::Path, process::ExitCode, time::Duration};

use countersign_crypto::{FileKeyProvider, KeyProvider as _, KeyProviderError, SystemRandom};
use countersign_db::{Database, DatabaseConfig, Pool, database_identity};
use countersign_identity::BreakGlass;
use countersign_web::tls::Tls;
use serde::Serialize;

use crate::{
    args::{DoctorArgs, Output},
    backup,
    config::{self, Config},
    key_provider::RootKey,
    listener::Listener,
    output, roles,
};

/// How long the database may take to list principals.
const READ_LIMIT: Duration = Duration::from_secs(10);

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
    keys(&config, &mut findings).await;
    transport(&config, &mut findings);
    break_glass(&config, &mut findings).await;
    evidence::anchored(&config, &mut findings);
    if args.deep {
        deep(&config, &mut findings).await;
    }
    match output {
        Output::Json => output::json(&findings)?,
        Output::Text if findings.is_empty() => output::line("no problems found"),
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

/// Root keys: there, private, one for each owner of secrets.
async fn keys(config: &Config, findings: &mut Vec<Finding>) {
    let files = [
        (
            "keys.identity",
            config.identity.is_some(),
            config.keys.identity.as_ref(),
        ),
        (
            "keys.gateway",
            config.gateway.is_some(),
            config.keys.gateway.as_ref(),
        ),
        ("keys.agent", config.agent.is_some(), config.keys.agent.as_ref()),
    ];
    for (place, needed, root) in files {
        match root {
            None if needed => add(
                findings,
                Severity::Error,
                place,
                "is not set",
                "name a root key for this role",
            ),
            Some(root) => {
                // A backup has the databases of this configuration; an agent's conversations are in none.
                let has_backup = needed && place != "keys.agent";
                root_key(place, root, has_backup, findings).await;
            }
            None => {}
        }
    }
    let name = |root: &Option<RootKey>| root.as_ref().map(RootKey::name);
    let identity = name(&config.keys.identity);
    for (role, other) in [
        ("the gateway", name(&config.keys.gateway)),
        ("the agent", name(&config.keys.agent)),
    ] {
        if identity.is_some() && identity == other {
            add(
                findings,
                Severity::Error,
                "keys",
                format!("{role} and the identity service share a root key, so {role} could open the vault"),
                "give each its own",
            );
        }
    }
}

async fn root_key(place: &str, root: &RootKey, has_backup: bool, findings: &mut Vec<Finding>) {
    if let RootKey::File(path) = root {
        return key_file(place, path, has_backup, findings);
    }
    if let Err(error) = root.open(std::sync::Arc::new(SystemRandom)).await {
        let mend = "until it opens, no server starts; those that run go on";
        add(findings, Severity::Error, place, format!("{error:#}"), mend);
    }
}

fn key_file(place: &str, path: &Path, has_backup: bool, findings: &mut Vec<Finding>) {
    if !path.exists() {
        let mend = "nothing to do before the first start, which makes it; else restore it from your backup";
        return add(
            findings,
            Severity::Warning,
            place,
            format!("{} does not exist", path.display()),
            mend,
        );
    }
    match FileKeyProvider::open(path, std::sync::Arc::new(SystemRandom)) {
        Err(KeyProviderError::Permissions { .. }) => add(
            findings,
            Severity::Error,
            place,
            format!("{} can be read by others", path.display()),
            "chmod 600, or 0440 where root owns it; and rotate the keys if others may have read it",
        ),
        Err(error) => add(
            findings,
            Severity::Error,
            place,
            error.to_string(),
            "restore it from your backup",
        ),
        Ok(provider) if has_backup && !backup::backup_is_verified(path, &provider.key_id()) => add(
            findings,
            Severity::Warning,
            place,
            format!(
                "no backup of {} has been tried; without it nothing in the database opens",
                path.display()
            ),
            "countersign backup FILE --include-keys --config …, then countersign restore FILE --drill --config …",
        ),
        Ok(_) => {}
    }
}

/// Plain HTTP is for loopback (design D18).
fn transport(config: &Config, findings: &mut Vec<Finding>) {
    for listener in Listener::all(config) {
        protection(&listener, findings);
    }
    let Some(identity) = &config.identity else {
        return;
    };
    let url = &identity.front_channel_url;
    if url.scheme() != "https" && !matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        let mend = "give the account origin TLS and write its https URL";
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
    for vendor in identity.vendor_endpoints.keys() {
        add(
            findings,
            Severity::Warning,
            "identity.vendor_endpoints",
            format!("every {vendor} provider goes to a simulator, not to the vendor"),
            "remove it unless this installation is for tests",
        );
    }
}

/// How one listener is protected.
fn protection(listener: &Listener<'_>, findings: &mut Vec<Finding>) {
    let (place, tls_key) = (&listener.place, &listener.tls_key);
    if let Err(error) = listener.check() {
        let mend = format!("set {tls_key}");
        return add(findings, Severity::Error, place, format!("{error:#}"), &mend);
    }
    if let Some(tls) = listener.tls {
        if let Err(error) = Tls::check(tls) {
            let mend = "the process would not start; restore the files";
            add(findings, Severity::Error, tls_key, error.to_string(), mend);
        }
        if tls.self_signed {
            let what = "shows a certificate that nobody can check";
            let mend = "only for load balancers that do not check their targets; else name certificates";
            add(findings, Severity::Warning, tls_key, what, mend);
        }
        return;
    }
    if listener.is_loopback() {
        return;
    }
    if listener.plaintext_from.is_empty() {
        let what = format!(
            "{} has no TLS, so that nobody but this machine can connect",
            listener.listen
        );
        let mend = format!("set {tls_key}, or plaintext_from for a load balancer that ends TLS");
        return add(findings, Severity::Warning, place, what, &mend);
    }
    let networks: Vec<String> = listener.plaintext_from.iter().map(ToString::to_string).collect();
    let what = format!(
        "{} takes plain HTTP from {}",
        listener.listen,
        networks.join(", ")
    );
    let mend = format!("keep these networks to the load balancer alone, or set {tls_key}");
    add(findings, Severity::Warning, place, what, &mend);
    if listener
        .plaintext_from
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        let mend = "name the networks of your load balancer";
        add(
            findings,
            Severity::Error,
            place,
            "plaintext_from is the whole internet",
            mend,
        );
    }
}

/// Principals that may both ask for tokens and complete their sessions (design D6), if the database can be read: that it
/// can't is for `--deep` to say.
async fn break_glass(config: &Config, findings: &mut Vec<Finding>) {
    let Some(identity) = &config.identity else { return };
    let read = async {
        let database = identity.database.database("identity")?;
        if matches!(&database, Database::Sqlite { path, .. } if !path.exists()) {
            return Ok(vec![]);
        }
        let pool = Pool::connect(&database.read_only()).await?;
        let found = countersign_identity::break_glass(&pool).await;
        pool.close().await;
        anyhow::Ok(found?)
    };
    match tokio::time::timeout(READ_LIMIT, read).await {
        Ok(Ok(found)) => {
            for BreakGlass { account, principal } in found {
                let place = format!("principal {principal} of account {account}");
                let what =
                    "is break-glass: it may both ask for tokens and complete the sessions that give them";
                let mend = "keep it for emergencies, with its access key locked away; else `countersign policy update`, \
                            or `principal stop`";
                add(findings, Severity::Warning, &place, what, mend);
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "principals could not be read"),
        Err(_) => tracing::debug!("principals could not be read in time"),
    }
}

/// What only a connection tells.
async fn deep(config: &Config, findings: &mut Vec<Finding>) {
    if let Some(identity) = &config.identity {
        database(&identity.database, "identity", findings).await;
        evidence::delivered("identity", &identity.database, &identity.evidence, findings).await;
        stored(config, &identity.database, findings).await;
    }
    if let Some(gateway) = &config.gateway {
        database(&gateway.database, "gateway", findings).await;
        evidence::delivered("gateway", &gateway.database, &gateway.evidence, findings).await;
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

/// Every value in the identity service's database: whether it parses, and opens.
async fn stored(config: &Config, database: &DatabaseConfig, findings: &mut Vec<Finding>) {
    let examined = async {
        let root = config.keys.identity()?.root;
        let provider = root.open(std::sync::Arc::new(SystemRandom)).await?;
        let pool = Pool::connect(&database.database("identity")?.read_only()).await?;
        let damages = countersign_identity::integrity(&pool, &*provider).await;
        pool.close().await;
        anyhow::Ok(damages?)
    };
    let mend = "restore the row from a backup, or delete what it belongs to; everything else goes on";
    match examined.await {
        Ok(damages) => {
            for damage in damages {
                let place = format!("identity.database: {}.{}", damage.table, damage.column);
                let what = format!("row {}: {}", damage.id, damage.fault);
                add(findings, Severity::Error, &place, what, mend);
            }
        }
        // That the database or the root key is away is a finding already.
        Err(error) => tracing::debug!(%error, "stored values could not be examined"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A warning that nothing ends is one that nobody reads.
    #[tokio::test]
    async fn the_backup_asked_for_is_one_that_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        for role in ["identity", "gateway", "agent"] {
            FileKeyProvider::open_or_create(Path::new(&path(role)), std::sync::Arc::new(SystemRandom))
                .unwrap();
        }
        let mut config: toml::Table = include_str!("../config/default.toml")
            .replace("env:", "")
            .parse()
            .unwrap();
        config.remove("gateway");
        let names = ["identity", "gateway", "agent"].map(|role| (role.to_owned(), path(role).into()));
        config["keys"] = toml::Table::from_iter(names).into();
        let file = directory.path().join("config.toml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut findings = vec![];
        keys(&config::load(&file).unwrap(), &mut findings).await;
        let places: Vec<_> = findings.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, ["keys.identity"], "{findings:?}");
    }
}
