//! Our extension (design D29): `POST /countersign/<Operation>`, signed for service `countersign`, authorized
//! by actions `countersign:*`, which no `bedrock-agentcore:*` policy ever matches.

pub mod confirm_authorization_session;
pub mod create_access_key;
pub mod create_principal;
pub mod delete_access_key;
pub mod delete_principal;
pub mod delete_principal_policy;
pub mod describe_authorization_session;
pub mod describe_health;
pub mod explain_audit_record;
pub mod export_audit_records;
pub mod forget_user;
pub mod get_audit_report;
pub mod get_grant;
pub mod get_principal;
pub mod get_principal_policy;
pub mod list_access_keys;
pub mod list_audit_records;
pub mod list_authorization_sessions;
pub mod list_grants;
pub mod list_keys;
pub mod list_principals;
pub mod list_stops;
pub mod list_users;
pub mod put_principal_policy;
pub mod put_return_handle;
pub mod record_binding_refusal;
pub mod retire_key;
pub mod revoke_grant;
pub mod rotate_key;
mod shapes;
pub mod simulate_policy;
pub mod start;
pub mod stop;
pub mod update_access_key;
pub mod update_principal;
pub mod verify_audit;

pub use confirm_authorization_session::{AccountDecision, ConfirmAuthorizationSession};
pub use create_access_key::CreateAccessKey;
pub use create_principal::CreatePrincipal;
pub use delete_access_key::DeleteAccessKey;
pub use delete_principal::DeletePrincipal;
pub use delete_principal_policy::DeletePrincipalPolicy;
pub use describe_authorization_session::DescribeAuthorizationSession;
pub use describe_health::DescribeHealth;
pub use explain_audit_record::ExplainAuditRecord;
pub use export_audit_records::ExportAuditRecords;
pub use forget_user::ForgetUser;
pub use get_audit_report::GetAuditReport;
pub use get_grant::GetGrant;
pub use get_principal::GetPrincipal;
pub use get_principal_policy::GetPrincipalPolicy;
pub use list_access_keys::ListAccessKeys;
pub use list_audit_records::ListAuditRecords;
pub use list_authorization_sessions::ListAuthorizationSessions;
pub use list_grants::ListGrants;
pub use list_keys::ListKeys;
pub use list_principals::ListPrincipals;
pub use list_stops::ListStops;
pub use list_users::ListUsers;
pub use put_principal_policy::PutPrincipalPolicy;
pub use put_return_handle::{PutReturnHandle, ReturnHandle};
pub use record_binding_refusal::{BindingRefusal, RecordBindingRefusal};
pub use retire_key::RetireKey;
pub use revoke_grant::RevokeGrant;
pub use rotate_key::RotateKey;
pub use shapes::{
    AccessKey, AccessKeyStatus, Grant, GrantState, Key, KeyPurpose, KeyState, LiveToken, Principal,
    Revocation, RevocationState, SessionState, Stopped, SubjectKind, TrustPolicy, TrustedToken,
};
pub use simulate_policy::SimulatePolicy;
pub use start::Start;
pub use stop::Stop;
pub use update_access_key::UpdateAccessKey;
pub use update_principal::UpdatePrincipal;
pub use verify_audit::VerifyAudit;
