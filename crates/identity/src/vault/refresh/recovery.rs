//! What may be done with a refresh token that may be spent.
//!
//! A single-use token that is presented twice counts as stolen, and ends the grant with everything that came of it
//! (RFC 9700 section 4.14.2). So it is sent again only where that is known to be harmless.

use countersign_crypto::Timestamp;
use countersign_oauth::vendor::Rotation;

use crate::config::RefreshConfig;
use crate::store::grant::GrantRow;
use crate::vault::Provider;

/// How to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// The refresh token may be sent: for the first time, or to a server that does not mind.
    Present,
    /// The server is asked first whether the refresh token is still active (RFC 7662).
    Introspect,
}

/// How to go on with `grant`; `None` where nothing may be sent and nothing can be found out.
pub(super) fn of(
    grant: &GrantRow,
    provider: &Provider,
    config: &RefreshConfig,
    now: Timestamp,
) -> Option<Recovery> {
    let Some(presented_at) = grant.refresh.presented_at else {
        return Some(Recovery::Present);
    };
    let renewal = provider.vendor().renewal;
    let single_use = match renewal.rotation {
        Rotation::Never => false,
        Rotation::Always => true,
        // Until it was seen not to rotate.
        Rotation::Unknown => grant.refresh.rotates != Some(false),
    };
    let grace = renewal.reuse_grace.or_else(|| config.grace(&grant.issuer));
    // The request may still be on its way there, and must arrive within the grace.
    // After a clock that jumped back nobody knows how long it has been.
    let in_grace =
        grace.is_some_and(|grace| now >= presented_at && now.since(presented_at) + config.timeout() < grace);
    if !single_use || in_grace {
        Some(Recovery::Present)
    } else if provider.server.introspection_endpoint.is_some() {
        Some(Recovery::Introspect)
    } else {
        None
    }
}
