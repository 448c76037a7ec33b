//! JWTs as authorization grants (RFC 7523 section 2.1): the assertion about a person is the grant.

use countersign_crypto::{ExposeSecret as _, SecretString};

use super::{Target, TokenEndpoint, TokenError, TokenSet};

/// An assertion to use.
#[derive(Debug, Clone, Copy)]
pub struct JwtBearer<'a> {
    /// The JWT about the person.
    pub assertion: &'a SecretString,
    /// What the token is to be good for. Microsoft's on-behalf-of flow wants `requested_token_use` among the custom
    /// parameters.
    pub target: Target<'a>,
}

impl TokenEndpoint<'_> {
    /// Uses an assertion as the grant.
    #[tracing::instrument(name = "oauth.jwt_bearer", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn jwt_bearer(&self, grant: &JwtBearer<'_>) -> Result<TokenSet, TokenError> {
        let scope = grant.target.scope();
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", grant.assertion.expose_secret()),
        ];
        grant.target.add_to(&mut fields, &scope);
        self.send(&fields).await
    }
}
