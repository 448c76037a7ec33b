//! `RevokeGrant`: ends a grant here, and at the vendor where it can be. One that has ended stays as it is.

use countersign_api::Arn;
use countersign_api::admin::RevokeGrant;
use countersign_api::admin::revoke_grant::{Input, Output};

use super::shown;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;
use crate::vault::revoke::{self, AtVendor};

impl Handle for RevokeGrant {
    #[tracing::instrument(name = "identity.revoke_grant", skip_all)]
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
        let at_vendor = revoke::revoke(&call.state, &row, "revoked_by_operator").await?;
        if let Some(at_vendor) = at_vendor {
            call.entry
                .detail
                .insert("atProvider".to_owned(), at_vendor.as_str().into());
        }
        let row = grant::find(&call.state.pool, call.account(), &input.grant_id)
            .await?
            .ok_or_else(absent)?;
        Ok(Output {
            grant: shown::grant(call, &row)?,
            revoked_at_provider: at_vendor == Some(AtVendor::Revoked),
        })
    }
}
