//! The command line. Names and exit codes are a stable contract: 0 done, 1 failed, 2 wrong usage.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

/// Lets an AI agent act for a person at other services: only with that person's proven consent, and leaving
/// evidence that anyone can check.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How commands print data.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// How the servers log to standard error. `RUST_LOG` selects what.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How data is printed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// The response unchanged; lists of audit records one object a line.
    Json,
}

/// How log lines are written.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine, with a login provider and a third-party service to play with.
    #[cfg(feature = "playground")]
    Dev(Box<crate::dev::DevArgs>),
    /// Run one role, or all of them, from a configuration file.
    Serve(ServeArgs),
    /// Ask a running server whether it is ready.
    Health(HealthArgs),
    /// Check, show or describe the configuration.
    Config(ConfigArgs),
    /// Look for what is wrong or dangerous in a configuration and its store.
    Doctor(DoctorArgs),
    /// Bring the databases of a configuration to this version.
    Migrate(ConfigFile),
    /// Write the databases of an installation into one encrypted file, while it runs.
    Backup(crate::backup::BackupArgs),
    /// Fill the empty databases of a configuration from a backup, or try whether that would work.
    Restore(crate::backup::RestoreArgs),
    /// Simulate a vendor's authorization server on this machine, with its peculiarities, to try an agent offline.
    #[cfg(feature = "playground")]
    Simulate(crate::simulate::SimulateArgs),
    /// Deployments, seen from outside.
    #[command(subcommand)]
    Deploy(crate::deploy_check::DeployCommand),
    /// Write the manual pages and the completions of shells, as packages install them.
    #[command(hide = true)]
    Manual(crate::manual::ManualArgs),
    /// Workload identities: the agents.
    #[command(subcommand)]
    Workload(WorkloadCommand),
    /// OAuth2 credential providers: the services that agents may be allowed into.
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// API key credential providers: keys of services without OAuth.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Principals: who may call the API.
    #[command(subcommand)]
    Principal(crate::admin::PrincipalCommand),
    /// Access keys of principals.
    #[command(subcommand)]
    AccessKey(crate::admin::AccessKeyCommand),
    /// Policies of principals.
    #[command(subcommand)]
    Policy(crate::admin::PolicyCommand),
    /// Stop, start or forget a person.
    #[command(subcommand)]
    User(crate::admin::UserCommand),
    /// Stop or start the whole account.
    #[command(subcommand)]
    Account(StopCommand),
    /// Browser sessions at the gateway.
    #[command(subcommand)]
    Session(crate::gateway_operator::SessionCommand),
    /// Keys that rotate while their owner runs.
    #[command(subcommand)]
    Key(crate::key::KeyCommand),
    /// Grants: what people have consented to.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// The audit chain: read it, explain it, verify it.
    #[command(subcommand)]
    Audit(crate::audit::AuditCommand),
}

/// A role of the binary.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Identity,
    Gateway,
    Binding,
    Agent,
    All,
}

