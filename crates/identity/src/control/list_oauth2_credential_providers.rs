//! `ListOauth2CredentialProviders`, by name.

use countersign_api::control::ListOauth2CredentialProviders;
use countersign_api::control::list_oauth2_credential_providers::{Input, Item, Output};
use countersign_api::{Arn, EpochSeconds, Operation as _};

use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::oauth2_provider::{self, ProviderRow};

impl Handle for ListOauth2CredentialProviders {
    #[tracing::instrument(name = "identity.list_oauth2_credential_providers", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[Arn::token_vault(&region, &account)]).await?;
        let (limit, fetch) = next_token::limits(input.max_results, 20);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let rows = oauth2_provider::list(&call.state.pool, &account, &after, fetch).await?;
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, |row| row.name.clone());
        let item = |row: ProviderRow| Item {
            credential_provider_arn: Arn::oauth2_provider(&region, &account, &row.name).to_string(),
            name: row.name,
            credential_provider_vendor: row.vendor,
            created_time: EpochSeconds::from_micros(row.created_at.as_micros()),
            last_updated_time: EpochSeconds::from_micros(row.updated_at.as_micros()),
        };
        Ok(Output {
            credential_providers: rows.into_iter().map(item).collect(),
            next_token,
        })
    }
}
