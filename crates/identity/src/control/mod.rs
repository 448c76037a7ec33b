//! The control plane: workload identities, credential providers, the token vault and tags, one file an operation.
//!
//! A name that is taken is a `ValidationException` that says "already exists", for providers because AWS answers
//! so, for workload identities because tools look for the same words.

mod api_key;
mod create_api_key_credential_provider;
mod create_oauth2_credential_provider;
mod create_workload_identity;
mod delete_api_key_credential_provider;
mod delete_oauth2_credential_provider;
mod delete_workload_identity;
pub(crate) mod external;
mod get_api_key_credential_provider;
mod get_oauth2_credential_provider;
mod get_token_vault;
mod get_workload_identity;
mod list_api_key_credential_providers;
mod list_oauth2_credential_providers;
mod list_tags_for_resource;
mod list_workload_identities;
mod not_offered;
pub(crate) mod registration;
mod reset_token_vault_key_material;
mod set_token_vault_cmk;
mod tag_resource;
mod tagging;
mod token_vault;
mod untag_resource;
mod update_api_key_credential_provider;
mod update_oauth2_credential_provider;
mod update_workload_identity;

use axum::Router;
use countersign_api::{ApiError, Arn, ErrorCode, ValidationReason, control};

use crate::operation::{Call, OperationError};
use crate::server::route;
use crate::state::State;

/// Adds the routes of the control plane.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    let router = route::<control::CreateWorkloadIdentity>(router);
    let router = route::<control::GetWorkloadIdentity>(router);
    let router = route::<control::UpdateWorkloadIdentity>(router);
    let router = route::<control::DeleteWorkloadIdentity>(router);
    let router = route::<control::ListWorkloadIdentities>(router);
    let router = route::<control::CreateOauth2CredentialProvider>(router);
    let router = route::<control::GetOauth2CredentialProvider>(router);
    let router = route::<control::UpdateOauth2CredentialProvider>(router);
    let router = route::<control::DeleteOauth2CredentialProvider>(router);
    let router = route::<control::ListOauth2CredentialProviders>(router);
    let router = route::<control::CreateApiKeyCredentialProvider>(router);
    let router = route::<control::GetApiKeyCredentialProvider>(router);
    let router = route::<control::UpdateApiKeyCredentialProvider>(router);
    let router = route::<control::DeleteApiKeyCredentialProvider>(router);
    let router = route::<control::ListApiKeyCredentialProviders>(router);
    let router = route::<control::GetTokenVault>(router);
    let router = route::<control::SetTokenVaultCMK>(router);
    let router = route::<control::ResetTokenVaultKeyMaterial>(router);
    let router = route::<control::TagResource>(router);
    let router = route::<control::UntagResource>(router);
    let router = route::<control::ListTagsForResource>(router);
    not_offered_routes(router)
}

fn not_offered_routes(router: Router<State>) -> Router<State> {
    let router = route::<control::not_offered::CreatePaymentCredentialProvider>(router);
    let router = route::<control::not_offered::GetPaymentCredentialProvider>(router);
    let router = route::<control::not_offered::UpdatePaymentCredentialProvider>(router);
    let router = route::<control::not_offered::DeletePaymentCredentialProvider>(router);
    let router = route::<control::not_offered::ListPaymentCredentialProviders>(router);
    let router = route::<control::not_offered::GetResourcePaymentToken>(router);
    let router = route::<control::not_offered::CreateConsentPortal>(router);
    let router = route::<control::not_offered::GetConsentPortal>(router);
    let router = route::<control::not_offered::UpdateConsentPortal>(router);
    let router = route::<control::not_offered::DeleteConsentPortal>(router);
    let router = route::<control::not_offered::ListConsentPortals>(router);
    let router = route::<control::not_offered::PutResourcePolicy>(router);
    let router = route::<control::not_offered::GetResourcePolicy>(router);
    route::<control::not_offered::DeleteResourcePolicy>(router)
}

/// What a policy has to allow for an operation on a workload identity: it and its directory.
fn workload_resources(call: &Call, name: &str) -> [Arn; 2] {
    let (region, account) = (call.region(), call.account());
    [
        Arn::workload_identity(region, account, name),
        Arn::directory(region, account),
    ]
}

/// What a policy has to allow for an operation on a provider: it and its vault.
fn provider_resources(call: &Call, name: &str) -> [Arn; 2] {
    let (region, account) = (call.region(), call.account());
    [
        Arn::oauth2_provider(region, account, name),
        Arn::token_vault(region, account),
    ]
}

/// Lets the conditions of a policy see the tags that a request sets.
fn request_tags(call: &mut Call, tags: Option<&control::Tags>) {
    call.context.request_tags = Some(tags.cloned().unwrap_or_default());
}

/// Whether an account that has `present` of something may have one more. Of two requests at the same moment both may
/// be let through; nothing depends on the exact number.
fn within_quota(what: &str, present: i64, quota: u32) -> Result<(), OperationError> {
    if present < i64::from(quota) {
        return Ok(());
    }
    let message = format!("The account has its {quota} {what}; the operator can raise the quota");
    Err(OperationError::refused(
        "quota_exceeded",
        ApiError::new(ErrorCode::ServiceQuotaExceeded, message),
    ))
}

fn already_exists(what: &str, name: &str) -> OperationError {
    let message = format!("{what} with name: {name} already exists");
    OperationError::refused(
        "already_exists",
        ApiError::validation(ValidationReason::ResourceConflict, message),
    )
}
