//! `ListWorkloadIdentities`, by name.

use countersign_api::control::ListWorkloadIdentities;
use countersign_api::control::list_workload_identities::{Input, Item, Output};
use countersign_api::{Arn, Operation as _};

use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::workload_identity;

impl Handle for ListWorkloadIdentities {
    #[tracing::instrument(name = "identity.list_workload_identities", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[Arn::directory(&region, &account)]).await?;
        let (limit, fetch) = next_token::limits(input.max_results, 20);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let rows = workload_identity::list(&call.state.pool, &account, &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.name.clone());
        let item = |row: workload_identity::WorkloadIdentityRow| Item {
            workload_identity_arn: Arn::workload_identity(&region, &account, &row.name).to_string(),
            name: row.name,
        };
        Ok(Output {
            workload_identities: rows.into_iter().map(item).collect(),
            next_token,
        })
    }
}
