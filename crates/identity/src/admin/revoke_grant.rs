//! `RevokeGrant`: ends a grant here, and at the vendor where it can be; what the vendor does not answer is tried again,
//! as `GetGrant` shows. One that has ended stays as it is.

use countersign_api::Arn;
use countersign_api::admin::revoke_grant::{Input, Output};
use countersign_api::admin::{Revocation, RevocationState, RevokeGrant};

use super::shown;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;
use crate::vault::revoke;

impl Handle for RevokeGrant {
    #[tracing::instrument(name = "identity.revoke_grant", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry.grant = Some(input.grant_id.clone());
        call.authorize(&[Arn::grant(call.region(), call.account(), &input.grant_id)])
            .await?;
        let absent = || OperationError::not_found("Grant", &input.grant_id);
        let row = grant::find(&call.state.pool, call.account(), &input.grant_id)
            .await?
            .ok_or_else(absent)?;
        call.entry.workload = Some(row.workload_name.clone());
        call.entry.provider = Some(row.provider_name.clone());
        call.entry.person = Some(row.user_key);
        let ended = revoke::revoke(&call.state, &row, "revoked_by_operator").await?;
        if ended.is_some() {
            call.takes_effect();
        }
        if let Some(revocation) = ended.flatten() {
            call.entry
                .detail
                .insert("atProvider".to_owned(), revocation.state.as_str().into());
        }
        let row = grant::find(&call.state.pool, call.account(), &input.grant_id)
            .await?
            .ok_or_else(absent)?;
        let grant = shown::grant(call, &row).await?;
        let done = |revocation: &Revocation| revocation.state == RevocationState::Done;
        Ok(Output {
            revoked_at_provider: grant.revocation.as_ref().is_some_and(done),
            grant,
        })
    }
}
