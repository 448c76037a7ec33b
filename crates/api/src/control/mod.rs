//! The control plane: workload identities, credential providers, the token vault and tags.
//!
//! Shapes of the service model `bedrock-agentcore-control` 2023-06-05.

pub mod api_key_secret;
pub mod create_api_key_credential_provider;
pub mod create_oauth2_credential_provider;
pub mod create_workload_identity;
pub mod delete_api_key_credential_provider;
pub mod delete_oauth2_credential_provider;
pub mod delete_workload_identity;
pub mod get_api_key_credential_provider;
pub mod get_oauth2_credential_provider;
pub mod get_token_vault;
pub mod get_workload_identity;
pub mod list_api_key_credential_providers;
pub mod list_oauth2_credential_providers;
pub mod list_tags_for_resource;
pub mod list_workload_identities;
pub mod not_offered;
pub mod oauth2_provider_config;
pub mod on_behalf_of;
pub mod private_endpoint;
pub mod private_key_jwt;
pub mod reset_token_vault_key_material;
pub mod set_token_vault_cmk;
mod shapes;
pub mod tag_resource;
pub mod token_vault;
pub mod untag_resource;
pub mod update_api_key_credential_provider;
pub mod update_oauth2_credential_provider;
pub mod update_workload_identity;

pub use create_api_key_credential_provider::CreateApiKeyCredentialProvider;
pub use create_oauth2_credential_provider::CreateOauth2CredentialProvider;
pub use create_workload_identity::CreateWorkloadIdentity;
pub use delete_api_key_credential_provider::DeleteApiKeyCredentialProvider;
pub use delete_oauth2_credential_provider::DeleteOauth2CredentialProvider;
pub use delete_workload_identity::DeleteWorkloadIdentity;
pub use get_api_key_credential_provider::GetApiKeyCredentialProvider;
pub use get_oauth2_credential_provider::GetOauth2CredentialProvider;
pub use get_token_vault::GetTokenVault;
pub use get_workload_identity::GetWorkloadIdentity;
pub use list_api_key_credential_providers::ListApiKeyCredentialProviders;
pub use list_oauth2_credential_providers::ListOauth2CredentialProviders;
pub use list_tags_for_resource::ListTagsForResource;
pub use list_workload_identities::ListWorkloadIdentities;
pub use reset_token_vault_key_material::ResetTokenVaultKeyMaterial;
pub use set_token_vault_cmk::SetTokenVaultCMK;
pub(crate) use shapes::page;
pub use shapes::{CredentialProviderVendor, ProviderStatus, Secret, SecretReference, SecretSource, Tags};
pub use tag_resource::TagResource;
pub use untag_resource::UntagResource;
pub use update_api_key_credential_provider::UpdateApiKeyCredentialProvider;
pub use update_oauth2_credential_provider::UpdateOauth2CredentialProvider;
pub use update_workload_identity::UpdateWorkloadIdentity;
