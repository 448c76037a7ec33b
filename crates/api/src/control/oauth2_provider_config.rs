//! `oauth2ProviderConfigInput` and `oauth2ProviderConfigOutput`.
//!
//! Every member of the model is read, checked, kept and echoed, secrets excepted. What this server cannot do
//! (private endpoints, certificates of private authorities, tokens of AWS IAM) is refused when the provider is
//! used, never ignored: a caller who asks for a private endpoint must not silently get a public one.

use serde::{Deserialize, Serialize};
use url::Url;

use super::on_behalf_of::OnBehalfOfTokenExchangeConfig;
use super::private_endpoint::{self, CertificateConfiguration, PrivateEndpoint, PrivateEndpointOverride};
use super::private_key_jwt::PrivateKeyJwtConfig;
use super::shapes::{self, CredentialProviderVendor, SecretReference, SecretSource};
use crate::sensitive::Sensitive;
use crate::validate::{Checker, pattern};

union! {
    /// A client's registration at an authorization server, with its secret.
    Oauth2ProviderConfigInput {
        /// Any server.
        "customOauth2ProviderConfig" => Custom(Box<CustomOauth2ProviderConfigInput>),
        /// Google.
        "googleOauth2ProviderConfig" => Google(ClientConfigInput),
        /// GitHub.
        "githubOauth2ProviderConfig" => Github(ClientConfigInput),
        /// Slack.
        "slackOauth2ProviderConfig" => Slack(ClientConfigInput),
        /// Salesforce.
        "salesforceOauth2ProviderConfig" => Salesforce(ClientConfigInput),
        /// Microsoft.
        "microsoftOauth2ProviderConfig" => Microsoft(MicrosoftOauth2ProviderConfigInput),
        /// Atlassian.
        "atlassianOauth2ProviderConfig" => Atlassian(ClientConfigInput),
        /// `LinkedIn`.
        "linkedinOauth2ProviderConfig" => Linkedin(ClientConfigInput),
        /// Every other vendor.
        "includedOauth2ProviderConfig" => Included(IncludedOauth2ProviderConfigInput),
    }
}

union! {
    /// A client's registration at an authorization server, without its secret.
    Oauth2ProviderConfigOutput {
        /// Any server.
        "customOauth2ProviderConfig" => Custom(Box<CustomOauth2ProviderConfigOutput>),
        /// Google.
        "googleOauth2ProviderConfig" => Google(ClientConfigOutput),
        /// GitHub.
        "githubOauth2ProviderConfig" => Github(ClientConfigOutput),
        /// Slack.
        "slackOauth2ProviderConfig" => Slack(ClientConfigOutput),
        /// Salesforce.
        "salesforceOauth2ProviderConfig" => Salesforce(ClientConfigOutput),
        /// Microsoft.
        "microsoftOauth2ProviderConfig" => Microsoft(ClientConfigOutput),
        /// Atlassian.
        "atlassianOauth2ProviderConfig" => Atlassian(ClientConfigOutput),
        /// `LinkedIn`.
        "linkedinOauth2ProviderConfig" => Linkedin(ClientConfigOutput),
        /// Every other vendor.
        "includedOauth2ProviderConfig" => Included(ClientConfigOutput),
    }
}

union! {
    /// Where the authorization server's endpoints are known from.
    Oauth2Discovery {
        /// Its metadata document (RFC 8414, OpenID Connect Discovery).
        "discoveryUrl" => DiscoveryUrl(String),
        /// Given by hand.
        "authorizationServerMetadata" => AuthorizationServerMetadata(AuthorizationServerMetadata),
    }
}

/// `Oauth2AuthorizationServerMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationServerMetadata {
    /// The issuer identifier.
    pub issuer: String,
    /// Where the person consents.
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: String,
    /// Supported response types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_types: Option<Vec<String>>,
    /// The older form of `clientAuthenticationMethod`: one or both of `client_secret_basic`,
    /// `client_secret_post`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods: Option<Vec<String>>,
}

/// How the client authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientAuthenticationMethod {
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the body.
    ClientSecretPost,
    /// A token of AWS IAM.
    AwsIamIdTokenJwt,
    /// A JWT of the client's own (RFC 7523).
    PrivateKeyJwt,
}

