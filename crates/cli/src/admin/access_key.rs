//! `countersign access-key …`.

use countersign_api::admin as api;

use super::Admin;
use crate::args::AccessKeyCommand;

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
                &["accessKeyId", "principalName", "createdTime"],
            )
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
