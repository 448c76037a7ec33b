//! Operations that are recognised and not offered: whoever may call them is told so.

use countersign_api::control::not_offered::{
    CreateConsentPortal, CreatePaymentCredentialProvider, DeleteConsentPortal,
    DeletePaymentCredentialProvider, DeleteResourcePolicy, GetConsentPortal, GetPaymentCredentialProvider,
    GetResourcePaymentToken, GetResourcePolicy, Input, ListConsentPortals, ListPaymentCredentialProviders,
    PutResourcePolicy, UpdateConsentPortal, UpdatePaymentCredentialProvider,
};
use countersign_api::operation::Empty;
use countersign_api::{ApiError, Arn, ValidationReason};

use crate::operation::{Call, Handle, OperationError};

const PAYMENT: &str = "Payment credential providers are not offered by this server.";
const PORTAL: &str = "Consent portals are not offered by this server.";
const POLICY: &str = "Resource policies are not offered by this server: no identity resource has one.";

/// The refusal, after the policy has been asked: the account's vault stands for what does not exist.
async fn refuse(call: &mut Call, message: &'static str) -> Result<Empty, OperationError> {
    let vault = Arn::token_vault(call.region(), call.account());
    call.authorize(&[vault]).await?;
    Err(OperationError::refused(
        "not_offered",
        ApiError::validation(ValidationReason::FieldValidationFailed, message),
    ))
}

macro_rules! not_offered {
    ($message:expr => $($operation:ident)+) => {
        $(impl Handle for $operation {
            #[tracing::instrument(name = "identity.not_offered", skip_all, fields(request.id = call.caller.request_id))]
            async fn handle(call: &mut Call, _: Input) -> Result<Empty, OperationError> {
                refuse(call, $message).await
            }
        })+
    };
}

not_offered! {
    PAYMENT =>
    CreatePaymentCredentialProvider
    GetPaymentCredentialProvider
    UpdatePaymentCredentialProvider
    DeletePaymentCredentialProvider
    ListPaymentCredentialProviders
    GetResourcePaymentToken
}
not_offered! {
    PORTAL =>
    CreateConsentPortal
    GetConsentPortal
    UpdateConsentPortal
    DeleteConsentPortal
    ListConsentPortals
}
not_offered! {
    POLICY =>
    PutResourcePolicy
    GetResourcePolicy
    DeleteResourcePolicy
}
