//! `ListStops`, by kind and subject.

use countersign_api::admin::ListStops;
use countersign_api::admin::list_stops::{Input, Output};
use countersign_api::{Arn, Operation as _};

use super::shown;
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::stop;

impl Handle for ListStops {
    #[tracing::instrument(name = "identity.list_stops", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let after = after.split_once('\n').unwrap_or_default();
        let rows = stop::list(&call.state.pool, call.account(), after, fetch).await?;
        let position = |row: &stop::StopRow| format!("{}\n{}", row.kind, row.subject);
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, position);
        Ok(Output {
            stops: rows.into_iter().filter_map(shown::stop).collect(),
            next_token,
        })
    }
}
