//! The data plane: workload access tokens and resource tokens.
//!
//! Shapes of the service model `bedrock-agentcore` 2024-02-28. Members marked as ours are extensions that
//! its clients ignore.

pub mod complete_resource_token_auth;
pub mod get_resource_api_key;
pub mod get_resource_oauth2_token;
pub mod get_workload_access_token;
pub mod get_workload_access_token_for_jwt;
pub mod get_workload_access_token_for_user_id;
mod shapes;

pub use complete_resource_token_auth::CompleteResourceTokenAuth;
pub use get_resource_api_key::GetResourceApiKey;
pub use get_resource_oauth2_token::GetResourceOauth2Token;
pub use get_workload_access_token::GetWorkloadAccessToken;
pub use get_workload_access_token_for_jwt::GetWorkloadAccessTokenForJWT;
pub use get_workload_access_token_for_user_id::GetWorkloadAccessTokenForUserId;
pub use shapes::{MAX_USER_TOKEN_BYTES, Oauth2Flow, SessionStatus, UserIdentifier};
pub(crate) use shapes::{provider_name, request_uri, user_id, workload_name};