/// `CustomOauth2ProviderConfigInput`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomOauth2ProviderConfigInput {
    /// Where the endpoints are known from.
    pub oauth_discovery: Oauth2Discovery,
    /// The client id, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client secret, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Sensitive>,
    /// Where an external secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_config: Option<SecretReference>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_source: Option<SecretSource>,
    /// How the client authenticates; `CLIENT_SECRET_BASIC` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication_method: Option<ClientAuthenticationMethod>,
    /// How the person's own token is exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of_token_exchange_config: Option<OnBehalfOfTokenExchangeConfig>,
    /// How assertions are signed; with `PRIVATE_KEY_JWT` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_jwt_config: Option<PrivateKeyJwtConfig>,
    /// How the server is reached where it is not on the Internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_endpoint: Option<PrivateEndpoint>,
    /// The same for single domains, at most 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_endpoint_overrides: Option<Vec<PrivateEndpointOverride>>,
    /// The certificate of a private authority, one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_configurations: Option<Vec<CertificateConfiguration>>,
}

/// The members that every named vendor's input has, and most have no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConfigInput {
    /// The client id, 1 to 256 characters.
    pub client_id: String,
    /// The client secret, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Sensitive>,
    /// Where an external secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_config: Option<SecretReference>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_source: Option<SecretSource>,
}

/// `MicrosoftOauth2ProviderConfigInput`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MicrosoftOauth2ProviderConfigInput {
    /// The client id, 1 to 256 characters.
    pub client_id: String,
    /// The client secret, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Sensitive>,
    /// Where an external secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_config: Option<SecretReference>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_source: Option<SecretSource>,
    /// The Entra tenant, 1 to 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// `IncludedOauth2ProviderConfigInput`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncludedOauth2ProviderConfigInput {
    /// The client id, 1 to 256 characters.
    pub client_id: String,
    /// The client secret, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Sensitive>,
    /// Where an external secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_config: Option<SecretReference>,
    /// Who keeps the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_source: Option<SecretSource>,
    /// The issuer, where each customer has their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The authorization endpoint, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// The token endpoint, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
}

/// `CustomOauth2ProviderConfigOutput`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomOauth2ProviderConfigOutput {
    /// As it was given.
    pub oauth_discovery: Oauth2Discovery,
    /// The client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// How the client authenticates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication_method: Option<ClientAuthenticationMethod>,
    /// How the person's own token is exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of_token_exchange_config: Option<OnBehalfOfTokenExchangeConfig>,
    /// How assertions are signed; with `PRIVATE_KEY_JWT` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_jwt_config: Option<PrivateKeyJwtConfig>,
    /// How the server is reached where it is not on the Internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_endpoint: Option<PrivateEndpoint>,
    /// The same for single domains, at most 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_endpoint_overrides: Option<Vec<PrivateEndpointOverride>>,
    /// The certificate of a private authority, one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_configurations: Option<Vec<CertificateConfiguration>>,
}

/// What every named vendor's output has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConfigOutput {
    /// The vendor's own.
    pub oauth_discovery: Oauth2Discovery,
    /// The client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// What every input says about the client, whatever the vendor.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The client id.
    pub id: Option<&'a str>,
    /// The client secret.
    pub secret: Option<&'a Sensitive>,
    /// Who keeps the secret.
    pub secret_source: Option<SecretSource>,
    /// Where an external secret is.
    pub secret_reference: Option<&'a SecretReference>,
}

/// The client of an input whose `clientId` is required.
macro_rules! client {
    ($config:expr) => {
        Client {
            id: Some(&$config.client_id),
            secret: $config.client_secret.as_ref(),
            secret_source: $config.client_secret_source,
            secret_reference: $config.client_secret_config.as_ref(),
        }
    };
}

