//! What an authorization server says about itself (RFC 8414 section 2, OpenID Connect Discovery section 3).

use countersign_outbound::Client;
use serde_json::{Map, Value};
use url::Url;

use crate::document::DocumentError;

const ISS: &str = "authorization_response_iss_parameter_supported";

/// An authorization server's metadata, the part this client uses. Also the form of a provider that is
/// configured by hand, where all but the first three stay empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Exact issuer identifier.
    pub issuer: String,
    /// Where the browser goes.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens go.
    pub token_endpoint: Url,
    /// The keys that sign ID tokens.
    pub jwks_uri: Option<Url>,
    /// OpenID Connect `UserInfo`.
    pub userinfo_endpoint: Option<Url>,
    /// RFC 7009.
    pub revocation_endpoint: Option<Url>,
    /// RFC 7662.
    pub introspection_endpoint: Option<Url>,
    /// OpenID Connect RP-initiated logout.
    pub end_session_endpoint: Option<Url>,
    /// PKCE methods; `None` when the server does not say.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Client authentication methods; `None` means `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether every authorization response carries `iss` (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
    /// Algorithms of ID tokens; `None` when the server does not say.
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    /// Scopes; `None` when the server does not say.
    pub scopes_supported: Option<Vec<String>>,
}

impl ServerMetadata {
    /// The metadata of a provider that is configured by hand.
    #[must_use]
    pub fn new(issuer: impl Into<String>, authorization_endpoint: Url, token_endpoint: Url) -> Self {
        Self {
            issuer: issuer.into(),
            authorization_endpoint,
            token_endpoint,
            jwks_uri: None,
            userinfo_endpoint: None,
            revocation_endpoint: None,
            introspection_endpoint: None,
            end_session_endpoint: None,
            code_challenge_methods_supported: None,
            token_endpoint_auth_methods_supported: None,
            authorization_response_iss_parameter_supported: false,
            id_token_signing_alg_values_supported: None,
            scopes_supported: None,
        }
    }

    /// Reads a metadata document whose issuer has been checked. `client` says which URLs may be used.
    pub(crate) fn read(
        issuer: &str,
        document: &Map<String, Value>,
        client: &Client,
    ) -> Result<Self, DocumentError> {
        let endpoint = |name: &'static str| match document.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => endpoint(text, client)
                .map(Some)
                .ok_or(DocumentError::Member(name)),
            Some(_) => Err(DocumentError::Member(name)),
        };
        let required = |name: &'static str| endpoint(name)?.ok_or(DocumentError::Member(name));
        let strings = |name: &'static str| match document.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => strings(value).map(Some).ok_or(DocumentError::Member(name)),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            jwks_uri: endpoint("jwks_uri")?,
            userinfo_endpoint: endpoint("userinfo_endpoint")?,
            revocation_endpoint: endpoint("revocation_endpoint")?,
            introspection_endpoint: endpoint("introspection_endpoint")?,
            end_session_endpoint: endpoint("end_session_endpoint")?,
            code_challenge_methods_supported: strings("code_challenge_methods_supported")?,
            token_endpoint_auth_methods_supported: strings("token_endpoint_auth_methods_supported")?,
            authorization_response_iss_parameter_supported: match document.get(ISS) {
                None | Some(Value::Null) => false,
                Some(Value::Bool(promised)) => *promised,
                Some(_) => return Err(DocumentError::Member(ISS)),
            },
            id_token_signing_alg_values_supported: strings("id_token_signing_alg_values_supported")?,
            scopes_supported: strings("scopes_supported")?,
        })
    }
}

/// An endpoint is an absolute URL without fragment (RFC 6749 section 3.1) that the guard would let pass:
/// https, or an operator's exception.
pub(crate) fn endpoint(text: &str, client: &Client) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.fragment().is_none() && client.check(&url).is_ok()).then_some(url)
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}
