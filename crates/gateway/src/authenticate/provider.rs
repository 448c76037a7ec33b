//! The OpenID provider as the gateway's client sees it: OpenID Connect Core 1.0, code flow with PKCE.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{ExposeSecret, SecretString, SharedClock};
use countersign_oauth::authorize::AuthorizationRequest;
use countersign_oauth::callback::AuthorizationResponse;
use countersign_oauth::client_auth::ClientAuthentication;
use countersign_oauth::discovery::{self, Discovery};
use countersign_oauth::id_token::{self, IdTokenClaims, IdTokenError};
use countersign_oauth::jwks::JwksCache;
use countersign_oauth::metadata::ServerMetadata;
use countersign_oauth::token::{CodeExchange, TokenEndpoint, TokenError, TokenSet};
use countersign_oauth::userinfo::{self, UserinfoError};
use countersign_outbound::{Client, Policy};
use http::HeaderValue;
use serde_json::{Map, Value};
use url::Url;

use super::transaction::OpenId;
use crate::config::{Config, ConfigError};
use crate::reason::Reason;
use crate::session::Login;

/// Claims and access token together, in bytes: an ALB's limit, and what fits into request headers.
const MAX_CLAIMS: usize = 11 * 1024;
/// OpenID Connect Core 1.0 section 2: at most 255 ASCII characters.
const MAX_SUBJECT: usize = 255;
/// Claims of an ID token that are about the token, not the person.
const TOKEN_CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "at_hash",
    "c_hash",
    "azp",
    "auth_time",
    "amr",
    "acr",
    "sid",
];

/// See the module.
pub(crate) struct Provider {
    issuer: String,
    discovery_url: Url,
    client_id: String,
    client_secret: Option<SecretString>,
    scope: Vec<String>,
    extra_params: Vec<(String, String)>,
    redirect_uri: String,
    client: Client,
    discovery: Discovery,
    jwks: JwksCache,
    clock: SharedClock,
}

impl Provider {
    pub(crate) fn new(config: &Config, clock: &SharedClock) -> Result<Self, ConfigError> {
        let oidc = &config.authenticate_oidc;
        let discovery_url = match &oidc.discovery_url {
            Some(url) => url.clone(),
            None => discovery::openid_configuration_url(&oidc.issuer)
                .map_err(|error| ConfigError::new("authenticate_oidc.issuer", error.to_string()))?,
        };
        let timeout = Duration::from_millis(oidc.endpoint_timeout_ms);
        let policy = Policy {
            allow: config.outbound_allow.clone(),
            connect_timeout: timeout,
            timeout,
            ..Policy::default()
        };
        let client =
            Client::new(policy).map_err(|error| ConfigError::new("authenticate_oidc", error.to_string()))?;
        Ok(Self {
            issuer: oidc.issuer.clone(),
            discovery_url,
            client_id: oidc.client_id.clone(),
            client_secret: oidc.client_secret.clone(),
            scope: oidc.scope.clone(),
            extra_params: oidc.extra_params.clone().into_iter().collect(),
            redirect_uri: config.listeners.account.origin.at("/oauth2/idpresponse"),
            discovery: Discovery::new(client.clone(), clock.clone()),
            jwks: JwksCache::new(client.clone(), clock.clone()),
            client,
            clock: clock.clone(),
        })
    }

    /// Where the browser goes to log in.
    pub(crate) async fn authorization_url(
        &self,
        state: &str,
        nonce: &str,
        challenge: &str,
    ) -> Result<String, Reason> {
        let server = self.server().await?;
        let request = AuthorizationRequest {
            endpoint: &server.authorization_endpoint,
            client_id: &self.client_id,
            redirect_uri: &self.redirect_uri,
            scopes: &self.scope,
            state,
            code_challenge: challenge,
            nonce: Some(nonce),
            resources: &[],
            custom: &self.extra_params,
        };
        Ok(request.url().into())
    }

    /// Turns the provider's answer into a login. The caller has tied the answer to the browser.
    pub(crate) async fn log_in(
        &self,
        answer: &AuthorizationResponse,
        openid: &OpenId,
    ) -> Result<Login, Reason> {
        let server = self.server().await?;
        answer
            .check_issuer(&server)
            .map_err(|_| Reason::AuthInvalidIssuer)?;
        let code = match answer {
            AuthorizationResponse::Code { code, .. } => code,
            AuthorizationResponse::Error { error, .. } => {
                tracing::info!(error, "the identity provider answered with an error");
                let denied = error == "access_denied";
                return Err(if denied {
                    Reason::AuthProviderDenied
                } else {
                    Reason::AuthProviderError
                });
            }
        };
        let tokens = self.exchange(&server, code, openid).await?;
        let id_token = tokens.id_token.ok_or(Reason::AuthInvalidTokenResponse)?;
        let claims = self
            .validate(&server, &id_token, openid, &tokens.access_token)
            .await?;
        let person = self.person(&server, &tokens.access_token, &claims).await?;
        check_claims(&claims.subject, &tokens.access_token, &person)?;
        Ok(Login {
            issuer: claims.issuer,
            subject: claims.subject,
            auth_time: claims.auth_time.unwrap_or_else(|| self.clock.now()),
            claims: person,
            access_token: tokens.access_token,
            id_token,
        })
    }