impl Oauth2ProviderConfigInput {
    /// What is said about the client.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        match self {
            Self::Custom(config) => Client {
                id: config.client_id.as_deref(),
                secret: config.client_secret.as_ref(),
                secret_source: config.client_secret_source,
                secret_reference: config.client_secret_config.as_ref(),
            },
            Self::Google(config)
            | Self::Github(config)
            | Self::Slack(config)
            | Self::Salesforce(config)
            | Self::Atlassian(config)
            | Self::Linkedin(config) => client!(config),
            Self::Microsoft(config) => client!(config),
            Self::Included(config) => client!(config),
        }
    }

    /// Checks the member that is set, and that it is `vendor`'s.
    pub(crate) fn validate(&self, check: &mut Checker, vendor: CredentialProviderVendor) {
        let member = self.member();
        if member != vendor.config_member() {
            let rule = format!("must have the member {} for this vendor", vendor.config_member());
            check.fail("oauth2ProviderConfigInput", rule);
            return;
        }
        check.nested(&format!("oauth2ProviderConfigInput.{member}"), |check| {
            self.client().validate(check);
            match self {
                Self::Custom(config) => config.validate(check),
                Self::Microsoft(config) => {
                    self.client().require_secret(check);
                    if let Some(tenant) = &config.tenant_id {
                        check.text("tenantId", tenant, 1..=2048, &pattern::PRINTABLE);
                    }
                }
                Self::Included(config) => {
                    self.client().require_secret(check);
                    for (member, url) in [
                        ("issuer", &config.issuer),
                        ("authorizationEndpoint", &config.authorization_endpoint),
                        ("tokenEndpoint", &config.token_endpoint),
                    ] {
                        if let Some(url) = url {
                            endpoint(check, member, url);
                        }
                    }
                }
                _ => self.client().require_secret(check),
            }
        });
    }
}

impl Client<'_> {
    fn has_secret(&self) -> bool {
        self.secret_source == Some(SecretSource::External)
            || self.secret.is_some_and(|secret| !secret.expose().is_empty())
    }

    fn validate(&self, check: &mut Checker) {
        if let Some(id) = self.id {
            check.text("clientId", id, 1..=256, &pattern::PRINTABLE);
        }
        let secret = self.secret.map(Sensitive::expose);
        check.length("clientSecret", secret.unwrap_or_default(), 0..=2048);
        shapes::secret(
            check,
            ("clientSecret", secret),
            ("clientSecretSource", self.secret_source),
            ("clientSecretConfig", self.secret_reference),
        );
    }

    fn require_secret(&self, check: &mut Checker) {
        let rule = "must be set unless clientSecretSource is EXTERNAL";
        check.require(self.has_secret(), "clientSecret", rule);
    }
}

impl CustomOauth2ProviderConfigInput {
    fn validate(&self, check: &mut Checker) {
        check.nested("oauthDiscovery", |check| self.oauth_discovery.validate(check));
        self.validate_client_authentication(check);
        if let Some(config) = &self.on_behalf_of_token_exchange_config {
            check.nested("onBehalfOfTokenExchangeConfig", |check| config.validate(check));
        }
        if let Some(config) = &self.private_key_jwt_config {
            check.nested("privateKeyJwtConfig", |check| config.validate(check));
        }
        if let Some(endpoint) = &self.private_endpoint {
            check.nested("privateEndpoint", |check| endpoint.validate(check));
        }
        if let Some(overrides) = &self.private_endpoint_overrides {
            private_endpoint::overrides(check, overrides);
        }
        if let Some(certificates) = &self.certificate_configurations {
            private_endpoint::certificates(check, certificates);
        }
    }

