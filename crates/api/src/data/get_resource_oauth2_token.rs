//! `GetResourceOauth2Token`: an access token for a third-party service, or the URL where the person
//! consents to one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shapes::{self, Oauth2Flow, SessionStatus};
use crate::sensitive::Sensitive;
use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate, pattern};

operation! {
    /// An access token for a third-party service, or the URL where the person consents to one. Pending
    /// consent is a success without `accessToken`: the SDKs' pollers stop at any error.
    GetResourceOauth2Token: "bedrock-agentcore" "/identities/oauth2/token" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Who asks, and for whom.
    pub workload_identity_token: Sensitive,
    /// The OAuth2 credential provider.
    pub resource_credential_provider_name: String,
    /// What the token should permit; may be empty. At most [`MAX_ITEMS`].
    pub scopes: Vec<String>,
    /// How the token is obtained.
    pub oauth2_flow: Oauth2Flow,
    /// The session to poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_uri: Option<String>,
    /// One of the workload identity's registered return URLs, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_oauth2_return_url: Option<String>,
    /// Asks the person again although a grant exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_authentication: Option<bool>,
    /// Added to the authorization request. At most [`MAX_ITEMS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_parameters: Option<BTreeMap<String, Sensitive>>,
    /// Handed back to the return URL as `state`; 1 to 4096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_state: Option<Sensitive>,
    /// RFC 8707 resource indicators. At most [`MAX_ITEMS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// `audience` parameters. At most [`MAX_ITEMS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
}

/// The response body: a token, or a session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Where the person consents. Given when the session is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<Sensitive>,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Sensitive>,
    /// The session, for polling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_uri: Option<String>,
    /// How far the session is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_status: Option<SessionStatus>,
    /// Ours: when the access token, or else the pending session, expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EpochSeconds>,
    /// Ours: what the token permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_scopes: Option<Vec<String>>,
    /// Ours: the grant the token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
}

/// The model leaves these lists and the map unbounded; a limit of ours.
pub const MAX_ITEMS: usize = 100;

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        shapes::workload_access_token(check, "workloadIdentityToken", &self.workload_identity_token);
        let provider = &self.resource_credential_provider_name;
        shapes::provider_name(check, "resourceCredentialProviderName", provider);
        list(check, "scopes", &self.scopes, 128);
        if let Some(uri) = &self.session_uri {
            shapes::request_uri(check, "sessionUri", uri);
        }
        if let Some(url) = &self.resource_oauth2_return_url {
            check.text("resourceOauth2ReturnUrl", url, 1..=2048, &pattern::RETURN_URL);
        }
        if let Some(parameters) = &self.custom_parameters {
            check.count("customParameters", parameters.len(), 0..=MAX_ITEMS);
            check.nested("customParameters", |check| {
                for (name, value) in parameters {
                    check.text(name, name, 1..=256, &pattern::CUSTOM_PARAMETER_NAME);
                    check.length(name, value.expose(), 1..=2048);
                }
            });
        }
        if let Some(state) = &self.custom_state {
            check.length("customState", state.expose(), 1..=4096);
        }
        list(
            check,
            "resources",
            self.resources.as_deref().unwrap_or_default(),
            2048,
        );
        list(
            check,
            "audiences",
            self.audiences.as_deref().unwrap_or_default(),
            2048,
        );
    }
}

fn list(check: &mut Checker, member: &str, items: &[String], longest: usize) {
    check.count(member, items.len(), 0..=MAX_ITEMS);
    check.each(member, items, |check, member, item| {
        check.length(member, item, 1..=longest);
    });
}
