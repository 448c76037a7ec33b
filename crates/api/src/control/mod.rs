//! The control plane: workload identities and OAuth2 credential providers.
//!
//! Shapes of the service model `bedrock-agentcore-control` 2023-06-05.

pub mod create_oauth2_credential_provider;
pub mod create_workload_identity;
pub mod delete_oauth2_credential_provider;
pub mod delete_workload_identity;
pub mod get_oauth2_credential_provider;
pub mod get_workload_identity;
pub mod list_oauth2_credential_providers;
pub mod list_workload_identities;
pub mod oauth2_provider_config;
mod shapes;
pub mod update_oauth2_credential_provider;
pub mod update_workload_identity;

pub use create_oauth2_credential_provider::CreateOauth2CredentialProvider;
pub use create_workload_identity::CreateWorkloadIdentity;
pub use delete_oauth2_credential_provider::DeleteOauth2CredentialProvider;
pub use delete_workload_identity::DeleteWorkloadIdentity;
pub use get_oauth2_credential_provider::GetOauth2CredentialProvider;
pub use get_workload_identity::GetWorkloadIdentity;
pub use list_oauth2_credential_providers::ListOauth2CredentialProviders;
pub use list_workload_identities::ListWorkloadIdentities;
pub(crate) use shapes::page;
pub use shapes::{CredentialProviderVendor, ProviderStatus, Secret, SecretReference, SecretSource, Tags};
pub use update_oauth2_credential_provider::UpdateOauth2CredentialProvider;
pub use update_workload_identity::UpdateWorkloadIdentity;
