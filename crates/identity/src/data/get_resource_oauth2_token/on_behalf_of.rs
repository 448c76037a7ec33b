//! `ON_BEHALF_OF_TOKEN_EXCHANGE`: the person's own token, which proved them to us, exchanged at the provider.

use countersign_api::ApiError;
use countersign_api::data::get_resource_oauth2_token::Output;

use super::Request;
use crate::operation::{Call, OperationError};

pub(super) async fn token(_call: &mut Call, _request: &Request) -> Result<Output, OperationError> {
    let rule = "must be USER_FEDERATION; this server does not offer the other flows yet";
    Err(OperationError::refused(
        "flow_not_offered",
        ApiError::field("oauth2Flow", rule),
    ))
}
