//! Withdrawing a grant: here at once and for good, at the vendor as far as it lets us (RFC 7009).

use countersign_db::DbError;
use countersign_oauth::TokenSet;
use countersign_oauth::revoke::TokenKind;

use super::refresh::timing::alive;
use super::{Provider, VaultError, open_token};
use crate::state::State;
use crate::store::grant::{self, GrantRow, GrantState};

/// What the vendor said to a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtVendor {
    /// It revoked the token.
    Revoked,
    /// It has no revocation endpoint.
    NotOffered,
    /// It could not be reached, or refused; the token may live on there.
    Failed,
    /// The provider is gone or no longer the one that was consented to: nothing was sent.
    NotSent,
}

impl AtVendor {
    /// The word in audit records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::NotOffered => "not_offered",
            Self::Failed => "failed",
            Self::NotSent => "not_sent",
        }
    }
}

/// Ends `grant`. First here, so that no token leaves while the vendor is being asked. `None` when it had ended
/// already.
pub(crate) async fn revoke(
    state: &State,
    grant: &GrantRow,
    reason: &'static str,
) -> Result<Option<AtVendor>, VaultError> {
    let ended = loop {
        match end(state, grant, reason).await {
            Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            outcome => break outcome?,
        }
    };
    if !ended {
        return Ok(None);
    }
    Ok(Some(tell_vendor(state, grant).await?))
}

async fn end(state: &State, grant: &GrantRow, reason: &'static str) -> Result<bool, DbError> {
    let mut tx = state.pool.begin().await?;
    let ended = grant::end(&mut tx, &grant.id, GrantState::Revoked, reason, state.clock.now()).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Revokes the token that the vendor lets a client revoke: the refresh token, which takes its access tokens along
/// (RFC 7009 section 2.1), or else the access token.
async fn tell_vendor(state: &State, grant: &GrantRow) -> Result<AtVendor, VaultError> {
    let Some(row) = state
        .cache
        .provider_by_id(&grant.account, &grant.provider_id)
        .await?
    else {
        return Ok(AtVendor::NotSent);
    };
    let Ok(provider) = Provider::resolve(state, row).await else {
        return Ok(AtVendor::Failed);
    };
    if !provider.is_pinned_by(grant) {
        return Ok(AtVendor::NotSent);
    }
    let Some(kind) = provider.revocable(grant.refresh_token.is_some()) else {
        return Ok(AtVendor::NotOffered);
    };
    let keys = state.keys(&grant.account)?;
    let (column, sealed) = match kind {
        TokenKind::Refresh => ("refresh_token", &grant.refresh_token),
        TokenKind::Access => ("access_token", &grant.access_token),
    };
    let Some(sealed) = sealed else {
        return Ok(AtVendor::NotSent);
    };
    let mut token = open_token(&keys.vault, grant, column, sealed)?;
    if kind == TokenKind::Access && !alive(grant, state.clock.now()) {
        // An expired token proves nothing to the vendor any more, and the grant that is to end lives on there.
        if let Some(sealed) = &grant.refresh_token {
            let refresh_token = open_token(&keys.vault, grant, "refresh_token", sealed)?;
            match provider.refresh(state, &refresh_token, &grant.resources).await {
                Ok(tokens) => token = tokens.access_token,
                Err(error) => tracing::info!(grant.id = grant.id, %error, "no token to revoke with"),
            }
        }
    }
    Ok(provider.revoke(state, &token, kind).await)
}

/// Revokes tokens that were issued and are not to be kept, as far as the vendor lets us.
pub(crate) async fn discard(state: &State, provider: &Provider, tokens: &TokenSet) {
    let at_vendor = match (
        provider.revocable(tokens.refresh_token.is_some()),
        &tokens.refresh_token,
    ) {
        (Some(TokenKind::Refresh), Some(token)) => provider.revoke(state, token, TokenKind::Refresh).await,
        (Some(_), _) => {
            provider
                .revoke(state, &tokens.access_token, TokenKind::Access)
                .await
        }
        (None, _) => AtVendor::NotOffered,
    };
    tracing::info!(
        provider.name = provider.row.name,
        outcome = at_vendor.as_str(),
        "tokens that are not kept"
    );
}
