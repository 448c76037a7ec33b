//! Our extension of the API (design D29): principals, keys and policies, stops, grants, the audit trail. One file
//! an operation; every action is `countersign:*`, which no policy written for AWS matches.

mod confirm_authorization_session;
mod create_access_key;
mod create_principal;
mod delete_access_key;
mod delete_principal;
mod delete_principal_policy;
mod describe_authorization_session;
mod describe_health;
mod explain_audit_record;
mod export_audit_records;
mod forget_user;
mod get_audit_report;
mod get_grant;
mod get_principal;
mod get_principal_policy;
mod list_access_keys;
mod list_audit_records;
mod list_authorization_sessions;
mod list_grants;
mod list_keys;
mod list_principals;
mod list_stops;
mod list_users;
mod live_tokens;
mod put_principal_policy;
mod put_return_handle;
mod record_binding_refusal;
mod retire_key;
mod revoke_grant;
mod rotate_key;
mod shown;
mod simulate_policy;
mod start;
mod stop;
pub(crate) mod stop_subject;
mod update_access_key;
mod update_principal;
mod verify_audit;

use axum::Router;
use countersign_api::admin::{TrustPolicy, TrustedToken};
use countersign_api::{ApiError, Arn, admin};
use serde_json::json;

use crate::operation::{Call, OperationError};
use crate::server::route;
use crate::state::State;
use crate::store::access_key;
use crate::store::principal::{self, PrincipalRow};

/// Adds the routes of the extension.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    let router = route::<admin::CreatePrincipal>(router);
    let router = route::<admin::GetPrincipal>(router);
    let router = route::<admin::ListPrincipals>(router);
    let router = route::<admin::UpdatePrincipal>(router);
    let router = route::<admin::DeletePrincipal>(router);
    let router = route::<admin::PutPrincipalPolicy>(router);
    let router = route::<admin::GetPrincipalPolicy>(router);
    let router = route::<admin::DeletePrincipalPolicy>(router);
    let router = route::<admin::SimulatePolicy>(router);
    let router = route::<admin::CreateAccessKey>(router);
    let router = route::<admin::ListAccessKeys>(router);
    let router = route::<admin::UpdateAccessKey>(router);
    let router = route::<admin::DeleteAccessKey>(router);
    let router = route::<admin::PutReturnHandle>(router);
    let router = route::<admin::Stop>(router);
    let router = route::<admin::Start>(router);
    let router = route::<admin::ListStops>(router);
    let router = route::<admin::ListKeys>(router);
    let router = route::<admin::RotateKey>(router);
    let router = route::<admin::RetireKey>(router);
    let router = route::<admin::ListGrants>(router);
    let router = route::<admin::GetGrant>(router);
    let router = route::<admin::RevokeGrant>(router);
    let router = route::<admin::ForgetUser>(router);
    let router = route::<admin::DescribeAuthorizationSession>(router);
    let router = route::<admin::ConfirmAuthorizationSession>(router);
    let router = route::<admin::RecordBindingRefusal>(router);
    let router = route::<admin::ListUsers>(router);
    let router = route::<admin::ListAuthorizationSessions>(router);
    let router = route::<admin::DescribeHealth>(router);
    let router = route::<admin::ListAuditRecords>(router);
    let router = route::<admin::ExplainAuditRecord>(router);
    let router = route::<admin::ExportAuditRecords>(router);
    let router = route::<admin::GetAuditReport>(router);
    route::<admin::VerifyAudit>(router)
}

/// Authorizes an operation on the principal `name`, then finds it.
async fn authorized_principal(call: &mut Call, name: &str) -> Result<PrincipalRow, OperationError> {
    call.entry.detail.insert("principal".to_owned(), name.into());
    call.authorize(&[Arn::principal(call.account(), name)]).await?;
    let found = principal::find(&call.state.pool, call.account(), name).await?;
    found.ok_or_else(|| OperationError::not_found("Principal", name))
}

/// Authorizes an operation on the principal of an access key.
async fn authorized_access_key(call: &mut Call, id: &str) -> Result<(), OperationError> {
    call.entry.detail.insert("accessKeyId".to_owned(), id.into());
    let owner = match access_key::find(&call.state.pool, id).await? {
        Some(key) if key.account == call.account() => {
            principal::find_by_id(&call.state.pool, &key.principal_id).await?
        }
        _ => None,
    };
    // A policy speaks of principals; whoever may not touch any learns nothing about keys that are not there.
    let name = owner.map_or_else(|| "*".to_owned(), |owner| owner.name);
    call.authorize(&[Arn::principal(call.account(), &name)]).await
}

/// Refuses to trust an issuer that the operator has not configured for workloads.
fn check_trust(call: &Call, trust: &TrustPolicy) -> Result<(), OperationError> {
    let known = |token: &TrustedToken| {
        let config = &call.state.config;
        config.workload_issuer(call.account(), &token.issuer).is_some()
    };
    match trust.trusted.iter().position(|token| !known(token)) {
        None => Ok(()),
        Some(at) => {
            let rule = "must be one of workload_issuers in the configuration of this server";
            let error = ApiError::field(format!("trustPolicy.trusted[{at}].issuer"), rule);
            Err(OperationError::refused("issuer_not_configured", error))
        }
    }
}

/// What a principal's tags and trust have become, for the audit record.
fn record_standing(call: &mut Call, row: &PrincipalRow) {
    call.entry.detail.insert("tags".to_owned(), json!(row.tags));
    if let Some(trust) = &row.trust {
        call.entry.detail.insert("trustPolicy".to_owned(), json!(trust));
    }
}

/// Authorizes an operation on the audit trail. It is one for the installation, whose account alone reads it.
async fn authorize_audit(call: &mut Call) -> Result<(), OperationError> {
    call.authorize(&[Arn::account(call.region(), call.account())])
        .await?;
    if call.account() == call.state.config.account {
        return Ok(());
    }
    let message = "The audit trail is read by the account that operates this installation.";
    Err(OperationError::refused(
        "not_the_operator",
        ApiError::access_denied(message),
    ))
}
