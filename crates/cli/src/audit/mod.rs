//! `countersign audit …`: offline on the databases themselves, or through the API of a running server.
//!
//! Offline is the stronger form: it trusts no process, reads both chains, and can compare with checkpoints that were
//! kept elsewhere.

mod command;
mod explain;
mod export;
mod online;
mod prove;
mod report;
mod search;
mod store;
mod tail;
mod verify;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;

use crate::{admin, args::Output, data_directory::DEFAULT};
pub(crate) use command::AuditCommand;
use command::AuditSource;
use store::Store;

/// Runs the command; only `verify` has an answer that is neither success nor an error.
pub(crate) async fn run(command: AuditCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Tail {
            source,
            lines,
            follow,
            search,
        } => match open(&source).await? {
            Some(stores) => tail::tail(&stores, lines, follow, &search, output).await?,
            None => online::tail(lines, follow, &search, output).await?,
        },
        AuditCommand::Explain { source, id } => match open(&source).await? {
            Some(stores) => explain::explain(&stores, &id, output).await?,
            None => online::explain(&id, output).await?,
        },
        AuditCommand::Report(args) => report::run(&args, output).await?,
        AuditCommand::Export(args) => export::run(&offline(&args.source).await?, &args).await?,
        AuditCommand::Prove(args) => prove::run(&offline(&args.source).await?, &args).await?,
        AuditCommand::Verify(args) => return verify::run(&args, output).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The stores, for what needs every byte of them.
async fn offline(source: &AuditSource) -> anyhow::Result<Vec<Store>> {
    open(source)
        .await?
        .context("this reads the databases themselves: name them with --data DIR or --config FILE")
}

/// The stores that the arguments name; `None` for a running server that the environment names.
async fn open(source: &AuditSource) -> anyhow::Result<Option<Vec<Store>>> {
    if let Some(path) = &source.data {
        return Store::of_dev(path).await.map(Some);
    }
    if let Some(path) = &source.config {
        return Store::of_config(path).await.map(Some);
    }
    // The data on this machine first: it has both chains, and nothing has to be believed.
    let default = Path::new(DEFAULT);
    if !default.is_dir() && admin::is_configured() {
        return Ok(None);
    }
    Store::of_dev(default)
        .await
        .context("name the audit trail with --data DIR or --config FILE, or a server with the AWS variables")
        .map(Some)
}
