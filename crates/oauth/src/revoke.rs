//! Withdrawing tokens: RFC 7009, and what vendors have in its place.

use countersign_crypto::{ExposeSecret as _, SecretString, parse_strict_json};
use countersign_outbound::Request;
use http::Method;
use serde_json::Value;

use crate::client_auth::ClientAuthentication;
use crate::token::{TokenEndpoint, TokenError};
use crate::vendor::Body;

/// Largest answer, bytes.
const MAX_BYTES: usize = 64 * 1024;

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

/// How a vendor lets a client withdraw a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Not at all: the person does it at the vendor.
    NotOffered,
    /// RFC 7009.
    Standard(Revocable),
    /// RFC 7009, but the body is JSON; access tokens.
    Json,
    /// An API call with the access token as bearer; the body is empty.
    Bearer(BearerRevocation),
    /// `DELETE {endpoint}/{client_id}/grant` with the client's credentials, and the access token in a JSON body:
    /// ends everything that the person granted to the client.
    ClientGrant,
}

/// The tokens that a revocation endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocable {
    /// Both; a refresh token takes its access tokens along (RFC 7009 section 2.1).
    Both,
    /// Refresh tokens alone.
    Refresh,
    /// Access tokens alone.
    Access,
}

/// The method of a revocation with a bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerRevocation {
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

impl Revocation {
    /// The token to revoke for a grant that has a refresh token, or has none; `None` where that cannot be done.
    #[must_use]
    pub const fn wants(self, has_refresh_token: bool) -> Option<TokenKind> {
        match (self, has_refresh_token) {
            (Self::NotOffered, _) | (Self::Standard(Revocable::Refresh), false) => None,
            (Self::Standard(Revocable::Both | Revocable::Refresh), true) => Some(TokenKind::Refresh),
            (Self::Standard(_) | Self::Json | Self::Bearer(_) | Self::ClientGrant, _) => {
                Some(TokenKind::Access)
            }
        }
    }
}

/// Revokes a token at the revocation endpoint (`endpoint.url`) by the vendor's `recipe`. An unknown token counts
/// as revoked, as RFC 7009 section 2.2 says.
#[tracing::instrument(name = "oauth.revoke", skip_all, fields(server.address = endpoint.url.host_str()), err(level = "warn"))]
pub async fn revoke(
    endpoint: &TokenEndpoint<'_>,
    recipe: Revocation,
    token: &SecretString,
    kind: TokenKind,
) -> Result<(), TokenError> {
    let text = token.expose_secret();
    let post = Request::post(endpoint.url.clone());
    let unusable = TokenError::Malformed("the revocation request cannot be written");
    let request = match recipe {
        Revocation::NotOffered => return Err(unusable),
        Revocation::Standard(_) => {
            let fields = [("token", text), ("token_type_hint", kind.hint())];
            endpoint
                .authentication
                .write(post, Body::Form, endpoint.client_id, &fields)
        }
        Revocation::Json => {
            endpoint
                .authentication
                .write(post, Body::Json, endpoint.client_id, &[("token", text)])
        }
        Revocation::Bearer(method) => {
            let method = match method {
                BearerRevocation::Post => Method::POST,
                BearerRevocation::Delete => Method::DELETE,
            };
            Request::new(method, endpoint.url.clone()).bearer(text)
        }
        Revocation::ClientGrant => {
            let mut url = endpoint.url.clone();
            url.path_segments_mut()
                .map_err(|()| unusable)?
                .pop_if_empty()
                .extend([endpoint.client_id, "grant"]);
            let request = Request::new(Method::DELETE, url);
            // HTTP Basic, whatever the token endpoint takes.
            let authentication = match endpoint.authentication {
                ClientAuthentication::Post(secret) => &ClientAuthentication::Basic(secret.clone()),
                other => other,
            };
            authentication.write(request, Body::Json, endpoint.client_id, &[("access_token", text)])
        }
    };
    let response = endpoint
        .client
        .send(request.accept_json().max_bytes(MAX_BYTES))
        .await?;
    let status = response.status.as_u16();
    // GitHub does not know the token any more: it is revoked.
    let gone = recipe == Revocation::ClientGrant && matches!(status, 404 | 422);
    if !response.status.is_success() && !gone {
        return Err(TokenError::Status(status));
    }
    match parse_strict_json(&response.body).ok() {
        // Slack answers failures with 200, too.
        Some(answer) if answer.get("ok") == Some(&Value::Bool(false)) => Err(TokenError::Denied {
            error: "not_revoked".to_owned(),
            description: None,
        }),
        _ => Ok(()),
    }
}
