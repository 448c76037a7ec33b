//! Arguments of `countersign audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    },
    /// Print the chain login → consent → grant → token use that a record, request or grant belongs to.
    Explain {
        #[command(flatten)]
        source: AuditSource,
        /// A record id, request id or grant id.
        id: String,
    },
    /// Write the whole trail as JSON lines, for `verify --export` on a machine that has neither database nor secrets.
    Export(ExportArgs),
    /// Print a proof, as JSON, that a record is under the newest signed checkpoint.
    Prove(ProveArgs),
    /// Recompute every hash and signature. Exits 1 and names the place if anything was changed.
    Verify(VerifyArgs),
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
    /// Compare with checkpoints kept elsewhere: finds truncation, fork and roll-back.
    #[arg(long, value_name = "CHECKPOINTS")]
    pub(crate) against: Option<PathBuf>,
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
