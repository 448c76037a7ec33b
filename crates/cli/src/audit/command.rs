//! Arguments of `countersign audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Where audit records are read from.
#[derive(Debug, Args)]
pub(crate) struct AuditSource {
    /// Read the databases in this directory of `countersign dev`, running or stopped.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) data: Option<PathBuf>,
    /// Read the databases of this configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the newest records.
    Tail {
        #[command(flatten)]
        source: AuditSource,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        lines: u32,
        /// Go on printing as records are written.
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        search: Box<Search>,
    },
    /// Print the chain login → consent → grant → token use that a record, request or grant belongs to.
    Explain {
        #[command(flatten)]
        source: AuditSource,
        /// A record id, request id or grant id.
        id: String,
    },
    /// Print which tokens and keys were released: scopes, account at the service, how long they are good, and what became
    /// of their revocation.
    Report(ReportArgs),
    /// Write the whole trail as JSON lines, for `verify --export` on a machine that has neither database nor secrets.
    Export(ExportArgs),
    /// Print a proof, as JSON, that a record is under the newest signed checkpoint.
    Prove(ProveArgs),
    /// Recompute every hash and signature. Exits 1 and names the place if anything was changed.
    Verify(VerifyArgs),
}

/// Which records; each option that is given must hold.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Of this action, such as `GetResourceOauth2Token`.
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// With this outcome.
    #[arg(long, value_parser = ["done", "refused", "failed"])]
    pub(crate) outcome: Option<String>,
    /// Refused or failed for this reason, such as `wrong_person`.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Of this caller, by ARN.
    #[arg(long, value_name = "ARN")]
    pub(crate) principal: Option<String>,
    /// Of this login session.
    #[arg(long)]
    pub(crate) sid: Option<String>,
    /// Of this request.
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[command(flatten)]
    pub(crate) time: TimeRange,
}

/// About whom or what.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    /// About this workload identity.
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Option<String>,
    /// About this person: user key, published id (`idp:…`) or your own id for them.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// About this credential provider.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// About this grant.
    #[arg(long, value_name = "ID")]
    pub(crate) grant: Option<String>,
}

/// A time range. A time is `2026-11-29`, `2026-11-29T14:03:00Z` or, counted back from now, `90m`, `24h`, `30d`.
#[derive(Debug, Args)]
pub(crate) struct TimeRange {
    /// From then on: a date, a time (RFC 3339), or counted back from now: `90m`, `24h`, `30d`.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before then, in the same forms.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// How a report is printed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One JSON object.
    Json,
    /// For spreadsheets.
    Csv,
    /// A page to print or keep.
    Html,
}

impl ReportFormat {
    /// As the API names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) source: AuditSource,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[command(flatten)]
    pub(crate) time: TimeRange,
    /// What to print; without it a table, or JSON with `--output json`.
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
    /// Most releases, the oldest first.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) source: AuditSource,
    /// The file to write, which must not exist; standard output if there is none.
    pub(crate) file: Option<PathBuf>,
    /// Write the public keys that checkpoints are signed with to this file. Hand it over by another way than the export.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_keys: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    pub(crate) source: AuditSource,
    /// A record id.
    pub(crate) id: String,
    /// Prove also that the newest checkpoint extends the last one in this file.
    #[arg(long, value_name = "CHECKPOINTS")]
    pub(crate) since: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) source: AuditSource,
    /// Compare with checkpoints kept elsewhere, which finds truncation, fork and roll-back: a file of checkpoints or of
    /// syslog or journal messages, a directory of such files, or `s3://BUCKET/PREFIX` (region, endpoint and credentials as
    /// AWS SDKs find them). Give it once for each.
    #[arg(long, value_name = "CHECKPOINTS")]
    pub(crate) against: Vec<String>,
    /// The latest restore that you know of, by its epoch: checkpoints that it left behind are counted and no fault. Of any
    /// other restore they are: whoever can write to the database could take back a trail as a restore does.
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    pub(crate) restored: i64,
    /// Verify an exported file.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["data", "config"])]
    pub(crate) export: Option<PathBuf>,
    /// Verify the proof of a single record.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["data", "config", "export", "against"])]
    pub(crate) proof: Option<PathBuf>,
    /// The public keys, a JWK set, that came another way than the export or proof.
    #[arg(long, value_name = "PUB")]
    pub(crate) key: Option<PathBuf>,
}
