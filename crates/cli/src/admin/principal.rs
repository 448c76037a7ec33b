//! `countersign principal …`.

use countersign_api::admin as api;

use super::{Admin, stop};
use crate::args::{PrincipalCommand, StopCommand};

pub(super) async fn run(admin: &Admin, command: PrincipalCommand) -> anyhow::Result<()> {
    match command {
        PrincipalCommand::Create { name } => {
            let input = api::create_principal::Input {
                principal_name: name,
                tags: None,
                trust_policy: None,
            };
            admin.show(&admin.call::<api::CreatePrincipal>(&input).await?)
        }
        PrincipalCommand::Get { name } => {
            let input = api::get_principal::Input { principal_name: name };
            admin.show(&admin.call::<api::GetPrincipal>(&input).await?)
        }
        PrincipalCommand::List(page) => {
            let input = api::list_principals::Input {
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            let list = admin.call::<api::ListPrincipals>(&input).await?;
            admin.show_list(
                &list,
                "principals",
                &["principalName", "principalArn", "createdTime"],
            )
        }
        PrincipalCommand::Delete { name } => {
            admin
                .call::<api::DeletePrincipal>(&api::delete_principal::Input { principal_name: name })
                .await?;
            admin.done("deleted");
            Ok(())
        }
        PrincipalCommand::Stop { name, reason } => {
            stop::run(
                admin,
                api::SubjectKind::Principal,
                StopCommand::Stop {
                    subject: name,
                    reason,
                    revoke_tokens: false,
                },
            )
            .await
        }
        PrincipalCommand::Start { name } => {
            stop::run(
                admin,
                api::SubjectKind::Principal,
                StopCommand::Start { subject: name },
            )
            .await
        }
    }
}
