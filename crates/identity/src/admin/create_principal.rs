//! `CreatePrincipal`: without a policy, so that it may do nothing.

use countersign_api::admin::CreatePrincipal;
use countersign_api::admin::create_principal::{Input, Output};
use countersign_api::{ApiError, Arn, ValidationReason};
use countersign_crypto::uuid_v7;

use super::shown;
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal::{self, PrincipalRow};

impl Handle for CreatePrincipal {
    #[tracing::instrument(name = "identity.create_principal", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.entry
            .detail
            .insert("principal".to_owned(), input.principal_name.clone().into());
        call.authorize(&[Arn::principal(call.account(), &input.principal_name)])
            .await?;
        let new = PrincipalRow {
            id: uuid_v7(&*call.state.clock, &*call.state.random).to_string(),
            account: call.account().to_owned(),
            name: input.principal_name,
            policy: None,
            tags: input.tags.unwrap_or_default(),
            trust: input.trust_policy,
            created_at: call.now,
        };
        if let Some(trust) = &new.trust {
            super::check_trust(call, trust)?;
        }
        super::record_standing(call, &new);
        let mut tx = call.state.pool.begin().await?;
        if !principal::insert(&mut tx, &new).await? {
            let message = format!("Principal with name: {} already exists", new.name);
            let error = ApiError::validation(ValidationReason::ResourceConflict, message);
            return Err(OperationError::refused("already_exists", error));
        }
        call.state.commit(tx, &[(principal::CHANGE, &new.id)]).await?;
        Ok(Output {
            principal: shown::principal(&new),
        })
    }
}
