//! `M2M`: a token of the workload itself, by the client credentials grant (RFC 6749 section 4.4). Kept sealed until it
//! expires; a person in the workload access token changes nothing but the audit record.

use countersign_api::EpochSeconds;
use countersign_api::data::Oauth2Flow;
use countersign_api::data::get_resource_oauth2_token::Output;
use countersign_oauth::token::{Target, is_reserved_at_token_endpoint};

use super::Request;
use crate::operation::{Call, OperationError};
use crate::vault::client_token::{self, Wanted};

pub(super) async fn token(call: &mut Call, request: &Request) -> Result<Output, OperationError> {
    request.refuse_overrides(is_reserved_at_token_endpoint)?;
    let custom = request.custom_pairs();
    let wanted = Wanted {
        provider: &request.provider,
        workload_id: &request.workload.id,
        vault_key: request.vault_key(Oauth2Flow::M2m),
        target: Target {
            scopes: &request.scopes,
            resources: &request.resources,
            audiences: &request.audiences,
            custom: &custom,
        },
        force: request.force,
    };
    let token = client_token::obtain(&call.state, &wanted)
        .await
        .map_err(|error| super::refused_by_provider("Error parsing ClientCredentials response", error))?;
    let detail = &mut call.entry.detail;
    detail.insert("released".to_owned(), true.into());
    detail.insert("fetched".to_owned(), token.fetched.into());
    detail.insert("scopes".to_owned(), token.scopes.clone().into());
    super::record_expiry(call, token.expires_at);
    Ok(Output {
        access_token: Some(token.access_token.into()),
        expires_at: token
            .expires_at
            .map(|time| EpochSeconds::from_micros(time.as_micros())),
        granted_scopes: Some(token.scopes),
        ..Output::default()
    })
}
