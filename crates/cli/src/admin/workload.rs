//! `countersign workload …`.

use countersign_api::{admin::SubjectKind, control};

use super::{Admin, stop};
use crate::args::WorkloadCommand;

pub(super) async fn run(admin: &Admin, command: WorkloadCommand) -> anyhow::Result<()> {
    match command {
        WorkloadCommand::Create {
            name,
            return_urls,
            tags,
        } => {
            let input = control::create_workload_identity::Input {
                name,
                allowed_resource_oauth2_return_urls: Some(return_urls),
                tags: Some(tags.tags.into_iter().collect()),
            };
            admin.show(&admin.call::<control::CreateWorkloadIdentity>(&input).await?)
        }
        WorkloadCommand::Get { name } => {
            let input = control::get_workload_identity::Input { name };
            admin.show(&admin.call::<control::GetWorkloadIdentity>(&input).await?)
        }
        WorkloadCommand::List(page) => {
            let input = control::list_workload_identities::Input {
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            let list = admin.call::<control::ListWorkloadIdentities>(&input).await?;
            admin.show_list(&list, "workloadIdentities", &["name", "workloadIdentityArn"])
        }
        WorkloadCommand::Update { name, return_urls } => {
            let input = control::update_workload_identity::Input {
                name,
                allowed_resource_oauth2_return_urls: Some(return_urls),
            };
            admin.show(&admin.call::<control::UpdateWorkloadIdentity>(&input).await?)
        }
        WorkloadCommand::Delete { name } => {
            admin
                .call::<control::DeleteWorkloadIdentity>(&control::delete_workload_identity::Input { name })
                .await?;
            admin.done("deleted");
            Ok(())
        }
        WorkloadCommand::Stop { name, options } => {
            stop::stop(admin, SubjectKind::Workload, name, options).await
        }
        WorkloadCommand::Start { name } => stop::start(admin, SubjectKind::Workload, name).await,
    }
}
