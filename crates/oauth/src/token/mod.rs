//! The token endpoint: codes and refresh tokens go in, tokens come out.
//!
//! Both are single use at many servers, so every error says what is known about the request's
//! [`Outcome`]: the caller of a refresh must not try again when the server may have rotated already.

mod answer;
mod client_credentials;
mod jwt_bearer;
mod token_exchange;

use std::fmt;

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::{Client, OutboundError, Request};
use url::Url;

use crate::authorize::is_reserved;
use crate::client_auth::ClientAuthentication;
use crate::vendor::{Dialect, RenewalGrant};

pub use jwt_bearer::JwtBearer;
pub use token_exchange::TokenExchange;

/// Largest answer, bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// What a token endpoint granted.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token; `None` at a refresh means that the old one stays.
    pub refresh_token: Option<SecretString>,
    /// The ID token, not validated.
    pub id_token: Option<SecretString>,
    /// `Bearer` where the server does not say.
    pub token_type: String,
    /// Lifetime of the access token, seconds; `None` where the server does not say, or says zero or less.
    pub expires_in: Option<u64>,
    /// Granted scopes; `None` where the server does not say, which means as requested.
    pub scope: Option<Vec<String>>,
    /// The whole answer, for what vendors put beside.
    pub raw: SecretString,
}

/// What is known about a request that gave no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server did not get the request.
    NotSent,
    /// The server refused it.
    Refused,
    /// The server may have processed it, and code or refresh token may be spent.
    Unknown,
}

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The server's error answer (RFC 6749 section 5.2), also where it came with status 200. What a vendor has
    /// in place of `invalid_grant` is called that, with the vendor's own word in the description.
    #[error("token endpoint answered {error}")]
    Denied {
        /// The error code, in RFC 6749's characters.
        error: String,
        /// Its description, in RFC 6749's characters.
        description: Option<String>,
    },
    /// Another status than 200, without an error answer that can be read. A redirect is one, too: it would
    /// carry the secrets to somewhere else.
    #[error("token endpoint answered with status {0}")]
    Status(u16),
    /// Status 200, but neither tokens nor an error can be read.
    #[error("token endpoint's answer is malformed: {0}")]
    Malformed(&'static str),
    /// No connection, or the guard refused the address.
    #[error("token endpoint is not reachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("token endpoint did not answer in time")]
    Timeout,
    /// The connection broke, or the answer was too large.
    #[error("no usable answer from the token endpoint: {0}")]
    Broken(String),
}

impl TokenError {
    /// What is known about the request.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable(_) => Outcome::NotSent,
            Self::Denied { .. } | Self::Status(400..=407 | 409..=499) => Outcome::Refused,
            Self::Status(_) | Self::Malformed(_) | Self::Timeout | Self::Broken(_) => Outcome::Unknown,
        }
    }

    /// Whether the grant itself is at fault, so that the person has to consent again.
    #[must_use]
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Denied { error, .. } if error == "invalid_grant")
    }

    /// The vendor's error code, or a word of ours where there is none: safe to show and to store.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Denied { error, .. } => error,
            Self::Status(_) => "unexpected_status",
            Self::Malformed(_) => "malformed_response",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken_response",
        }
    }
}

impl From<OutboundError> for TokenError {
    fn from(error: OutboundError) -> Self {
        match &error {
            OutboundError::Timeout { .. } => Self::Timeout,
            _ if error.may_have_been_sent() => Self::Broken(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

/// A code to exchange.
#[derive(Debug, Clone, Copy)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a SecretString,
    /// The redirect URI of the authorization request.
    pub redirect_uri: &'a str,
    /// The PKCE verifier of the authorization request, where it had a challenge.
    pub verifier: Option<&'a SecretString>,
    /// Resource indicators of the authorization request (RFC 8707).
    pub resources: &'a [String],
}

/// A refresh token to use.
#[derive(Debug, Clone, Copy)]
pub struct Refresh<'a> {
    /// The refresh token.
    pub refresh_token: &'a SecretString,
    /// Scopes to ask for; `None` leaves the parameter out, which means those of the grant. Some servers
    /// fail or narrow the grant when it is sent.
    pub scopes: Option<&'a [String]>,
    /// The grant's resource indicators, sent again (RFC 8707 section 2.2).
    pub resources: &'a [String],
}

/// What a token asked for without a browser is to be good for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target<'a> {
    /// Scopes; none at all leaves the parameter out.
    pub scopes: &'a [String],
    /// Resource indicators (RFC 8707), one parameter each.
    pub resources: &'a [String],
    /// `audience` parameters (RFC 8693 section 2.1), one each.
    pub audiences: &'a [String],
    /// Further parameters, which may take the place of a default (`subject_token_type`). Those with a
    /// [reserved](is_reserved_at_token_endpoint) name are left out.
    pub custom: &'a [(String, String)],
}

impl<'a> Target<'a> {
    fn scope(&self) -> String {
        self.scopes.join(" ")
    }

