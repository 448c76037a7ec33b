//! Token revocation: RFC 7009.

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::Request;

use crate::token::{TokenEndpoint, TokenError};

/// Which token is to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token; the server ends the whole grant.
    Refresh,
}

impl TokenKind {
    const fn hint(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// Revokes a token at the revocation endpoint (`endpoint.url`). An unknown token counts as revoked, as the
/// RFC's section 2.2 says.
#[tracing::instrument(name = "oauth.revoke", skip_all, fields(server.address = endpoint.url.host_str()), err(level = "warn"))]
pub async fn revoke(
    endpoint: &TokenEndpoint<'_>,
    token: &SecretString,
    kind: TokenKind,
) -> Result<(), TokenError> {
    let fields = [("token", token.expose_secret()), ("token_type_hint", kind.hint())];
    let request = Request::post(endpoint.url.clone()).accept_json();
    let request = endpoint.authentication.form(request, endpoint.client_id, &fields);
    let response = endpoint.client.send(request).await?;
    if response.status.is_success() {
        Ok(())
    } else {
        Err(TokenError::Status(response.status.as_u16()))
    }
}
