//! `countersign policy …`.

use anyhow::Context as _;
use countersign_api::admin as api;

use super::Admin;
use crate::args::PolicyCommand;

pub(super) async fn run(admin: &Admin, command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Update {
            principal,
            file,
            break_glass,
        } => {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let document =
                serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
            let input = api::put_principal_policy::Input {
                principal_name: principal,
                document,
                break_glass: break_glass.then_some(true),
            };
            admin.show(&admin.call::<api::PutPrincipalPolicy>(&input).await?)
        }
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
    }
}
