//! Refreshing the claims of a session whose access token has ended, as an ALB does: from the provider's
//! token endpoint and userinfo, until the session's time is over or the provider refuses.

use std::sync::Arc;
use std::time::Duration;

use countersign_audit::Outcome;
use countersign_outbound::trace;

use super::provider::RefreshError;
use super::{session_entry, site::Site, unavailable};
use crate::gateway::Shared;
use crate::metrics;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::session::{Claim, Session, Ticket};

/// Name of this operation in the audit trail.
const ACTION: &str = "RefreshSession";
/// Between two looks at what another request's refresh has brought.
const POLL: Duration = Duration::from_millis(50);
/// After the provider did not answer: nobody asks it about this session before.
const PAUSE: Duration = Duration::from_secs(5);

/// The session with claims that are not older than its access token. `None`: it has ended.
pub(super) async fn current(
    gateway: &Arc<Shared>,
    site: &Arc<Site>,
    ticket: Ticket,
    session: Arc<Session>,
    provenance: Provenance,
) -> Result<Option<Arc<Session>>, Reason> {
    if !session.login.is_stale(gateway.clock.now()) {
        return Ok(Some(session));
    }
    // In a task of its own: a browser that goes away must not take the answer with it, and with that a
    // refresh token that is good once.
    let (gateway, site) = (gateway.clone(), site.clone());
    let refresh = async move { refresh(&gateway, &site, &ticket, session, &provenance).await };
    tokio::spawn(trace::carried(refresh))
        .await
        .unwrap_or(Err(Reason::AuthUnhandledException))
}

async fn refresh(
    gateway: &Shared,
    site: &Site,
    ticket: &Ticket,
    session: Arc<Session>,
    provenance: &Provenance,
) -> Result<Option<Arc<Session>>, Reason> {
    let sessions = &gateway.sessions;
    let timeout = site.application.provider.endpoint_timeout();
    let claim = sessions.claim_refresh(&session, timeout).await;
    match claim.map_err(|error| unavailable(&error))? {
        Claim::Ours(fence) => ask(gateway, site, ticket, session, fence, provenance).await,
        Claim::Theirs => wait(gateway, site, ticket, session).await,
    }
}

#[tracing::instrument(name = "gateway.refresh_session", skip_all, fields(sid = %ticket.sid))]
async fn ask(
    gateway: &Shared,
    site: &Site,
    ticket: &Ticket,
    session: Arc<Session>,
    fence: i64,
    provenance: &Provenance,
) -> Result<Option<Arc<Session>>, Reason> {
    let sessions = &gateway.sessions;
    match site.application.provider.refresh(&session.login).await {
        Ok(login) => {
            let refreshed = sessions.store_refreshed(ticket, &session, fence, login).await;
            let Some(refreshed) = refreshed.map_err(|error| unavailable(&error))? else {
                return Ok(None);
            };
            metrics::refreshed();
            let entry = session_entry(provenance, ACTION, Outcome::Done, &refreshed);
            gateway.record(entry).await?;
            Ok(Some(refreshed))
        }
        Err(RefreshError::Refused(reason)) => {
            metrics::refused(reason);
            let ended = sessions.end_refused(ticket.sid, fence).await;
            if !ended.map_err(|error| unavailable(&error))? {
                // The answer came after the lease: whoever has it now may have got what was refused here.
                return wait(gateway, site, ticket, session).await;
            }
            let entry = session_entry(provenance, ACTION, Outcome::Refused, &session);
            gateway.record(entry.with_reason(reason.as_str())).await?;
            Ok(None)
        }
        Err(RefreshError::Unavailable { reason, rotated }) => {
            metrics::refused(reason);
            tracing::warn!(reason = reason.as_str(), "claims cannot be refreshed now");
            let postponed = sessions
                .postpone_refresh(ticket, session, fence, rotated, PAUSE)
                .await;
            let session = postponed.map_err(|error| unavailable(&error))?;
            Ok(in_grace(gateway, site, session))
        }
    }
}

/// Waits for the request that refreshes; where that takes too long or failed, the claims there are serve
/// within the grace.
async fn wait(
    gateway: &Shared,
    site: &Site,
    ticket: &Ticket,
    session: Arc<Session>,
) -> Result<Option<Arc<Session>>, Reason> {
    let patience = site.application.provider.endpoint_timeout() * 2;
    let mut waited = Duration::ZERO;
    while waited < patience {
        let now = gateway.sessions.reread(ticket).await;
        let Some(now) = now.map_err(|error| unavailable(&error))? else {
            return Ok(None);
        };
        if now.version != session.version {
            // A new refresh token alone may have come, and no claims with it.
            let stale = now.login.is_stale(gateway.clock.now());
            return Ok(if stale {
                in_grace(gateway, site, now)
            } else {
                Some(now)
            });
        }
        let paused = gateway.sessions.is_refresh_paused(ticket.sid).await;
        if paused.map_err(|error| unavailable(&error))? {
            break;
        }
        tokio::time::sleep(POLL).await;
        waited += POLL;
    }
    Ok(in_grace(gateway, site, session))
}

fn in_grace(gateway: &Shared, site: &Site, session: Arc<Session>) -> Option<Arc<Session>> {
    let end = session.login.access_expires_at?;
    let late = gateway.clock.now().since(end);
    (late < site.application.refresh_grace).then_some(session)
}
