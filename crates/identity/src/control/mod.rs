//! The control plane: workload identities and OAuth2 credential providers, one file an operation.
//!
//! A name that is taken is a `ValidationException` that says "already exists", for providers because AWS answers
//! so, for workload identities because tools look for the same words.

mod create_oauth2_credential_provider;
mod create_workload_identity;
mod delete_oauth2_credential_provider;
mod delete_workload_identity;
mod get_oauth2_credential_provider;
mod get_workload_identity;
mod list_oauth2_credential_providers;
mod list_workload_identities;
pub(crate) mod registration;
mod update_oauth2_credential_provider;
mod update_workload_identity;

use axum::Router;
use countersign_api::{ApiError, Arn, ValidationReason, control};

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
    route::<control::ListOauth2CredentialProviders>(router)
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

fn already_exists(what: &str, name: &str) -> OperationError {
    let message = format!("{what} with name: {name} already exists");
    OperationError::refused(
        "already_exists",
        ApiError::validation(ValidationReason::ResourceConflict, message),
    )
}
