//! Taking in a reference to an external secret, and showing it.

use countersign_api::control::SecretReference;
use countersign_api::{ApiError, Arn};

use crate::external_secret::{Age, ExternalSecretError};
use crate::operation::{Call, OperationError};

/// Reads the secret once, so that a wrong reference is known now and not when an agent needs the secret.
pub(super) async fn check(
    call: &Call,
    reference: &SecretReference,
    member: &str,
) -> Result<(), OperationError> {
    let read = call
        .state
        .external_secrets
        .get(call.account(), reference, Age::Fresh);
    match read.await {
        Ok(_) => Ok(()),
        Err(ExternalSecretError::Key) => Err(OperationError::refused(
            "external_secret_key",
            ApiError::field(
                format!("{member}.jsonKey"),
                "must be a key of the secret's JSON object, with a text as its value",
            ),
        )),
        Err(error) => Err(refused(call, reference, error)),
    }
}

/// The answer when an external secret cannot be had. The words are those of the original, which tools look for.
pub(crate) fn refused(
    call: &Call,
    reference: &SecretReference,
    error: ExternalSecretError,
) -> OperationError {
    let reason = match error {
        ExternalSecretError::NotConfigured | ExternalSecretError::NotAllowed => "external_secret_not_allowed",
        ExternalSecretError::Refused(_) => "external_secret_refused",
        ExternalSecretError::Key => "external_secret_key",
        ExternalSecretError::Unreachable(_) | ExternalSecretError::Protocol(_) => {
            return OperationError::unavailable("external_secret_unreachable", error);
        }
    };
    tracing::info!(%error, "an external secret was not read");
    let arn = arn(call.region(), call.account(), reference);
    let message = format!(
        "Access denied when retrieving secret '{arn}'. User: {} is not authorized to perform: \
         secretsmanager:GetSecretValue",
        call.caller.arn
    );
    OperationError::refused(reason, ApiError::access_denied(message))
}

/// The ARN of an external secret: as it was given, or made of the name.
pub(super) fn arn(region: &str, account: &str, reference: &SecretReference) -> String {
    if reference.secret_id.parse::<Arn>().is_ok() {
        return reference.secret_id.clone();
    }
    format!(
        "arn:aws:secretsmanager:{region}:{account}:secret:{}",
        reference.secret_id
    )
}
