//! The `countersign` binary: every role, their administration, and the composition of both.
//!
//! The only place that reads the environment, resolves secret references, prints, and decides exit codes.

mod admin;
mod args;
mod audit;
mod backup;
mod config;
mod core_dump;
mod data_directory;
mod deploy_check;
mod descriptors;
#[cfg(feature = "playground")]
mod dev;
mod doctor;
mod gateway_operator;
mod health;
mod key;
mod key_provider;
mod listener;
mod log_buffer;
mod manual;
#[cfg(target_os = "linux")]
mod memory;
mod migrate;
mod operations;
mod output;
mod process;
mod roles;
mod serve;
#[cfg(feature = "playground")]
mod simulate;
mod telemetry;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;

/// A request makes some two hundred small allocations, many of them freed by another thread than made them; see
/// docs/performance/token.md for what it gains.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One crypto backend for TLS too (design D1). An error means a provider is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    core_dump::forbid();
    // First: what is huge already stays so.
    #[cfg(target_os = "linux")]
    memory::disable_huge_pages();
    descriptors::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&anyhow::Error::from(error)),
    };
    let ended = runtime.block_on(async {
        let ended = run(cli).await;
        telemetry::end().await;
        ended
    });
    log_buffer::flush();
    match ended {
        Ok(code) => code,
        Err(error) => output::failed(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        #[cfg(feature = "playground")]
        Command::Dev(args) => Box::pin(dev::run(*args, global)).await?,
        Command::Serve(args) => Box::pin(serve::run(args, global)).await?,
        Command::Health(args) => health::run(&args).await?,
        Command::Config(args) => config::command(&args.command)?,
        Command::Deploy(command) => return deploy_check::run(command, global.output).await,
        Command::Manual(args) => manual::run(&args)?,
        Command::Doctor(args) => return doctor::run(&args, global.output).await,
        Command::Migrate(file) => Box::pin(migrate::run(&file)).await?,
        Command::Backup(args) => Box::pin(backup::run(&args, global.output)).await?,
        Command::Restore(args) => return Box::pin(backup::restore(&args, global.output)).await,
        #[cfg(feature = "playground")]
        Command::Simulate(args) => simulate::run(args, global).await?,
        Command::Audit(command) => return audit::run(command, global.output).await,
        Command::Session(command) => gateway_operator::session(command, global.output).await?,
        Command::Key(command) => key::run(command, global.output).await?,
        command => admin::run(command, global.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}
