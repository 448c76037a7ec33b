//! `countersign simulate VENDOR`: a vendor's authorization server on this machine, to try an agent against.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use countersign_crypto::{SystemClock, SystemRandom};
use countersign_playground::{Parts, SimulatedVendor, Simulator, SimulatorConfig, listen};
use serde_json::{Map, Value, json};

use crate::{
    args::{Global, Output},
    output,
    roles::{self, Serving},
    telemetry,
};

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Which vendor.
    #[arg(value_parser = PossibleValuesParser::new(SimulatedVendor::all().map(simulated)), ignore_case = true)]
    pub(crate) vendor: String,
    /// The port on 127.0.0.1; 0 for any free one.
    #[arg(long, value_name = "P", default_value_t = 8410)]
    pub(crate) port: u16,
    /// How long access tokens live, instead of as long as the vendor's. A vendor whose tokens do not expire (github,
    /// notion) then issues expiring ones with refresh tokens.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) token_lifetime: Option<u64>,
    /// A redirect URI that is not on this machine; those on it are all taken. Give it once for each.
    #[arg(long = "redirect-uri", value_name = "URL")]
    pub(crate) redirect_uris: Vec<String>,
}

fn simulated(vendor: SimulatedVendor) -> PossibleValue {
    PossibleValue::new(vendor.name)
        .help(vendor.label)
        .alias(vendor.wire_name)
}

/// The one client there is.
const CLIENT_ID: &str = "simulated-client";
/// No secret from anybody: the simulator is reachable from this machine alone, and has nothing to guard.
const CLIENT_SECRET: &str = "simulated-secret";
/// The password of alice and bob.
const PASSWORD: &str = "countersign";

/// Serves until it is interrupted.
pub(crate) async fn run(args: SimulateArgs, global: &Global) -> anyhow::Result<()> {
    telemetry::install(global.log_format, &telemetry::Telemetry::default(), "simulate")?;
    let vendor = SimulatedVendor::find(&args.vendor).context("no such vendor")?;
    let address = SocketAddr::from(([127, 0, 0, 1], args.port));
    let listener = listen(address)
        .await
        .with_context(|| format!("port {} is not available; choose another with --port", args.port))?;
    let origin = format!("http://{}", listener.local_addr()?);
    let config = SimulatorConfig {
        vendor: args.vendor,
        origin: origin.clone(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: args.redirect_uris,
        token_lifetime: args.token_lifetime.map(Duration::from_secs),
    };
    let parts = Parts {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let simulator = Simulator::new(config, parts)?;
    let mut serving = Serving::new();
    serving.add("the simulator", vec![listener], simulator.router());
    let signals = roles::ending()?;
    match global.output {
        Output::Json => output::json_line(&as_json(&vendor, &origin))?,
        Output::Text => say(&vendor, &origin),
    }
    let interrupted = serving.until_interrupted(signals).await;
    output::note("stopping");
    serving.drain_and_wait().await?;
    interrupted
}

fn endpoints(vendor: &SimulatedVendor, origin: &str) -> Vec<(&'static str, String)> {
    let there =
        |(name, place): (&'static str, Option<&'static str>)| Some((name, format!("{origin}/{}", place?)));
    vendor.endpoints.into_iter().filter_map(there).collect()
}

fn as_json(vendor: &SimulatedVendor, origin: &str) -> Value {
    let endpoints: Map<String, Value> = endpoints(vendor, origin)
        .into_iter()
        .map(|(name, url)| (name.to_owned(), url.into()))
        .collect();
    json!({
        "vendor": vendor.name,
        "credentialProviderVendor": vendor.wire_name,
        "origin": origin,
        "clientId": CLIENT_ID,
        "clientSecret": CLIENT_SECRET,
        "users": ["alice", "bob"],
        "password": PASSWORD,
        "endpoints": endpoints,
        "create": create(vendor, origin),
    })
}

/// The command that creates a provider of this vendor's.
fn create(vendor: &SimulatedVendor, origin: &str) -> String {
    let place = match (vendor.name, vendor.issuer) {
        ("custom", Some(issuer)) => {
            format!(" --discovery-url {origin}/{issuer}/.well-known/openid-configuration")
        }
        (_, Some(issuer)) => format!(" --issuer https://{issuer}"),
        (_, None) => String::new(),
    };
    format!(
        "SIMULATED_SECRET={CLIENT_SECRET} countersign provider create {name} --vendor {name}{place} \
         --client-id {CLIENT_ID} --client-secret env:SIMULATED_SECRET",
        name = vendor.name,
    )
}

/// The line that begins with `ready`, and how to use it.
fn say(vendor: &SimulatedVendor, origin: &str) {
    output::line(format!(
        "ready   {} simulated at {origin}, for this machine alone",
        vendor.label
    ));
    output::line(format!("        log in as alice or bob, password {PASSWORD}"));
    output::line(format!(
        "        client id {CLIENT_ID}   client secret {CLIENT_SECRET}"
    ));
    for (name, url) in endpoints(vendor, origin) {
        output::line(format!("        {name:9} {url}"));
    }
    let host_port = origin.trim_start_matches("http://");
    output::line("");
    if vendor.name == "custom" {
        output::line("Let the identity service reach it:");
        output::line(format!("    countersign dev --allow-outbound {host_port}"));
        output::line("or, for `serve`, in the configuration file:");
        output::line("    [identity]");
        output::line(format!("    outbound_allow = [\"{host_port}\"]"));
    } else {
        output::line(format!("Put it in {}'s place:", vendor.label));
        output::line(format!(
            "    countersign dev --vendor-endpoint {}={origin}",
            vendor.name
        ));
        output::line("or, for `serve`, in the configuration file:");
        output::line("    [identity.vendor_endpoints]");
        output::line(format!("    {} = \"{origin}\"", vendor.wire_name));
    }
    output::line("Then create a provider:");
    output::line(format!("    {}", create(vendor, origin)));
}
