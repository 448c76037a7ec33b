//! `countersign key …`: keys that rotate while their owner runs, of the token vault's account and of the gateway.

use clap::Subcommand;

use crate::{admin, args::Output, gateway_operator};

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
        /// What the key is for: `vault`, `credential` or `workload-access-token`; at the gateway `user-token-signing`,
        /// `alb-header-signing` or `session`.
        #[arg(value_name = "PURPOSE")]
        purpose: String,
        /// Wait until every stored value is sealed under the new key, and say how many are left meanwhile.
        #[arg(long, conflicts_with = "gateway")]
        wait: bool,
        #[command(flatten)]
        owner: Owner,
    },
    /// Retire a key that is primary no more. Refused while a stored value is sealed under it; tokens that it signed or
    /// sealed are not good from then on.
    Retire {
        /// Its id, as `key list` names it.
        #[arg(value_name = "ID")]
        id: String,
        /// Do not wait for the end of tokens that it sealed: workload access tokens, temporary credentials.
        #[arg(long, conflicts_with = "gateway")]
        force: bool,
        #[command(flatten)]
        owner: Owner,
    },
}

/// Whose keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Owner {
    /// The gateway's: of user tokens, of x-amzn-oidc-data, of session cookies. Without it the keys of the account.
    #[arg(long)]
    gateway: bool,
}

/// `countersign key …`.
pub(crate) async fn run(command: KeyCommand, output: Output) -> anyhow::Result<()> {
    match command {
        KeyCommand::List { owner } if owner.gateway => gateway_operator::list_keys(output).await,
        KeyCommand::Rotate { purpose, owner, .. } if owner.gateway => {
            gateway_operator::rotate_key(&purpose, output).await
        }
        KeyCommand::Retire { id, owner, .. } if owner.gateway => {
            gateway_operator::retire_key(&id, output).await
        }
        KeyCommand::List { .. } => admin::key::list(output).await,
        KeyCommand::Rotate { purpose, wait, .. } => admin::key::rotate(&purpose, wait, output).await,
        KeyCommand::Retire { id, force, .. } => admin::key::retire(id, force, output).await,
    }
}
