//! `ListPrincipals`, by name.

use countersign_api::admin::ListPrincipals;
use countersign_api::admin::list_principals::{Input, Output};
use countersign_api::{Arn, Operation as _};

use super::shown;
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal;

impl Handle for ListPrincipals {
    #[tracing::instrument(name = "identity.list_principals", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let rows = principal::list(&call.state.pool, call.account(), &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.name.clone());
        Ok(Output {
            principals: rows.iter().map(shown::principal).collect(),
            next_token,
        })
    }
}
