//! `ListStops`, by kind and subject.

use countersign_api::admin::ListStops;
use countersign_api::admin::list_stops::{Input, Output};
use countersign_api::{Arn, Operation as _};

use super::{shown, stop_subject};
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::stops::stored_word;
use crate::store::stop;

impl Handle for ListStops {
    #[tracing::instrument(name = "identity.list_stops", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let after = after.split_once('\n').unwrap_or_default();
        let subject = match (input.subject_kind, &input.subject) {
            (Some(kind), Some(name)) => Some(stop_subject::read(call, kind, name)?.0.stored(call.account())),
            (Some(kind), None) => Some((stored_word(kind), String::new())),
            (None, _) => None,
        };
        let only = subject.as_ref().map_or((None, None), |(kind, subject)| {
            (
                Some(*kind),
                Some(subject.as_str()).filter(|subject| !subject.is_empty()),
            )
        });
        let rows = stop::list(&call.state.pool, call.account(), only, after, fetch).await?;
        let position = |row: &stop::StopRow| format!("{}\n{}", row.kind, row.subject);
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, position);
        Ok(Output {
            stops: rows.into_iter().filter_map(shown::stop).collect(),
            next_token,
        })
    }
}
