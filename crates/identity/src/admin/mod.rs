//! Our extension of the API (design D29): principals, keys and policies, stops, grants, the audit trail. One file
//! an operation; every action is `countersign:*`, which no policy written for AWS matches.

mod create_access_key;
mod create_principal;
mod delete_access_key;
mod delete_principal;
mod delete_principal_policy;
mod describe_authorization_session;
mod explain_audit_record;
mod get_grant;
mod get_principal;
mod get_principal_policy;
mod list_access_keys;
mod list_audit_records;
mod list_grants;
mod list_principals;
mod list_stops;
mod put_principal_policy;
mod put_return_handle;
mod revoke_grant;
mod shown;
mod start;
mod stop;
mod stop_subject;
mod verify_audit;

use axum::Router;
use countersign_api::{ApiError, Arn, admin};

use crate::operation::{Call, OperationError};
use crate::server::route;
use crate::state::State;
use crate::store::principal::{self, PrincipalRow};

/// Adds the routes of the extension.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    let router = route::<admin::CreatePrincipal>(router);
    let router = route::<admin::GetPrincipal>(router);
    let router = route::<admin::ListPrincipals>(router);
    let router = route::<admin::DeletePrincipal>(router);
    let router = route::<admin::PutPrincipalPolicy>(router);
    let router = route::<admin::GetPrincipalPolicy>(router);
    let router = route::<admin::DeletePrincipalPolicy>(router);
    let router = route::<admin::CreateAccessKey>(router);
    let router = route::<admin::ListAccessKeys>(router);
    let router = route::<admin::DeleteAccessKey>(router);
    let router = route::<admin::PutReturnHandle>(router);
    let router = route::<admin::Stop>(router);
    let router = route::<admin::Start>(router);
    let router = route::<admin::ListStops>(router);
    let router = route::<admin::ListGrants>(router);
    let router = route::<admin::GetGrant>(router);
    let router = route::<admin::RevokeGrant>(router);
    let router = route::<admin::DescribeAuthorizationSession>(router);
    let router = route::<admin::ListAuditRecords>(router);
    let router = route::<admin::ExplainAuditRecord>(router);
    route::<admin::VerifyAudit>(router)
}

/// Authorizes an operation on the principal `name`, then finds it.
async fn authorized_principal(call: &mut Call, name: &str) -> Result<PrincipalRow, OperationError> {
    call.entry.detail.insert("principal".to_owned(), name.into());
    call.authorize(&[Arn::principal(call.account(), name)])?;
    let found = principal::find(&call.state.pool, call.account(), name).await?;
    found.ok_or_else(|| OperationError::not_found("Principal", name))
}

/// Authorizes an operation on the audit trail. It is one for the installation, whose account alone reads it.
fn authorize_audit(call: &mut Call) -> Result<(), OperationError> {
    call.authorize(&[Arn::account(call.region(), call.account())])?;
    if call.account() == call.state.config.account {
        return Ok(());
    }
    let message = "The audit trail is read by the account that operates this installation.";
    Err(OperationError::refused(
        "not_the_operator",
        ApiError::access_denied(message),
    ))
}