    /// Where the browser goes to log out at the provider too; `None` where it offers no such thing, or
    /// cannot be asked now: the session here has ended either way.
    pub(crate) async fn end_session_url(&self, id_token: &SecretString, after: &str) -> Option<String> {
        let server = self.server().await.ok()?;
        let mut url = server.end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", id_token.expose_secret())
            .append_pair("client_id", &self.client_id)
            .append_pair("post_logout_redirect_uri", after);
        Some(url.into())
    }

    async fn server(&self) -> Result<Arc<ServerMetadata>, Reason> {
        let server = self.discovery.fetch(&self.discovery_url).await.map_err(|error| {
            tracing::warn!(%error, "the identity provider's metadata cannot be had");
            Reason::AuthDiscoveryFailed
        })?;
        if server.issuer != self.issuer {
            tracing::warn!(
                found = server.issuer,
                "the metadata is of another issuer than configured"
            );
            return Err(Reason::AuthDiscoveryFailed);
        }
        Ok(server)
    }

    async fn exchange(
        &self,
        server: &ServerMetadata,
        code: &SecretString,
        openid: &OpenId,
    ) -> Result<TokenSet, Reason> {
        let supported = server.token_endpoint_auth_methods_supported.as_deref();
        let authentication = ClientAuthentication::choose(supported, self.client_secret.clone());
        let authentication = authentication.ok_or(Reason::AuthTokenEpRequestFailed)?;
        let endpoint = TokenEndpoint {
            client: &self.client,
            url: &server.token_endpoint,
            client_id: &self.client_id,
            authentication: &authentication,
        };
        let exchange = CodeExchange {
            code,
            redirect_uri: &self.redirect_uri,
            verifier: &openid.code_verifier,
            resources: &[],
        };
        endpoint.exchange_code(&exchange).await.map_err(|error| {
            tracing::warn!(%error, "no tokens from the identity provider");
            match error {
                TokenError::Timeout => Reason::AuthTokenEpRequestTimeout,
                TokenError::Malformed(_) => Reason::AuthInvalidTokenResponse,
                error if error.is_invalid_grant() => Reason::AuthInvalidGrantError,
                _ => Reason::AuthTokenEpRequestFailed,
            }
        })
    }

    async fn validate(
        &self,
        server: &ServerMetadata,
        id_token: &SecretString,
        openid: &OpenId,
        access_token: &SecretString,
    ) -> Result<IdTokenClaims, Reason> {
        let expectation = id_token::Expectation {
            server,
            client_id: &self.client_id,
            nonce: Some(&openid.nonce),
            access_token: Some(access_token),
        };
        id_token::validate(id_token, &self.jwks, &expectation, self.clock.now())
            .await
            .map_err(|error| {
                tracing::warn!(%error, "ID token refused");
                match error {
                    IdTokenError::Keys(_) | IdTokenError::NoKeys => Reason::AuthDiscoveryFailed,
                    IdTokenError::Nonce => Reason::AuthInvalidNonce,
                    _ => Reason::AuthInvalidIdToken,
                }
            })
    }

    /// The claims that targets get: userinfo's, which must be about the ID token's subject, or the ID
    /// token's own at a provider without userinfo.
    async fn person(
        &self,
        server: &ServerMetadata,
        access_token: &SecretString,
        id_token: &IdTokenClaims,
    ) -> Result<Map<String, Value>, Reason> {
        let Some(url) = &server.userinfo_endpoint else {
            let mut claims = id_token.claims.clone();
            claims.retain(|name, _| !TOKEN_CLAIMS.contains(&name.as_str()));
            return Ok(claims);
        };
        userinfo::fetch(&self.client, url, access_token, Some(&id_token.subject))
            .await
            .map_err(|error| {
                tracing::warn!(%error, "no usable userinfo from the identity provider");
                match error {
                    UserinfoError::Unreachable(_) => Reason::AuthUserinfoEpRequestFailed,
                    UserinfoError::Timeout => Reason::AuthUserinfoEpRequestTimeout,
                    UserinfoError::Status(_) => Reason::AuthProviderError,
                    UserinfoError::Malformed | UserinfoError::Subject => Reason::AuthInvalidUserinfoResponse,
                }
            })
    }
}

/// Refuses at login what could not be put into a request's headers later.
fn check_claims(
    subject: &str,
    access_token: &SecretString,
    claims: &Map<String, Value>,
) -> Result<(), Reason> {
    let printable = subject
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if subject.is_empty() || subject.len() > MAX_SUBJECT || !printable {
        return Err(Reason::AuthInvalidUserinfoResponse);
    }
    let access_token = access_token.expose_secret();
    if HeaderValue::from_str(access_token).is_err() {
        return Err(Reason::AuthInvalidTokenResponse);
    }
    let size = serde_json::to_string(claims).map_or(usize::MAX, |text| text.len());
    if size.saturating_add(access_token.len()) > MAX_CLAIMS {
        return Err(Reason::AuthUserinfoResponseSizeExceeded);
    }
    Ok(())
}
