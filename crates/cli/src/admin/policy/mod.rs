//! `countersign policy …`.

mod simulate;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use countersign_api::{ErrorCode, admin as api};
use countersign_crypto::parse_strict_json;
use serde_json::Value;

use super::Admin;
use simulate::SimulateArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Attach an AWS IAM policy document to a principal that has none.
    Create(Document),
    /// Attach a policy document to a principal, replacing the one it has.
    Update(Document),
    /// Show the policy of a principal.
    Get { principal: String },
    /// Remove it: the principal may then do nothing.
    Delete { principal: String },
    /// Say what a policy would decide about a request, and explain it statement by statement. Nothing is done.
    Simulate(SimulateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Document {
    principal: String,
    /// The policy document (JSON).
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Accept a policy that joins asking for tokens with completing consent. Audited, and shown by `principal list`.
    #[arg(long)]
    break_glass: bool,
}

pub(super) async fn run(admin: &Admin, command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Create(document) => {
            let input = api::get_principal_policy::Input {
                principal_name: document.principal.clone(),
            };
            match admin.client.call::<api::GetPrincipalPolicy>(&input).await {
                Ok(_) => bail!(
                    "{} has a policy already; `policy update` replaces it",
                    document.principal
                ),
                Err(error) if error.code() == Some(ErrorCode::ResourceNotFound) => put(admin, document).await,
                Err(error) => bail!("GetPrincipalPolicy: {error}"),
            }
        }
        PolicyCommand::Update(document) => put(admin, document).await,
        PolicyCommand::Get { principal } => {
            let input = api::get_principal_policy::Input {
                principal_name: principal,
            };
            admin.show(&admin.call::<api::GetPrincipalPolicy>(&input).await?)
        }
        PolicyCommand::Delete { principal } => {
            let input = api::delete_principal_policy::Input {
                principal_name: principal,
            };
            admin.call::<api::DeletePrincipalPolicy>(&input).await?;
            admin.done("deleted");
            Ok(())
        }
        PolicyCommand::Simulate(args) => simulate::run(admin, args).await,
    }
}

async fn put(admin: &Admin, document: Document) -> anyhow::Result<()> {
    let input = api::put_principal_policy::Input {
        principal_name: document.principal,
        document: read(&document.file)?,
        break_glass: document.break_glass.then_some(true),
    };
    admin.show(&admin.call::<api::PutPrincipalPolicy>(&input).await?)
}

/// A repeated member is an error: which of two statements counts must not depend on the parser.
fn read(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse_strict_json(&text).with_context(|| format!("{} is not a policy document", file.display()))
}
