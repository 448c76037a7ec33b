//! `ListApiKeyCredentialProviders`, by name.

use countersign_api::control::ListApiKeyCredentialProviders;
use countersign_api::control::list_api_key_credential_providers::{Input, Item, Output};
use countersign_api::{Arn, EpochSeconds, Operation as _};

use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::api_key_provider::{self, ApiKeyProviderRow};

impl Handle for ListApiKeyCredentialProviders {
    #[tracing::instrument(name = "identity.list_api_key_credential_providers", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[Arn::token_vault(&region, &account)]).await?;
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let rows = api_key_provider::list(&call.state.pool, &account, &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.name.clone());
        let item = |row: ApiKeyProviderRow| Item {
            credential_provider_arn: Arn::api_key_provider(&region, &account, &row.name).to_string(),
            name: row.name,
            created_time: EpochSeconds::from_micros(row.created_at.as_micros()),
            last_updated_time: EpochSeconds::from_micros(row.updated_at.as_micros()),
        };
        Ok(Output {
            credential_providers: rows.into_iter().map(item).collect(),
            next_token,
        })
    }
}
