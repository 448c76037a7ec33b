//! `countersign grant …`.

use countersign_api::admin as api;

use super::Admin;
use crate::args::GrantCommand;

/// What a list of grants shows.
const COLUMNS: &[&str] = &[
    "grantId",
    "workloadName",
    "credentialProviderName",
    "accountName",
    "scopes",
    "state",
    "lastUsedTime",
];

pub(super) async fn run(admin: &Admin, command: GrantCommand) -> anyhow::Result<()> {
    match command {
        GrantCommand::List {
            page,
            workload,
            user,
            provider,
        } => {
            let input = api::list_grants::Input {
                user,
                workload_name: workload,
                credential_provider_name: provider,
                ailing: None,
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            admin.show_list(&admin.call::<api::ListGrants>(&input).await?, "grants", COLUMNS)
        }
        GrantCommand::Show { id } => admin.show(
            &admin
                .call::<api::GetGrant>(&api::get_grant::Input { grant_id: id })
                .await?,
        ),
        GrantCommand::Revoke { id } => admin.show(
            &admin
                .call::<api::RevokeGrant>(&api::revoke_grant::Input { grant_id: id })
                .await?,
        ),
    }
}
