//! The arguments of `countersign dev`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use countersign_outbound::HostPort;
use countersign_playground::SimulatedVendor;
use url::Url;

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where the databases, keys and conversations live.
    #[arg(long, value_name = "DIR", default_value = ".countersign")]
    pub(crate) data: PathBuf,
    /// The first of the ten ports that are used.
    #[arg(long, value_name = "N", default_value_t = 8400, value_parser = clap::value_parser!(u16).range(1024..=65526))]
    pub(crate) port_base: u16,
    /// Write shell lines NAME=value for AWS SDKs to this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// The model behind the agent: offline, vendor:name[@URL], or auto (what `COUNTERSIGN_MODEL` names, else offline).
    #[arg(long, value_name = "MODEL", default_value = "auto")]
    pub(crate) model: String,
    /// Log people in at this OpenID provider (its issuer URL) instead of the playground's.
    #[arg(long, value_name = "URL", value_parser = issuer, requires_all = ["idp_client_id", "idp_client_secret"])]
    pub(crate) idp: Option<String>,
    /// The client id registered at --idp.
    #[arg(long, value_name = "ID", requires = "idp")]
    pub(crate) idp_client_id: Option<String>,
    /// The client secret registered at --idp, or a reference `env:NAME` or `file:PATH` to it.
    #[arg(long, value_name = "SECRET", requires = "idp")]
    pub(crate) idp_client_secret: Option<String>,
    /// Put an agent of yours behind the gateway in the place of the reference agent: its address on this machine.
    #[arg(long, value_name = "URL", value_parser = agent)]
    pub(crate) agent: Option<Url>,
    /// Let the identity service reach a service of yours on this machine or network; give it once for each.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_outbound: Vec<HostPort>,
    /// Send every provider of a vendor to a simulator on this machine (`countersign simulate`) instead of to the
    /// vendor; give it once for each.
    #[arg(long, value_name = "VENDOR=URL", value_parser = vendor_endpoint)]
    pub(crate) vendor_endpoint: Vec<(String, Url)>,
    /// What happens when a person connects another account than before: `replace` it, ask them to `confirm`, or `refuse`.
    #[arg(long, value_name = "SETTING", default_value = "replace", value_parser = ["replace", "confirm", "refuse"])]
    pub(crate) account_change: String,
    /// What alice may do in the console of an installation without --idp.
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = ConsoleRole::Viewer)]
    pub(crate) console_role: ConsoleRole,
    /// Send traces to this OpenTelemetry collector: the base URL of its OTLP/HTTP receiver, such as
    /// `http://localhost:4318`.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<Url>,
    /// Keep the identity service's data here instead of in a SQLite file under --data.
    #[arg(long, value_name = "URL", hide = true)]
    pub(crate) identity_database: Option<String>,
    /// Hand checkpoints and records of the identity service over to files in this directory.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) evidence_directory: Option<PathBuf>,
    /// How long the playground's access tokens live, so that refresh can be seen sooner.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, hide = true)]
    pub(crate) playground_token_lifetime: u64,
}

/// A role of the console.
#[derive(Debug, Copy, Clone, ValueEnum)]
pub(crate) enum ConsoleRole {
    /// Look at everything.
    Viewer,
    /// Also stop, start and revoke.
    Responder,
    /// Also rotate keys.
    Admin,
}

impl ConsoleRole {
    /// The setting that lists its groups.
    pub(super) const fn setting(self) -> &'static str {
        match self {
            Self::Viewer => "viewers",
            Self::Responder => "responders",
            Self::Admin => "admins",
        }
    }
}

/// An issuer is compared as text (OpenID Connect Discovery 1.0, section 3), so it is kept as written.
fn issuer(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "https" | "http")
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Ok(text.to_owned())
        }
        Ok(_) => Err("an issuer is an https URL without query and fragment".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The gateway sends people's tokens there.
fn agent(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.host_str() {
        Some("localhost" | "127.0.0.1" | "[::1]") if url.scheme() == "http" && url.path() == "/" => Ok(url),
        _ => Err("the agent must be on this machine: http://127.0.0.1:PORT".to_owned()),
    }
}

/// A vendor, by its short name or the API's, and the URL of its simulator. Gives the API's name.
fn vendor_endpoint(text: &str) -> Result<(String, Url), String> {
    let (name, url) = text.split_once('=').ok_or("expected VENDOR=URL")?;
    let vendor = SimulatedVendor::find(name).ok_or_else(|| format!("{name} is no vendor"))?;
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    // The configuration is checked again; here it is wrong usage.
    match url.host_str() {
        Some("localhost" | "127.0.0.1" | "[::1]") if url.scheme() == "http" => {
            Ok((vendor.wire_name.to_owned(), url))
        }
        _ => Err("the simulator must be on this machine: http://127.0.0.1:PORT".to_owned()),
    }
}