impl Role {
    /// As it is written on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gateway => "gateway",
            Self::Binding => "binding",
            Self::Agent => "agent",
            Self::All => "all",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What to run.
    #[arg(value_enum)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file, or `env:NAME` where its text is in a variable. Each value can be overlaid by a variable
    /// such as `COUNTERSIGN__GATEWAY__DATABASE__URL`.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The readiness URL to ask.
    #[arg(long, default_value = "http://localhost:8409/readyz")]
    pub(crate) url: Url,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the file as `serve` would, and say what is wrong with it.
    Check(ConfigFile),
    /// Print the configuration with the environment's overlays, secrets as references.
    Show(ConfigFile),
    /// Print the commented default configuration: the reference of every key.
    Default,
    /// Print a JSON Schema of the configuration, for editors: keys, types, meanings. It refuses nothing; `check` does.
    Schema,
    /// Turn an Application Load Balancer into a configuration: TOML on standard output, what could not be turned on
    /// standard error.
    ImportAlb {
        /// JSON of `aws elbv2 describe-listeners`, `describe-rules` and `describe-target-groups`, in any order.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also connect to the databases, keys and providers, and open every stored value.
    #[arg(long)]
    pub(crate) deep: bool,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

/// Which page of a list to print.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// At most this many items (the server's maximum applies).
    #[arg(long, value_name = "N")]
    pub(crate) max_results: Option<i32>,
    /// Continue a list where the last answer's nextToken says.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkloadCommand {
    /// Create a workload identity.
    Create {
        name: String,
        /// A return URL that consent may come back to; give it once for each.
        #[arg(long = "return-url", value_name = "URL")]
        return_urls: Vec<String>,
        #[command(flatten)]
        tags: Tags,
    },
    /// Show one.
    Get { name: String },
    /// List them.
    List(Page),
    /// Replace the return URLs.
    Update {
        name: String,
        #[arg(long = "return-url", value_name = "URL")]
        return_urls: Vec<String>,
    },
    /// Delete it. Its grants can never be used again.
    Delete { name: String },
    /// Stop it: no token is minted for or released to it, on any replica, within a second.
    Stop {
        name: String,
        #[command(flatten)]
        options: StopOptions,
    },
    /// Lift the stop.
    Start { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Create an OAuth2 credential provider.
    Create {
        #[command(flatten)]
        config: Box<ProviderConfig>,
        #[command(flatten)]
        tags: Tags,
    },
    /// Show one.
    Get { name: String },
    /// List them.
    List(Page),
    /// Replace its configuration as a whole: give every option of `create` again, `--vendor` too.
    Update(Box<ProviderConfig>),
    /// Delete it. Its grants can never be used again.
    Delete { name: String },
    /// Stop it: no token of this provider is released, on any replica, within a second.
    Stop {
        name: String,
        #[command(flatten)]
        options: StopOptions,
    },
    /// Lift the stop.
    Start { name: String },
}

/// Labels of a new resource.
#[derive(Debug, Args)]
pub(crate) struct Tags {
    /// A label, KEY=VALUE; give it once for each.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
}

/// A tag as it is given on the command line.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct ProviderConfig {
    pub(crate) name: String,
    /// Whose authorization server it is: custom, github, google, okta … or as the API names it (`GithubOauth2`).
    #[arg(long, value_name = "VENDOR", default_value = "custom")]
    pub(crate) vendor: String,
    /// The metadata document of a custom server: …/.well-known/openid-configuration or
    /// …/.well-known/oauth-authorization-server.
    #[arg(long, value_name = "URL", conflicts_with_all = ["issuer", "authorization_endpoint", "token_endpoint"])]
    pub(crate) discovery_url: Option<String>,
    /// The issuer: of a custom server without a metadata document, or of a vendor whose customers have their own.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// The authorization endpoint, likewise.
    #[arg(long, value_name = "URL")]
    pub(crate) authorization_endpoint: Option<String>,
    /// The token endpoint, likewise.
    #[arg(long, value_name = "URL")]
    pub(crate) token_endpoint: Option<String>,
    /// The Entra tenant (microsoft).
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant_id: Option<String>,
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    #[command(flatten)]
    pub(crate) secret: ClientSecret,
    /// How the client of a custom server authenticates; basic if nothing is said, nothing without a secret.
    #[arg(long, value_name = "METHOD", value_enum)]
    pub(crate) client_authentication: Option<ClientAuthentication>,
    /// Further members of the configuration, as the API has them (JSON): onBehalfOfTokenExchangeConfig,
    /// privateKeyJwtConfig, privateEndpoint ….
    #[arg(long, value_name = "FILE")]
    pub(crate) members: Option<PathBuf>,
}

/// Where a client secret comes from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ClientSecret {
    /// The client secret as a reference, so that it is not in the process list: `env:NAME`, `file:PATH`, or `-` for
    /// standard input.
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) client_secret: Option<String>,
    /// The client secret stays in your Secrets Manager: its id and the key within its JSON, `SECRET-ID#KEY`.
    #[arg(long, value_name = "SECRET-ID#KEY")]
    pub(crate) client_secret_external: Option<String>,
}

/// `clientAuthenticationMethod`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientAuthentication {
    /// HTTP Basic.
    Basic,
    /// In the body.
    Post,
    /// A signed JWT; its key is in --members.
    PrivateKeyJwt,
    /// A token of AWS IAM (kept, not usable here).
    AwsIamIdTokenJwt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Create an API key credential provider.
    Create {
        name: String,
        #[command(flatten)]
        key: ApiKey,
        #[command(flatten)]
        tags: Tags,
    },
    /// Show one; never its key.
    Get { name: String },
    /// List them.
    List(Page),
    /// Replace its key.
    Update {
        name: String,
        #[command(flatten)]
        key: ApiKey,
    },
    /// Delete it with its key.
    Delete { name: String },
}

/// Where an API key comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ApiKey {
    /// The key as a reference, so that it is not in the process list: `env:NAME`, `file:PATH`, or `-` for standard
    /// input.
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) key: Option<String>,
    /// The key stays in your Secrets Manager: the secret's id and the key within its JSON, `SECRET-ID#KEY`.
    #[arg(long, value_name = "SECRET-ID#KEY")]
    pub(crate) key_external: Option<String>,
}

/// How a stop is made.
#[derive(Debug, Args)]
pub(crate) struct StopOptions {
    /// Why, for the audit trail and for whoever lifts the stop.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Also withdraw the tokens that are out there, at the services. `start` does not bring those grants back.
    #[arg(long)]
    pub(crate) revoke_tokens: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StopCommand {
    /// Stop: nothing is minted, released, started, completed or refreshed, on any replica, within a second.
    Stop {
        /// For a person: user key, published id (`idp:…`) or your own id for them. For the account: its id.
        subject: String,
        #[command(flatten)]
        options: StopOptions,
    },
    /// Lift the stop.
    Start { subject: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List grants.
    List {
        #[command(flatten)]
        page: Page,
        /// Only this workload's.
        #[arg(long)]
        workload: Option<String>,
        /// Only this person's: user key, published id (`idp:…`) or your own id for them.
        #[arg(long)]
        user: Option<String>,
        /// Only this provider's.
        #[arg(long)]
        provider: Option<String>,
    },
    /// Show one: scopes, state, and why it will stop working or has.
    Show { id: String },
    /// Revoke it here and at the provider.
    Revoke { id: String },
}
