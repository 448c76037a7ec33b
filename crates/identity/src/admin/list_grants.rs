//! `ListGrants`, newest first; those that have ended too.

use countersign_api::admin::ListGrants;
use countersign_api::admin::list_grants::{Input, Output};
use countersign_api::{Arn, Operation as _};

use super::{shown, stop_subject};
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant::{self, GrantFilter};

impl Handle for ListGrants {
    #[tracing::instrument(name = "identity.list_grants", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::grant(call.region(), call.account(), "*")])
            .await?;
        let mut filter = GrantFilter {
            workload_name: input.workload_name,
            provider_name: input.credential_provider_name,
            ailing: input.ailing == Some(true),
            ..GrantFilter::default()
        };
        (filter.user_key, filter.person) = stop_subject::filter(input.user.as_deref());
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let rows = grant::list(&call.state.pool, call.account(), &filter, &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.id.clone());
        let mut grants = Vec::with_capacity(rows.len());
        for row in &rows {
            grants.push(shown::grant(call, row).await?);
        }
        Ok(Output { grants, next_token })
    }
}
