//! `GetGrant`, one that has ended too.

use countersign_api::Arn;
use countersign_api::admin::GetGrant;
use countersign_api::admin::get_grant::{Input, Output};

use super::shown;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;

impl Handle for GetGrant {
    #[tracing::instrument(name = "identity.get_grant", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.grant = Some(input.grant_id.clone());
        call.authorize(&[Arn::grant(call.region(), call.account(), &input.grant_id)])
            .await?;
        let found = grant::find(&call.state.pool, call.account(), &input.grant_id).await?;
        let row = found.ok_or_else(|| OperationError::not_found("Grant", &input.grant_id))?;
        Ok(Output {
            grant: shown::grant(call, &row).await?,
        })
    }
}
