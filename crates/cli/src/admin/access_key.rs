//! `countersign access-key …`.

use clap::{Subcommand, ValueEnum};
use countersign_api::admin as api;

use super::Admin;

#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Create an access key. The secret is shown once. A principal has two at most, so that one can replace the other.
    Create { principal: String },
    /// List the keys of a principal, without secrets.
    List { principal: String },
    /// Activate or deactivate a key; takes effect within a second.
    Update {
        access_key_id: String,
        #[arg(long)]
        status: Status,
    },
    /// Delete one.
    Delete { access_key_id: String },
}

/// Whether a key signs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Active,
    Inactive,
}

impl From<Status> for api::AccessKeyStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Inactive => Self::Inactive,
        }
    }
}

pub(super) async fn run(admin: &Admin, command: AccessKeyCommand) -> anyhow::Result<()> {
    match command {
        AccessKeyCommand::Create { principal } => {
            let input = api::create_access_key::Input {
                principal_name: principal,
            };
            admin.show(&admin.call::<api::CreateAccessKey>(&input).await?)
        }
        AccessKeyCommand::List { principal } => {
            let input = api::list_access_keys::Input {
                principal_name: principal,
            };
            let list = admin.call::<api::ListAccessKeys>(&input).await?;
            admin.show_list(
                &list,
                "accessKeys",
                &["accessKeyId", "status", "principalName", "createdTime"],
            )
        }
        AccessKeyCommand::Update {
            access_key_id,
            status,
        } => {
            let input = api::update_access_key::Input {
                access_key_id,
                status: status.into(),
            };
            admin.call::<api::UpdateAccessKey>(&input).await?;
            admin.done("updated");
            Ok(())
        }
        AccessKeyCommand::Delete { access_key_id } => {
            admin
                .call::<api::DeleteAccessKey>(&api::delete_access_key::Input { access_key_id })
                .await?;
            admin.done("deleted");
            Ok(())
        }
    }
}