    /// Which of secret, key and client id go with the method. Without a method and without a secret the client
    /// is public (RFC 6749 section 2.1): PKCE alone.
    fn validate_client_authentication(&self, check: &mut Checker) {
        use ClientAuthenticationMethod::{
            AwsIamIdTokenJwt, ClientSecretBasic, ClientSecretPost, PrivateKeyJwt,
        };
        let method = self.client_authentication_method;
        let registration = Client {
            id: self.client_id.as_deref(),
            secret: self.client_secret.as_ref(),
            secret_source: self.client_secret_source,
            secret_reference: self.client_secret_config.as_ref(),
        };
        match method {
            Some(ClientSecretBasic | ClientSecretPost) => registration.require_secret(check),
            Some(AwsIamIdTokenJwt | PrivateKeyJwt) => check.require(
                !registration.has_secret(),
                "clientSecret",
                "must not be set with this clientAuthenticationMethod",
            ),
            None => {}
        }
        let id = self.client_id.is_some() || method == Some(AwsIamIdTokenJwt);
        check.require(
            id,
            "clientId",
            "must be set unless clientAuthenticationMethod is AWS_IAM_ID_TOKEN_JWT",
        );
        check.require(
            (method == Some(PrivateKeyJwt)) == self.private_key_jwt_config.is_some(),
            "privateKeyJwtConfig",
            "must be set with PRIVATE_KEY_JWT and only then",
        );
        let legacy = match &self.oauth_discovery {
            Oauth2Discovery::AuthorizationServerMetadata(metadata) => {
                metadata.token_endpoint_auth_methods.is_some()
            }
            Oauth2Discovery::DiscoveryUrl(_) => false,
        };
        check.require(
            !(legacy && method.is_some()),
            "clientAuthenticationMethod",
            "must not be set together with tokenEndpointAuthMethods",
        );
    }

    /// How the client authenticates: what is said, else the first of the older member, else Basic.
    #[must_use]
    pub fn effective_client_authentication_method(&self) -> ClientAuthenticationMethod {
        let legacy = match &self.oauth_discovery {
            Oauth2Discovery::AuthorizationServerMetadata(metadata) => {
                metadata.token_endpoint_auth_methods.as_ref()
            }
            Oauth2Discovery::DiscoveryUrl(_) => None,
        };
        let first = legacy.and_then(|methods| methods.first()).map(String::as_str);
        self.client_authentication_method.unwrap_or(match first {
            Some("client_secret_post") => ClientAuthenticationMethod::ClientSecretPost,
            _ => ClientAuthenticationMethod::ClientSecretBasic,
        })
    }
}

impl Oauth2Discovery {
    fn validate(&self, check: &mut Checker) {
        match self {
            Self::DiscoveryUrl(url) => {
                check.text("discoveryUrl", url, 1..=MAX_URL, &pattern::DISCOVERY_URL);
                endpoint(check, "discoveryUrl", url);
            }
            Self::AuthorizationServerMetadata(metadata) => {
                check.nested("authorizationServerMetadata", |check| metadata.validate(check));
            }
        }
    }
}

impl AuthorizationServerMetadata {
    fn validate(&self, check: &mut Checker) {
        endpoint(check, "issuer", &self.issuer);
        endpoint(check, "authorizationEndpoint", &self.authorization_endpoint);
        endpoint(check, "tokenEndpoint", &self.token_endpoint);
        if let Some(types) = &self.response_types {
            check.count("responseTypes", types.len(), 0..=20);
            check.each("responseTypes", types, |check, member, item| {
                check.length(member, item, 1..=128);
            });
            let code = types.is_empty() || types.iter().any(|item| item == "code");
            check.require(
                code,
                "responseTypes",
                "must contain code, the only one that is used",
            );
        }
        if let Some(methods) = &self.token_endpoint_auth_methods {
            check.count("tokenEndpointAuthMethods", methods.len(), 1..=2);
            check.each("tokenEndpointAuthMethods", methods, |check, member, item| {
                check.text(member, item, 1..=64, &pattern::TOKEN_AUTH_METHOD);
            });
        }
    }
}

/// The model leaves these URLs unbounded; a limit of ours.
const MAX_URL: usize = 2048;

/// What any URL of an authorization server has to be. Whether it may be reached is the outbound guard's
/// to say, by the operator's policy; a browser's `http` is decided there too.
fn endpoint(check: &mut Checker, member: &str, url: &str) {
    let parsed = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"));
    match parsed {
        _ if url.chars().count() > MAX_URL => check.length(member, url, 1..=MAX_URL),
        None => check.fail(member, "must be an absolute https URL"),
        Some(parsed) => {
            let plain =
                parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
            check.require(
                plain,
                member,
                "must carry neither user information nor a fragment",
            );
        }
    }
}
