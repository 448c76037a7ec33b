//! `PutPrincipalPolicy`: a document that would not be enforced to the letter is refused, and so is one that joins
//! asking for tokens with completing their sessions, unless it is said to be meant (design D6).

use countersign_api::ApiError;
use countersign_api::admin::PutPrincipalPolicy;
use countersign_api::admin::put_principal_policy::{Input, Output};

use super::{authorized_principal, shown};
use crate::operation::{Call, Handle, OperationError};
use crate::policy::Policy;
use crate::store::principal;

impl Handle for PutPrincipalPolicy {
    #[tracing::instrument(name = "identity.put_principal_policy", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let row = authorized_principal(call, &input.principal_name).await?;
        let policy = Policy::parse(&input.document).map_err(|error| {
            OperationError::refused("invalid_policy", ApiError::field("document", error.to_string()))
        })?;
        let break_glass = input.break_glass.unwrap_or(false);
        call.entry
            .detail
            .insert("breakGlass".to_owned(), break_glass.into());
        call.entry
            .detail
            .insert("document".to_owned(), input.document.clone());
        if policy.joins_asking_and_completing() && !break_glass {
            let rule = "lets one principal both ask for tokens (GetWorkloadAccessToken*, GetResource*) and complete \
                        their sessions (CompleteResourceTokenAuth, countersign:ConfirmAuthorizationSession); set breakGlass if that is meant";
            return Err(OperationError::refused(
                "joins_asking_and_completing",
                ApiError::field("document", rule),
            ));
        }
        let mut tx = call.state.pool.begin().await?;
        if !principal::put_policy(&mut tx, &row.id, Some(&input.document), break_glass, call.now).await? {
            return Err(OperationError::not_found("Principal", &row.name));
        }
        call.state.commit(tx, &[(principal::CHANGE, &row.id)]).await?;
        Ok(Output {
            last_updated_time: shown::time(call.now),
        })
    }
}
