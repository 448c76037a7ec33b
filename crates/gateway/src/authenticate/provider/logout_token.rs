//! Logout tokens: which session, or which person, the provider has logged out.
//! OpenID Connect Back-Channel Logout 1.0.

use std::time::Duration;

use countersign_crypto::{JwtPolicy, Timestamp};
use countersign_oauth::{id_token, jwks::VerifyError};
use serde_json::{Map, Value};

use super::Provider;
use crate::reason::Reason;

/// Difference between the provider's clock and ours that is forgiven at a logout, seconds.
const LOGOUT_LEEWAY_SECS: u64 = 60;
/// OpenID Connect Back-Channel Logout 1.0 section 2.4.
const BACKCHANNEL_LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl Provider {
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
        let expires_at =
            Timestamp::from_secs(claims.get("exp")?.as_i64()?).plus(Duration::from_secs(LOGOUT_LEEWAY_SECS));
        valid.then_some(Self {
            sid,
            subject,
            expires_at,
        })
    }
}
