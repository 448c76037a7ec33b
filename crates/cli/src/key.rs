//! `countersign key …`: the keys of the gateway. The identity service's keys stay where its configuration has them.

use clap::Subcommand;

use crate::{args::Output, gateway_operator};

/// Keys that rotate while their owner runs.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys, without what they unlock.
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// Make a new primary key. The one before opens and verifies until it is retired.
    Rotate {
        /// What the key is for: `user-token-signing`, `alb-header-signing` or `session`.
        #[arg(value_name = "PURPOSE")]
        purpose: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// Retire a key that is primary no more: nothing that it signed or sealed is good from now on.
    Retire {
        /// Its id, as `key list` names it.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        owner: Owner,
    },
}

/// Whose keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Owner {
    /// The gateway's: of user tokens, of x-amzn-oidc-data, of session cookies.
    #[arg(long, required = true)]
    gateway: bool,
}

/// `countersign key …`.
pub(crate) async fn run(command: KeyCommand, output: Output) -> anyhow::Result<()> {
    match command {
        KeyCommand::List { .. } => gateway_operator::list_keys(output).await,
        KeyCommand::Rotate { purpose, .. } => gateway_operator::rotate_key(&purpose, output).await,
        KeyCommand::Retire { id, .. } => gateway_operator::retire_key(&id, output).await,
    }
}
