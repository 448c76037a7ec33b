//! `countersign key …`: keys that rotate while their owner runs, of the token vault's account, of the gateway and of
//! agents.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use countersign_agent::{Conversations, conversation_keys};
use serde_json::json;

use crate::{
    admin,
    args::Output,
    config,
    data_directory::{self, DataDirectory},
    gateway_operator,
};

/// Keys that rotate while their owner runs.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys, without what they unlock.
    List {
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        conversations: ConversationsOf,
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
    /// Retire a key that is no longer primary. Refused while a stored value is sealed under it. Tokens that it signed or
    /// sealed are not valid from then on.
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

/// Where an agent's keys are.
#[derive(Debug, clap::Args)]
pub(crate) struct ConversationsOf {
    /// The agent's, which seal its conversations, read from the store of the conversations. A start of the agent makes
    /// a new one when it is due (`conversation_key_days`).
    #[arg(long, conflicts_with = "gateway")]
    agent: bool,
    /// The agent of this configuration.
    #[arg(long, value_name = "FILE", requires = "agent")]
    config: Option<PathBuf>,
    /// The agent in this directory of `countersign dev`, running or stopped.
    #[arg(long, value_name = "DIR", requires = "agent", conflicts_with = "config")]
    data: Option<PathBuf>,
}

/// `countersign key …`.
pub(crate) async fn run(command: KeyCommand, output: Output) -> anyhow::Result<()> {
    match command {
        KeyCommand::List { owner, .. } if owner.gateway => gateway_operator::list_keys(output).await,
        KeyCommand::List { conversations, .. } if conversations.agent => {
            list_of_agent(&conversations, output).await
        }
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

/// The keys that seal an agent's conversations.
async fn list_of_agent(of: &ConversationsOf, output: Output) -> anyhow::Result<()> {
    let keys = if let Some(path) = &of.config {
        let agent = config::load(path)?.agent;
        let agent = agent.with_context(|| format!("{} has no [agent]", path.display()))?;
        conversation_keys(&agent.conversations, &agent.outbound_allow, &agent.account).await?
    } else {
        let path = of.data.as_deref().unwrap_or(Path::new(data_directory::DEFAULT));
        let data =
            DataDirectory::existing(path).context("name the agent with --config FILE or --data DIR")?;
        let place = Conversations::Directory(data.conversations());
        conversation_keys(&place, &[], data_directory::DEV_ACCOUNT).await?
    };
    gateway_operator::show(
        &json!({ "keys": keys }),
        "keys",
        &["id", "purpose", "version", "state", "wrappedBy", "createdAt"],
        output,
    )
}
