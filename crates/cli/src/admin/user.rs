//! `countersign user …`.

use clap::Subcommand;
use countersign_api::admin::{self as api, SubjectKind};

use super::{Admin, stop};
use crate::args::StopCommand;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    #[command(flatten)]
    Standing(StopCommand),
    /// Forget a person: end and erase their grants, and destroy the key by which audit records name them. The chain still
    /// verifies, and a stop stays in force. Stop them first, or an agent may connect them again at once.
    Forget {
        /// User key, published id (`idp:…`) or your own id for them.
        user: String,
    },
}

pub(super) async fn run(admin: &Admin, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Standing(command) => stop::run(admin, SubjectKind::User, command).await,
        UserCommand::Forget { user } => {
            let input = api::forget_user::Input { user };
            admin.show(&admin.call::<api::ForgetUser>(&input).await?)
        }
    }
}
