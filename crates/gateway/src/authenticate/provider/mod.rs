//! The OpenID provider as the gateway's client sees it: OpenID Connect Core 1.0, code flow with PKCE.

mod claims;
mod logout_token;

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{ExposeSecret, SecretString, SharedClock, Timestamp};
use countersign_oauth::authorize::AuthorizationRequest;
use countersign_oauth::callback::AuthorizationResponse;
use countersign_oauth::client_auth::ClientAuthentication;
use countersign_oauth::discovery::{self, Discovery};
use countersign_oauth::id_token::{self, IdTokenClaims, IdTokenError};
use countersign_oauth::jwks::JwksCache;
use countersign_oauth::metadata::ServerMetadata;
use countersign_oauth::token::{CodeExchange, Outcome, Refresh, TokenEndpoint, TokenError, TokenSet};
use countersign_oauth::userinfo::{self, UserinfoError};
use countersign_oauth::vendor::{Authorization, Dialect};
use countersign_outbound::{Client, HostPort, Policy};
use serde_json::{Map, Value};
use url::Url;

use super::transaction::OpenId;
use crate::config::{AuthenticateOidc, ConfigError};
use crate::metrics;
use crate::reason::Reason;
use crate::session::Login;
use claims::{TOKEN_CLAIMS, check_claims};
pub(crate) use logout_token::LogoutToken;

/// Why claims were not refreshed.
#[derive(Debug)]
pub(crate) enum RefreshError {
    /// The provider, or its answer, does not hold any more: the session is over.
    Refused(Reason),
    /// The provider did not answer.
    Unavailable {
        /// Which part of it.
        reason: Reason,
        /// The refresh token that it gave before, where that is a new one: the one used may be worth nothing by now.
        rotated: Option<SecretString>,
    },
}

impl RefreshError {
    fn unavailable(reason: Reason) -> Self {
        Self::Unavailable {
            reason,
            rotated: None,
        }
    }
}

/// Endpoints that are written down, instead of discovered.
struct Endpoints {
    authorization: Option<Url>,
    token: Option<Url>,
    userinfo: Option<Url>,
    jwks: Option<Url>,
    end_session: Option<Url>,
}

/// See the module.
pub(crate) struct Provider {
    issuer: String,
    discovery_url: Url,
    endpoints: Endpoints,
    client_id: String,
    client_secret: Option<SecretString>,
    scope: Vec<String>,
    extra_params: Vec<(String, String)>,
    groups_claim: String,
    groups: Option<Vec<String>>,
    timeout: Duration,
    client: Client,
    discovery: Discovery,
    jwks: JwksCache,
    clock: SharedClock,
}

impl Provider {
    /// `place` is where the settings stand in the configuration.
    pub(crate) fn new(
        place: &str,
        oidc: &AuthenticateOidc,
        allow: &[HostPort],
        clock: &SharedClock,
    ) -> Result<Self, ConfigError> {
        let discovery_url = match &oidc.discovery_url {
            Some(url) => url.clone(),
            None => discovery::openid_configuration_url(&oidc.issuer)
                .map_err(|error| ConfigError::new(format!("{place}.issuer"), error.to_string()))?,
        };
        let timeout = Duration::from_millis(oidc.endpoint_timeout_ms);
        let policy = Policy {
            allow: allow.to_vec(),
            connect_timeout: timeout,
            timeout,
            ..Policy::default()
        };
        let client = Client::new(policy).map_err(|error| ConfigError::new(place, error.to_string()))?;
        Ok(Self {
            issuer: oidc.issuer.clone(),
            discovery_url,
            endpoints: Endpoints {
                authorization: oidc.authorization_endpoint.clone(),
                token: oidc.token_endpoint.clone(),
                userinfo: oidc.user_info_endpoint.clone(),
                jwks: oidc.jwks_uri.clone(),
                end_session: oidc.end_session_endpoint.clone(),
            },
            client_id: oidc.client_id.clone(),
            client_secret: oidc.client_secret.clone(),
            scope: oidc.scope.clone(),
            extra_params: oidc.extra_params.clone().into_iter().collect(),
            groups_claim: oidc.groups_claim.clone(),
            groups: oidc.groups.clone(),
            timeout,
            discovery: Discovery::new(client.clone(), clock.clone()),
            jwks: JwksCache::new(client.clone(), clock.clone()),
            client,
            clock: clock.clone(),
        })
    }

