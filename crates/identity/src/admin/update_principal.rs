//! `UpdatePrincipal`: a role that trusts nobody any more ends with the sessions it has.

use countersign_api::admin::UpdatePrincipal;
use countersign_api::admin::update_principal::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal;

impl Handle for UpdatePrincipal {
    #[tracing::instrument(name = "identity.update_principal", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let mut row = authorized_principal(call, &input.principal_name).await?;
        if let Some(tags) = input.tags {
            row.tags = tags;
        }
        if let Some(trust) = input.trust_policy {
            super::check_trust(call, &trust)?;
            row.trust = Some(trust);
        }
        super::record_standing(call, &row);
        let mut tx = call.state.pool.begin().await?;
        if !principal::update(&mut tx, &row.id, &row.tags, row.trust.as_ref()).await? {
            return Err(OperationError::not_found("Principal", &row.name));
        }
        call.state.commit(tx, &[(principal::CHANGE, &row.id)]).await?;
        Ok(Output {
            principal: shown::principal(&row),
        })
    }
}
