//! Refreshing under a lease: of all tabs and replicas that find a session's claims old, one asks the
//! provider, since a rotating refresh token is good once. The others wait for what it brings.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{SecretString, Timestamp, seal_under};
use countersign_db::DbError;
use uuid::Uuid;

use super::{Login, Session, Sessions, Ticket};

/// Requests of one refresh to the provider: metadata, tokens, keys, userinfo.
const REQUESTS: u32 = 4;
/// What a refresh may take beside them.
const MARGIN: Duration = Duration::from_secs(10);

/// Who refreshes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The caller, who shows this number with the result.
    Ours(i64),
    /// Somebody else is at it, or has just tried in vain.
    Theirs,
}

impl Sessions {
    /// Claims the refresh of the record a session was read from, for longer than the provider's endpoints may take
    /// altogether; a holder that died is followed after this.
    pub(crate) async fn claim_refresh(
        &self,
        session: &Session,
        endpoint_timeout: Duration,
    ) -> Result<Claim, DbError> {
        let now = self.clock.now();
        let until = now.plus(endpoint_timeout * REQUESTS + MARGIN);
        let fence = self
            .store
            .claim_refresh(session.sid, session.version, now, until)
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
        self.replace_record(ticket, session, fence, login, None).await
    }

    /// With `paused_until` the next refresh has to wait that long.
    async fn replace_record(
        &self,
        ticket: &Ticket,
        session: &Session,
        fence: i64,
        login: Login,
        paused_until: Option<Timestamp>,
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
            .update_record(ticket.sid, fence, &record, idp_session.as_deref(), paused_until)
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

    /// Gives the lease back so that nobody tries again before `pause` is over. A refresh token that the provider has
    /// rotated is kept for then; nothing that a target sees changes. Answers the session as it is now.
    pub(crate) async fn postpone_refresh(
        &self,
        ticket: &Ticket,
        session: Arc<Session>,
        fence: i64,
        rotated: Option<SecretString>,
        pause: Duration,
    ) -> Result<Arc<Session>, DbError> {
        let until = self.clock.now().plus(pause);
        let Some(rotated) = rotated else {
            self.store.postpone_refresh(ticket.sid, fence, until).await?;
            return Ok(session);
        };
        let login = session.login.with_refresh_token(rotated);
        let kept = self
            .replace_record(ticket, &session, fence, login, Some(until))
            .await?;
        Ok(kept.unwrap_or(session))
    }

    /// Ends a session whose refresh was refused. `false`: it has ended, or the refresh is somebody else's by now.
    pub(crate) async fn end_refused(&self, sid: Uuid, fence: i64) -> Result<bool, DbError> {
        let ended = self.store.delete_under(sid, fence).await?;
        if ended {
            self.forget(sid).await;
        }
        Ok(ended)
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