    /// Exact issuer.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Our client id there.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// How long each of its endpoints may take.
    pub(crate) fn endpoint_timeout(&self) -> Duration {
        self.timeout
    }

    /// Where the browser goes to log in.
    pub(crate) async fn authorization_url(
        &self,
        redirect_uri: &str,
        state: &str,
        nonce: &str,
        challenge: &str,
    ) -> Result<String, Reason> {
        let server = self.server().await?;
        let request = AuthorizationRequest {
            endpoint: &server.authorization_endpoint,
            client_id: &self.client_id,
            redirect_uri,
            scopes: &self.scope,
            state,
            code_challenge: Some(challenge),
            nonce: Some(nonce),
            resources: &[],
            custom: &self.extra_params,
            rules: &Authorization::STANDARD,
        };
        Ok(request.url().into())
    }

    /// Turns the provider's answer into a login. The caller has tied the answer to the browser.
    pub(crate) async fn log_in(
        &self,
        answer: &AuthorizationResponse,
        redirect_uri: &str,
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
        let began = self.clock.now();
        let tokens = self.exchange(&server, code, redirect_uri, openid).await?;
        let id_token = tokens.id_token.ok_or(Reason::AuthInvalidTokenResponse)?;
        let nonce = Some(openid.nonce.as_str());
        let claims = self
            .validate(&server, &id_token, nonce, &tokens.access_token)
            .await?;
        let person = self
            .person(&server, &tokens.access_token, &claims.subject, &claims.claims)
            .await
            .map_err(|error| userinfo_reason(&error))?;
        check_claims(&claims.subject, &tokens.access_token, &person)?;
        metrics::provider_answered(self.clock.now().since(began));
        Ok(Login {
            application: String::new(),
            idp_sid: claims.text("sid").map(str::to_owned),
            issuer: claims.issuer,
            subject: claims.subject,
            auth_time: claims.auth_time.unwrap_or_else(|| self.clock.now()),
            claims: person,
            access_expires_at: self.access_expiry(tokens.expires_in),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            id_token,
        })
    }

    /// New claims of a session, by its refresh token. Whatever is not the same person at the same issuer is
    /// refused (OpenID Connect Core 1.0 section 12.2).
    pub(crate) async fn refresh(&self, login: &Login) -> Result<Login, RefreshError> {
        let refresh_token = login
            .refresh_token
            .as_ref()
            .ok_or(RefreshError::Refused(Reason::AuthInvalidGrantError))?;
        let server = self.server().await.map_err(RefreshError::unavailable)?;
        let tokens = self.refreshed_tokens(&server, refresh_token).await?;
        let rotated = tokens.refresh_token.clone();
        let refreshed = self.refreshed(&server, login, refresh_token, tokens).await;
        refreshed.map_err(|error| match error {
            RefreshError::Unavailable { reason, .. } => RefreshError::Unavailable { reason, rotated },
            refused @ RefreshError::Refused(_) => refused,
        })
    }

