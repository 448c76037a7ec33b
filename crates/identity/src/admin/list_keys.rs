//! `ListKeys`, by purpose and version. What the installation has for itself (audit, cookies) is not an account's to list.

use countersign_api::admin::ListKeys;
use countersign_api::admin::list_keys::{Input, Output};
use countersign_api::{Arn, Operation as _};
use countersign_crypto::{KeyRow, KeyState};

use super::shown;
use crate::key_rotation;
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::key;

impl Handle for ListKeys {
    #[tracing::instrument(name = "identity.list_keys", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let (purpose, version) = after.split_once('\n').unwrap_or_default();
        let after = (purpose, version.parse().unwrap_or(0));
        let rows = key::list_page(&call.state.pool, call.account(), after, fetch).await?;
        let position = |row: &KeyRow| format!("{}\n{}", row.purpose.as_str(), row.version);
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, position);
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            let values = match row.state {
                KeyState::Enabled if input.without_sealed_values != Some(true) => {
                    Some(key_rotation::values_under(&call.state, row).await?)
                }
                KeyState::Enabled | KeyState::Primary | KeyState::Retired => None,
            };
            keys.extend(shown::key(row, values));
        }
        Ok(Output { keys, next_token })
    }
}
