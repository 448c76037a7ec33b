//! Token exchange (RFC 8693): a token about a person becomes one for another service.

use countersign_crypto::{ExposeSecret as _, SecretString};

use super::{Target, TokenEndpoint, TokenError, TokenSet};

/// Of JWTs (RFC 8693 section 3).
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Of access tokens (RFC 8693 section 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An exchange.
#[derive(Debug, Clone, Copy)]
pub struct TokenExchange<'a> {
    /// The JWT about the person. Its type is `jwt` unless a custom parameter says another.
    pub subject_token: &'a SecretString,
    /// An access token of who acts for the person.
    pub actor_token: Option<&'a SecretString>,
    /// What the new token is to be good for.
    pub target: Target<'a>,
}

impl TokenEndpoint<'_> {
    /// Exchanges a token (RFC 8693 section 2.1).
    #[tracing::instrument(name = "oauth.token_exchange", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn token_exchange(&self, exchange: &TokenExchange<'_>) -> Result<TokenSet, TokenError> {
        let scope = exchange.target.scope();
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", exchange.subject_token.expose_secret()),
            ("subject_token_type", JWT),
        ];
        if let Some(actor) = exchange.actor_token {
            fields.push(("actor_token", actor.expose_secret()));
            fields.push(("actor_token_type", ACCESS_TOKEN));
        }
        exchange.target.add_to(&mut fields, &scope);
        self.send(&fields).await
    }
}