    /// The claims that new tokens of a session are for.
    async fn refreshed(
        &self,
        server: &ServerMetadata,
        login: &Login,
        refresh_token: &SecretString,
        tokens: TokenSet,
    ) -> Result<Login, RefreshError> {
        let id_token = match tokens.id_token {
            Some(id_token) => {
                let claims = self.validate(server, &id_token, None, &tokens.access_token).await;
                let claims = claims.map_err(refresh_error)?;
                if claims.issuer != login.issuer || claims.subject != login.subject {
                    tracing::warn!("a refreshed ID token is about somebody else");
                    return Err(RefreshError::Refused(Reason::AuthInvalidIdToken));
                }
                id_token
            }
            None => login.id_token.clone(),
        };
        let person = self
            .person(server, &tokens.access_token, &login.subject, &login.claims)
            .await
            .map_err(|error| match error {
                // Its fault of the moment, and nothing that it says about the person.
                UserinfoError::Status(429 | 500..=599) => {
                    RefreshError::unavailable(Reason::AuthUserinfoEpRequestFailed)
                }
                error => refresh_error(userinfo_reason(&error)),
            })?;
        check_claims(&login.subject, &tokens.access_token, &person).map_err(RefreshError::Refused)?;
        Ok(Login {
            application: login.application.clone(),
            issuer: login.issuer.clone(),
            subject: login.subject.clone(),
            idp_sid: login.idp_sid.clone(),
            auth_time: login.auth_time,
            claims: person,
            access_expires_at: self.access_expiry(tokens.expires_in),
            access_token: tokens.access_token,
            // A provider that does not rotate says nothing, and the old one stays.
            refresh_token: tokens.refresh_token.or_else(|| Some(refresh_token.clone())),
            id_token,
        })
    }

    async fn refreshed_tokens(
        &self,
        server: &ServerMetadata,
        refresh_token: &SecretString,
    ) -> Result<TokenSet, RefreshError> {
        let authentication = self.authentication(server).map_err(RefreshError::Refused)?;
        let endpoint = self.token_endpoint(server, &authentication);
        let refresh = Refresh {
            refresh_token,
            scopes: None,
            resources: &[],
        };
        endpoint.refresh(&refresh).await.map_err(|error| match error {
            error if error.is_invalid_grant() => RefreshError::Refused(Reason::AuthInvalidGrantError),
            TokenError::Timeout => RefreshError::unavailable(Reason::AuthTokenEpRequestTimeout),
            // Asked too often (RFC 6585 section 4), or not able to answer now, which says nothing about the token.
            TokenError::Status(429) => RefreshError::unavailable(Reason::AuthTokenEpRequestFailed),
            TokenError::Denied { error, .. } if is_of_the_moment(&error) => {
                RefreshError::unavailable(Reason::AuthTokenEpRequestFailed)
            }
            TokenError::Malformed(_) => RefreshError::Refused(Reason::AuthInvalidTokenResponse),
            error if error.outcome() == Outcome::Refused => {
                RefreshError::Refused(Reason::AuthTokenEpRequestFailed)
            }
            _ => RefreshError::unavailable(Reason::AuthTokenEpRequestFailed),
        })
    }

    fn access_expiry(&self, expires_in: Option<u64>) -> Option<Timestamp> {
        expires_in.map(|seconds| self.clock.now().plus(Duration::from_secs(seconds)))
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
        let written = &self.endpoints;
        if let (Some(authorization), Some(token), Some(jwks)) =
            (&written.authorization, &written.token, &written.jwks)
        {
            let server = ServerMetadata::new(&self.issuer, authorization.clone(), token.clone());
            return Ok(Arc::new(ServerMetadata {
                jwks_uri: Some(jwks.clone()),
                userinfo_endpoint: written.userinfo.clone(),
                end_session_endpoint: written.end_session.clone(),
                ..server
            }));
        }
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
        if [
            &written.authorization,
            &written.token,
            &written.userinfo,
            &written.jwks,
            &written.end_session,
        ]
        .iter()
        .all(|endpoint| endpoint.is_none())
        {
            return Ok(server);
        }
        let mut server = ServerMetadata::clone(&server);
        if let Some(url) = &written.authorization {
            server.authorization_endpoint = url.clone();
        }
        if let Some(url) = &written.token {
            server.token_endpoint = url.clone();
        }
        for (found, written) in [
            (&mut server.userinfo_endpoint, &written.userinfo),
            (&mut server.jwks_uri, &written.jwks),
            (&mut server.end_session_endpoint, &written.end_session),
        ] {
            if written.is_some() {
                found.clone_from(written);
            }
        }
        Ok(Arc::new(server))
    }

