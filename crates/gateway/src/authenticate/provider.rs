//! The OpenID provider as the gateway's client sees it: OpenID Connect Core 1.0, code flow with PKCE.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{ExposeSecret, JwtPolicy, SecretString, SharedClock, Timestamp};
use countersign_oauth::authorize::AuthorizationRequest;
use countersign_oauth::callback::AuthorizationResponse;
use countersign_oauth::client_auth::ClientAuthentication;
use countersign_oauth::discovery::{self, Discovery};
use countersign_oauth::id_token::{self, IdTokenClaims, IdTokenError};
use countersign_oauth::jwks::{JwksCache, VerifyError};
use countersign_oauth::metadata::ServerMetadata;
use countersign_oauth::token::{CodeExchange, Outcome, Refresh, TokenEndpoint, TokenError, TokenSet};
use countersign_oauth::userinfo::{self, UserinfoError};
use countersign_oauth::vendor::{Authorization, Dialect};
use countersign_outbound::{Client, HostPort, Policy};
use http::HeaderValue;
use serde_json::{Map, Value};
use url::Url;

use super::transaction::OpenId;
use crate::config::{AuthenticateOidc, ConfigError};
use crate::metrics;
use crate::reason::Reason;
use crate::session::Login;

/// Claims and access token together, in bytes: an ALB's limit, and what fits into request headers.
const MAX_CLAIMS: usize = 11 * 1024;
/// OpenID Connect Core 1.0 section 2: at most 255 ASCII characters.
const MAX_SUBJECT: usize = 255;
/// Difference between the provider's clock and ours that is forgiven at a logout, seconds.
const LOGOUT_LEEWAY_SECS: u64 = 60;
/// OpenID Connect Back-Channel Logout 1.0 section 2.4.
const BACKCHANNEL_LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
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

/// Why claims were not refreshed.
#[derive(Debug)]
pub(crate) enum RefreshError {
    /// The provider, or its answer, does not hold any more: the session is over.
    Refused(Reason),
    /// The provider did not answer.
    Unavailable(Reason),
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
            .await?;
        check_claims(&claims.subject, &tokens.access_token, &person)?;
        metrics::logged_in(self.clock.now().since(began));
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
        let server = self.server().await.map_err(RefreshError::Unavailable)?;
        let tokens = self.refreshed_tokens(&server, refresh_token).await?;
        let id_token = match tokens.id_token {
            Some(id_token) => {
                let claims = self
                    .validate(&server, &id_token, None, &tokens.access_token)
                    .await;
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
            .person(&server, &tokens.access_token, &login.subject, &login.claims)
            .await
            .map_err(refresh_error)?;
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
            TokenError::Timeout => RefreshError::Unavailable(Reason::AuthTokenEpRequestTimeout),
            TokenError::Malformed(_) => RefreshError::Refused(Reason::AuthInvalidTokenResponse),
            error if error.outcome() == Outcome::Refused => {
                RefreshError::Refused(Reason::AuthTokenEpRequestFailed)
            }
            _ => RefreshError::Unavailable(Reason::AuthTokenEpRequestFailed),
        })
    }

    fn access_expiry(&self, expires_in: Option<u64>) -> Option<Timestamp> {
        expires_in.map(|seconds| self.clock.now().plus(Duration::from_secs(seconds)))
    }

    /// The person that a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4) logs out.
    pub(crate) async fn logout_token(&self, token: &str) -> Result<LogoutToken, Reason> {
        let server = self.server().await?;
        let jwks_uri = server.jwks_uri.as_ref().ok_or(Reason::AuthDiscoveryFailed)?;
        let policy = JwtPolicy {
            issuer: &self.issuer,
            audiences: &[&self.client_id],
            algorithms: &id_token::algorithms(&server),
            leeway_secs: LOGOUT_LEEWAY_SECS,
            typ: None,
        };
        let verified = self.jwks.verify(jwks_uri, token, &policy, self.clock.now()).await;
        let claims = verified
            .map_err(|error| {
                tracing::warn!(%error, "logout token refused");
                match error {
                    VerifyError::Keys(_) => Reason::AuthDiscoveryFailed,
                    VerifyError::Token(_) => Reason::AuthInvalidLogoutToken,
                }
            })?
            .claims;
        LogoutToken::read(&claims).ok_or(Reason::AuthInvalidLogoutToken)
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
    ) -> Result<Map<String, Value>, Reason> {
        let mut claims = if let Some(url) = &server.userinfo_endpoint {
            userinfo::fetch(&self.client, url, access_token, Some(subject))
                .await
                .map_err(|error| {
                    tracing::warn!(%error, "no usable userinfo from the identity provider");
                    match error {
                        UserinfoError::Unreachable(_) => Reason::AuthUserinfoEpRequestFailed,
                        UserinfoError::Timeout => Reason::AuthUserinfoEpRequestTimeout,
                        UserinfoError::Status(_) => Reason::AuthProviderError,
                        UserinfoError::Malformed | UserinfoError::Subject => {
                            Reason::AuthInvalidUserinfoResponse
                        }
                    }
                })?
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

/// Whether a failed refresh ends the session: what the provider could not be asked does not.
fn refresh_error(reason: Reason) -> RefreshError {
    match reason {
        Reason::AuthDiscoveryFailed
        | Reason::AuthUserinfoEpRequestFailed
        | Reason::AuthUserinfoEpRequestTimeout => RefreshError::Unavailable(reason),
        _ => RefreshError::Refused(reason),
    }
}

/// What a logout token says.
#[derive(Debug)]
pub(crate) struct LogoutToken {
    /// The provider's session.
    pub(crate) sid: Option<String>,
    /// Everything of this subject, where no session is named.
    pub(crate) subject: Option<String>,
    /// Until when the token could be shown again.
    pub(crate) expires_at: Timestamp,
}

impl LogoutToken {
    /// The rules of section 2.6 beyond signature, issuer, audience and time.
    fn read(claims: &Map<String, Value>) -> Option<Self> {
        let event = claims.get("events")?.as_object()?.get(BACKCHANNEL_LOGOUT_EVENT)?;
        let text = |name: &str| {
            let value = claims.get(name).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let (sid, subject) = (text("sid"), text("sub"));
        // With a nonce it would be an ID token.
        let valid = event.is_object()
            && !claims.contains_key("nonce")
            && claims.contains_key("iat")
            && text("jti").is_some()
            && (sid.is_some() || subject.is_some());
        let expires_at = Timestamp::from_secs(claims.get("exp")?.as_i64()?);
        valid.then_some(Self {
            sid,
            subject,
            expires_at,
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
