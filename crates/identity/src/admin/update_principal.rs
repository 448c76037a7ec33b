//! `UpdatePrincipal`: a role that trusts nobody any more ends with the sessions it has.

use countersign_api::admin::UpdatePrincipal;
use countersign_api::admin::update_principal::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal;

impl Handle for UpdatePrincipal {
    #[tracing::instrument(name = "identity.update_principal", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let found = authorized_principal(call, &input.principal_name).await?;
        if let Some(trust) = &input.trust_policy {
            super::check_trust(call, trust)?;
        }
        let mut tx = call.state.pool.begin().await?;
        let (tags, trust) = (input.tags.as_ref(), input.trust_policy.as_ref());
        let row = principal::update(&mut tx, &found.id, tags, trust)
            .await?
            .ok_or_else(|| OperationError::not_found("Principal", &found.name))?;
        super::record_standing(call, &row);
        call.state.commit(tx, &[(principal::CHANGE, &row.id)]).await?;
        Ok(Output {
            principal: shown::principal(&row),
        })
    }
}