    async fn exchange(
        &self,
        server: &ServerMetadata,
        code: &SecretString,
        redirect_uri: &str,
        openid: &OpenId,
    ) -> Result<TokenSet, Reason> {
        let authentication = self.authentication(server)?;
        let endpoint = self.token_endpoint(server, &authentication);
        let exchange = CodeExchange {
            code,
            redirect_uri,
            verifier: Some(&openid.code_verifier),
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

    fn authentication(&self, server: &ServerMetadata) -> Result<ClientAuthentication, Reason> {
        let supported = server.token_endpoint_auth_methods_supported.as_deref();
        ClientAuthentication::choose(supported, self.client_secret.clone())
            .ok_or(Reason::AuthTokenEpRequestFailed)
    }

    fn token_endpoint<'a>(
        &'a self,
        server: &'a ServerMetadata,
        authentication: &'a ClientAuthentication,
    ) -> TokenEndpoint<'a> {
        TokenEndpoint {
            client: &self.client,
            url: &server.token_endpoint,
            client_id: &self.client_id,
            authentication,
            dialect: &Dialect::STANDARD,
        }
    }

    async fn validate(
        &self,
        server: &ServerMetadata,
        id_token: &SecretString,
        nonce: Option<&str>,
        access_token: &SecretString,
    ) -> Result<IdTokenClaims, Reason> {
        let expectation = id_token::Expectation {
            server,
            client_id: &self.client_id,
            nonce,
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

    /// The claims that targets get: userinfo's, which must be about the ID token's subject, or at a provider
    /// without userinfo `otherwise`. Groups are filtered.
    async fn person(
        &self,
        server: &ServerMetadata,
        access_token: &SecretString,
        subject: &str,
        otherwise: &Map<String, Value>,
    ) -> Result<Map<String, Value>, UserinfoError> {
        let mut claims = if let Some(url) = &server.userinfo_endpoint {
            userinfo::fetch(&self.client, url, access_token, Some(subject))
                .await
                .inspect_err(
                    |error| tracing::warn!(%error, "no usable userinfo from the identity provider"),
                )?
        } else {
            let mut claims = otherwise.clone();
            claims.retain(|name, _| !TOKEN_CLAIMS.contains(&name.as_str()));
            claims
        };
        if let (Some(listed), Some(found)) = (&self.groups, claims.get_mut(&self.groups_claim)) {
            match found {
                Value::Array(groups) => {
                    groups.retain(|group| {
                        group
                            .as_str()
                            .is_some_and(|name| listed.iter().any(|l| l == name))
                    });
                }
                Value::String(group) if listed.contains(group) => {}
                _ => *found = Value::Array(Vec::new()),
            }
        }
        Ok(claims)
    }
}

fn userinfo_reason(error: &UserinfoError) -> Reason {
    match error {
        UserinfoError::Unreachable(_) => Reason::AuthUserinfoEpRequestFailed,
        UserinfoError::Timeout => Reason::AuthUserinfoEpRequestTimeout,
        UserinfoError::Status(_) => Reason::AuthProviderError,
        UserinfoError::Malformed | UserinfoError::Subject => Reason::AuthInvalidUserinfoResponse,
    }
}

/// Whether an error code of a token endpoint is no answer to the grant: RFC 6749 section 4.1.2.1 has words for a server
/// that cannot answer, which some give with a 429, as Auth0 does its own.
fn is_of_the_moment(error: &str) -> bool {
    matches!(
        error,
        "temporarily_unavailable" | "server_error" | "too_many_requests"
    )
}

/// Whether a failed refresh ends the session: what the provider could not be asked does not.
fn refresh_error(reason: Reason) -> RefreshError {
    match reason {
        Reason::AuthDiscoveryFailed
        | Reason::AuthUserinfoEpRequestFailed
        | Reason::AuthUserinfoEpRequestTimeout => RefreshError::unavailable(reason),
        _ => RefreshError::Refused(reason),
    }
}