    fn add_to<'f>(&self, fields: &mut Vec<(&'f str, &'f str)>, scope: &'f str)
    where
        'a: 'f,
    {
        let custom = |name: &str| self.custom.iter().any(|(custom, _)| custom == name);
        fields.retain(|(name, _)| is_reserved_at_token_endpoint(name) || !custom(name));
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        fields.extend(
            self.resources
                .iter()
                .map(|resource| ("resource", resource.as_str())),
        );
        fields.extend(
            self.audiences
                .iter()
                .map(|audience| ("audience", audience.as_str())),
        );
        let allowed = self
            .custom
            .iter()
            .filter(|(name, _)| !is_reserved_at_token_endpoint(name));
        fields.extend(allowed.map(|(name, value)| (name.as_str(), value.as_str())));
    }
}

/// Whether custom parameters of a token request may not have this name: those that say who asks, by which grant and
/// for what.
#[must_use]
pub fn is_reserved_at_token_endpoint(name: &str) -> bool {
    const RESERVED: [&str; 7] = [
        "actor_token",
        "actor_token_type",
        "code_verifier",
        "password",
        "refresh_token",
        "subject_token",
        "username",
    ];
    is_reserved(name)
        || RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// One client at one token endpoint.
#[derive(Clone, Copy)]
pub struct TokenEndpoint<'a> {
    /// How to get there.
    pub client: &'a Client,
    /// Where it is.
    pub url: &'a Url,
    /// Client id.
    pub client_id: &'a str,
    /// Client authentication.
    pub authentication: &'a ClientAuthentication,
    /// In what it departs from the standard.
    pub dialect: &'a Dialect,
}

impl fmt::Debug for TokenEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl TokenEndpoint<'_> {
    /// Exchanges a code (RFC 6749 section 4.1.3). Never call it twice for one code.
    #[tracing::instrument(name = "oauth.exchange_code", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn exchange_code(&self, exchange: &CodeExchange<'_>) -> Result<TokenSet, TokenError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code.expose_secret()),
            ("redirect_uri", exchange.redirect_uri),
        ];
        let verifier = exchange
            .verifier
            .map(countersign_crypto::ExposeSecret::expose_secret);
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        fields.extend(
            exchange
                .resources
                .iter()
                .map(|resource| ("resource", resource.as_str())),
        );
        self.send(&fields).await
    }

    /// Uses a refresh token (RFC 6749 section 6), or what the vendor has in its place.
    #[tracing::instrument(name = "oauth.refresh", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn refresh(&self, refresh: &Refresh<'_>) -> Result<TokenSet, TokenError> {
        let scope = refresh.scopes.map(|scopes| scopes.join(" "));
        let name = match self.dialect.renewal_grant {
            RenewalGrant::RefreshToken => "refresh_token",
            RenewalGrant::AccessToken(name) => name,
        };
        let mut fields = vec![
            ("grant_type", name),
            (name, refresh.refresh_token.expose_secret()),
        ];
        fields.extend(scope.as_deref().map(|scope| ("scope", scope)));
        fields.extend(
            refresh
                .resources
                .iter()
                .map(|resource| ("resource", resource.as_str())),
        );
        self.send(&fields).await
    }

    async fn send(&self, fields: &[(&str, &str)]) -> Result<TokenSet, TokenError> {
        let request = Request::post(self.url.clone()).accept_json().max_bytes(MAX_BYTES);
        let request = self
            .authentication
            .write(request, self.dialect.body, self.client_id, fields);
        let response = self.client.send(request).await?;
        answer::read(response.status, &response.body, self.dialect)
    }
}

/// Reads an answer in the dialect of one of the vendors, for the fuzz target: whether it has a token.
#[cfg(fuzzing)]
pub fn read_for_fuzzing(status: http::StatusCode, vendor: usize, body: &[u8]) -> Result<bool, TokenError> {
    let vendors = crate::vendor::VENDORS;
    let tokens = answer::read(status, body, &vendors[vendor % vendors.len()].dialect)?;
    Ok(!tokens.access_token.expose_secret().is_empty())
}
