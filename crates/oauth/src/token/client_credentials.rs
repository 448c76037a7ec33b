//! The client credentials grant: a token of the client itself (RFC 6749 section 4.4).

use super::{Target, TokenEndpoint, TokenError, TokenSet};

impl TokenEndpoint<'_> {
    /// Asks for a token of the client itself. What comes with the access token is of no use: RFC 6749 section 4.4.3
    /// wants no refresh token here.
    #[tracing::instrument(name = "oauth.client_credentials", skip_all, fields(server.address = self.url.host_str()), err(level = "warn"))]
    pub async fn client_credentials(&self, target: &Target<'_>) -> Result<TokenSet, TokenError> {
        let scope = target.scope();
        let mut fields = vec![("grant_type", self.dialect.client_credentials_grant)];
        target.add_to(&mut fields, &scope);
        self.send(&fields).await
    }
}
