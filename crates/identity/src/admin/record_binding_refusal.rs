//! `RecordBindingRefusal`. Its record is the refusal: outcome and reason are the page's, not those of this call.

use countersign_api::admin::RecordBindingRefusal;
use countersign_api::admin::record_binding_refusal::{Input, Output};
use countersign_api::data::UserIdentifier;
use countersign_api::{ApiError, Arn};
use countersign_audit::Outcome;

use crate::data::refused_user_token;
use crate::operation::{Call, Handle, OperationError};
use crate::user_artifact::{Audience, from_user_id, from_user_token};

impl Handle for RecordBindingRefusal {
    #[tracing::instrument(name = "identity.record_binding_refusal", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[Arn::token_vault(&region, &account)]).await?;
        // Whom a page names, its token proves, as at a completion.
        let presented = match &input.user_identifier {
            None => None,
            Some(UserIdentifier::UserId(user_id)) => Some(from_user_id(user_id)),
            Some(UserIdentifier::UserToken(token)) => {
                let person =
                    from_user_token(&call.state, &account, Audience::Completion, token.expose()).await;
                let refused = ApiError::access_denied("The user token is not valid here.");
                Some(person.map_err(|error| refused_user_token(&error, refused))?)
            }
        };
        if let Some(presented) = presented {
            call.entry.person = Some(presented.key);
            call.entry.sid = presented.sid;
        }
        let detail = &mut call.entry.detail;
        detail.insert("pageRequestId".to_owned(), input.page_request_id.into());
        if let Some(suppressed) = input.suppressed.filter(|suppressed| *suppressed > 0) {
            detail.insert("suppressed".to_owned(), suppressed.into());
        }
        call.entry.outcome = Outcome::Refused;
        call.entry.reason = Some(input.reason.as_str());
        Ok(Output {})
    }
}
