//! Refreshing under a lease: of all tabs and replicas that find a session's claims old, one asks the
//! provider, since a rotating refresh token is good once. The others wait for what it brings.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::seal_under;
use countersign_db::DbError;
use uuid::Uuid;

use super::{Login, Session, Sessions, Ticket};

/// Longer than the provider's endpoints may take altogether; a holder that died is followed after this.
const LEASE: Duration = Duration::from_secs(30);

/// Who refreshes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The caller, who shows this number with the result.
    Ours(i64),
    /// Somebody else is at it, or has just tried in vain.
    Theirs,
}

impl Sessions {
    /// Claims the refresh of the record a session was read from.
    pub(crate) async fn claim_refresh(&self, session: &Session) -> Result<Claim, DbError> {
        let now = self.clock.now();
        let fence = self
            .store
            .claim_refresh(session.sid, session.version, now, now.plus(LEASE))
            .await?;
        Ok(fence.map_or(Claim::Theirs, Claim::Ours))
    }

    /// Stores what a refresh brought. `None`: the session ended meanwhile, or the lease was lost.
    pub(crate) async fn store_refreshed(
        &self,
        ticket: &Ticket,
        session: &Session,
        fence: i64,
        login: Login,
    ) -> Result<Option<Arc<Session>>, DbError> {
        let record = seal_under(
            &ticket.key,
            &*self.random,
            &self.record_aad(ticket.sid),
            &login.to_record(),
        );
        let idp_session = login.idp_session();
        if !self
            .store
            .update_record(ticket.sid, fence, &record, idp_session.as_deref())
            .await?
        {
            return Ok(None);
        }
        let session = Arc::new(Session::new(
            ticket.sid,
            session.expires_at,
            session.version + 1,
            login,
        ));
        self.remember(ticket, &session).await;
        Ok(Some(session))
    }

    /// Gives the lease back so that nobody tries again before `pause` is over.
    pub(crate) async fn postpone_refresh(
        &self,
        sid: Uuid,
        fence: i64,
        pause: Duration,
    ) -> Result<(), DbError> {
        let until = self.clock.now().plus(pause);
        self.store.postpone_refresh(sid, fence, until).await
    }

    /// Whether the last refresh failed and the next has to wait.
    pub(crate) async fn is_refresh_paused(&self, sid: Uuid) -> Result<bool, DbError> {
        self.store.is_refresh_paused(sid).await
    }

    /// The session as the store has it now, whatever is cached.
    pub(crate) async fn reread(&self, ticket: &Ticket) -> Result<Option<Arc<Session>>, DbError> {
        self.cache.invalidate(&ticket.sid).await;
        self.find(ticket).await
    }
}
