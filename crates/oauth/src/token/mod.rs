//! The token endpoint: codes and refresh tokens go in, tokens come out.
//!
//! Both are single use at many servers, so every error says what is known about the request's
//! [`Outcome`]: the caller of a refresh must not try again when the server may have rotated already.

mod answer;

use std::fmt;

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::{Client, OutboundError, Request};
use url::Url;

use crate::client_auth::ClientAuthentication;

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
    /// The server's error answer (RFC 6749 section 5.2), also where it came with status 200.
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
        // GitHub and HubSpot have words of their own for it.
        const WORDS: [&str; 5] = [
            "invalid_grant",
            "bad_refresh_token",
            "bad_verification_code",
            "BAD_REFRESH_TOKEN",
            "invalid_refresh_token",
        ];
        matches!(self, Self::Denied { error, .. } if WORDS.contains(&error.as_str()))
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
    /// The PKCE verifier of the authorization request.
    pub verifier: &'a SecretString,
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
            ("code_verifier", exchange.verifier.expose_secret()),
        ];
        fields.extend(
            exchange
                .resources
                .iter()
                .map(|resource| ("resource", resource.as_str())),
        );
        self.send(&fields).await
    }

    /// Uses a refresh token (RFC 6749 section 6).
    #[tracing::instrument(name = "oauth.refresh", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn refresh(&self, refresh: &Refresh<'_>) -> Result<TokenSet, TokenError> {
        let scope = refresh.scopes.map(|scopes| scopes.join(" "));
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.refresh_token.expose_secret()),
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
        let response = self
            .client
            .send(self.authentication.form(request, self.client_id, fields))
            .await?;
        answer::read(response.status, &response.body)
    }
}
