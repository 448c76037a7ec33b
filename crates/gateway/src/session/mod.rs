//! Browser sessions (design D17): a ticket cookie names a record on the server and holds the key that
//! opens it. Without the cookie the record cannot be read; without the record the cookie is worth
//! nothing, so logout works at once. A store that cannot be reached is an error, never "no login".

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{
    Aad, ExposeSecret, SharedClock, SharedRandom, Timestamp, UserKey, constant_time_eq, open_under,
    random_bytes, seal_under, sha256, uuid_v4,
};
use countersign_db::DbError;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::claims_header::Minted;
use crate::config::SessionLimits;
use crate::keys::LiveKeys;

mod login;
mod recent;
mod refresh;
mod store;
#[cfg(test)]
mod tests;
mod ticket;

pub(crate) use login::{Login, idp_session};
use recent::Recent;
pub(crate) use refresh::Claim;
pub(crate) use store::{Handover, KEY_CHANGED, MIGRATIONS, Store};
pub(crate) use ticket::Ticket;

/// How long a record is served from memory: how late other replicas notice a logout.
const CACHED: Duration = Duration::from_secs(1);
/// How long an ended session is remembered here, against a read that began before the end.
const REMEMBERED: Duration = Duration::from_secs(30);
/// `last_seen_at` is written at most this often.
const SEEN_EVERY: Duration = Duration::from_mins(1);
/// Sessions kept in memory.
const MAX_CACHED: u64 = 10_000;
/// How long a hand-over code may be redeemed.
const HANDOVER_LIFETIME: Duration = Duration::from_mins(1);

/// Who is logged in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) sid: Uuid,
    pub(crate) expires_at: Timestamp,
    /// Which of the session's records this is.
    pub(crate) version: i64,
    pub(crate) login: Login,
    /// Headers already signed for this record.
    pub(crate) minted: Minted,
}

impl Session {
    fn new(sid: Uuid, expires_at: Timestamp, version: i64, login: Login) -> Self {
        Self {
            sid,
            expires_at,
            version,
            login,
            minted: Minted::default(),
        }
    }
}

/// A session as operators see it: nothing personal that is not hashed.
#[derive(Clone, Debug)]
pub struct SessionSummary {
    /// Its id, as audit records and tokens name it.
    pub sid: Uuid,
    /// Whose it is.
    pub user_key: UserKey,
    /// The application; empty on the app and account origins.
    pub application: String,
    /// When the person logged in.
    pub created_at: Timestamp,
    /// The last request, to a minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A session in memory, with what proves that a ticket may have it.
#[derive(Clone)]
struct Cached {
    session: Arc<Session>,
    key_hash: [u8; 32],
    read_at: Timestamp,
}

/// All browser sessions.
pub(crate) struct Sessions {
    pub(crate) store: Store,
    keys: Arc<LiveKeys>,
    account: String,
    clock: SharedClock,
    random: SharedRandom,
    cache: moka::future::Cache<Uuid, Cached>,
    ended: moka::future::Cache<Uuid, ()>,
    recent: Recent,
}

impl Sessions {
    pub(crate) fn new(
        store: Store,
        keys: Arc<LiveKeys>,
        account: &str,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Self {
        Self {
            store,
            keys,
            account: account.to_owned(),
            clock,
            random,
            // The injected clock decides what is fresh; these limits only bound memory.
            cache: moka::future::Cache::builder()
                .max_capacity(MAX_CACHED)
                .time_to_live(REMEMBERED)
                .build(),
            ended: moka::future::Cache::builder().time_to_live(REMEMBERED).build(),
            recent: Recent::default(),
        }
    }

    /// Begins a session.
    pub(crate) async fn begin(
        &self,
        login: Login,
        limits: SessionLimits,
    ) -> Result<(Ticket, Session), DbError> {
        let ticket = Ticket {
            sid: uuid_v4(&*self.random),
            key: Zeroizing::new(random_bytes(&*self.random)),
        };
        let record = seal_under(
            &ticket.key,
            &*self.random,
            &self.record_aad(ticket.sid),
            &login.to_record(),
        );
        let now = self.clock.now();
        let expires_at = now.plus(Duration::from_secs(limits.session_timeout_seconds));
        self.store
            .insert(&store::SessionRow {
                sid: ticket.sid,
                user_key: login.user_key(),
                application: login.application.clone(),
                idp_session: login.idp_session(),
                record,
                version: 0,
                created_at: now,
                last_seen_at: now,
                expires_at,
                idle_timeout: Duration::from_secs(limits.idle_timeout_seconds),
            })
            .await?;
        let session = Session::new(ticket.sid, expires_at, 0, login);
        Ok((ticket, session))
    }

    /// The live session of a cookie of `scope` that was asked for within the last second.
    pub(crate) fn find_recent(&self, scope: &str, cookie: &[u8]) -> Option<Arc<Session>> {
        self.recent.find(scope, cookie, self.clock.now())
    }

    /// The live session of a cookie of `scope`, and its ticket.
    pub(crate) async fn find_by_cookie(
        &self,
        scope: &str,
        cookie: &[u8],
    ) -> Result<Option<(Ticket, Arc<Session>)>, DbError> {
        // Before anything is looked at: an end that comes in between makes what is kept worth nothing.
        let generation = self.recent.begin();
        let text = std::str::from_utf8(cookie).ok();
        let Some(ticket) = text.and_then(|text| self.open_ticket(text, scope)) else {
            return Ok(None);
        };
        let Some((session, read_at)) = self.look_up(&ticket).await? else {
            return Ok(None);
        };
        self.recent.keep((scope, cookie), &session, read_at, generation);
        Ok(Some((ticket, session)))
    }

    /// The live session of a ticket.
    pub(crate) async fn find(&self, ticket: &Ticket) -> Result<Option<Arc<Session>>, DbError> {
        let found = self.look_up(ticket).await?;
        Ok(found.map(|(session, _)| session))
    }

    /// With the time at which the store was asked.
    async fn look_up(&self, ticket: &Ticket) -> Result<Option<(Arc<Session>, Timestamp)>, DbError> {
        let now = self.clock.now();
        let key_hash = sha256(&*ticket.key);
        if self.ended.contains_key(&ticket.sid) {
            return Ok(None);
        }
        let cached = self
            .cache
            .get(&ticket.sid)
            .await
            .filter(|cached| constant_time_eq(&cached.key_hash, &key_hash) && cached.read_at <= now);
        if let Some(cached) = &cached
            && now.since(cached.read_at) < CACHED
        {
            let live = now < cached.session.expires_at;
            return Ok(live.then(|| (cached.session.clone(), cached.read_at)));
        }
        let Some(row) = self.store.find(ticket.sid).await? else {
            return Ok(None);
        };
        if now >= row.expires_at || now.since(row.last_seen_at) >= row.idle_timeout {
            return Ok(None);
        }
        if now.since(row.last_seen_at) >= SEEN_EVERY.min(row.idle_timeout / 4) {
            self.store.touch(ticket.sid, now).await?;
        }
        // The same record needs no opening again, and keeps the headers signed for it.
        let session = match cached.filter(|cached| cached.session.version == row.version) {
            Some(cached) => cached.session,
            None => match self.open(ticket, &row) {
                Some(session) => Arc::new(session),
                None => return Ok(None),
            },
        };
        if !self.ended.contains_key(&ticket.sid) {
            self.remember(ticket, &session).await;
        }
        Ok(Some((session, now)))
    }

    /// Whether a session is there and within its limits. To ask is not to use it: it goes on idling.
    pub(crate) async fn is_live(&self, sid: Uuid) -> Result<bool, DbError> {
        if self.ended.contains_key(&sid) {
            return Ok(false);
        }
        let now = self.clock.now();
        let row = self.store.find(sid).await?;
        Ok(row.is_some_and(|row| now < row.expires_at && now.since(row.last_seen_at) < row.idle_timeout))
    }

    fn open(&self, ticket: &Ticket, row: &store::SessionRow) -> Option<Session> {
        let record = open_under(&ticket.key, &self.record_aad(ticket.sid), &row.record).ok()?;
        let login = Login::from_record(record.expose_secret())?;
        Some(Session::new(ticket.sid, row.expires_at, row.version, login))
    }

    async fn remember(&self, ticket: &Ticket, session: &Arc<Session>) {
        let cached = Cached {
            session: session.clone(),
            key_hash: sha256(&*ticket.key),
            read_at: self.clock.now(),
        };
        self.cache.insert(ticket.sid, cached).await;
    }

    /// Ends a session, on this replica at once.
    pub(crate) async fn end(&self, sid: Uuid) -> Result<(), DbError> {
        self.forget(sid).await;
        self.store.delete(sid).await
    }

    /// No look-up of this replica finds the session from here on.
    async fn forget(&self, sid: Uuid) {
        self.ended.insert(sid, ()).await;
        // After that: a look-up that begins from here on finds it ended.
        self.recent.session_ended();
        self.cache.invalidate(&sid).await;
    }

    /// Ends all sessions of a person; answers which.
    pub(crate) async fn end_all(&self, user_key: &UserKey) -> Result<Vec<Uuid>, DbError> {
        let sids = self.store.list_of_user(user_key).await?;
        for sid in &sids {
            self.end(*sid).await?;
        }
        Ok(sids)
    }

    /// Ends the sessions that a provider's session `sid` has led to; answers which.
    pub(crate) async fn end_idp_session(&self, idp_session: &str) -> Result<Vec<Uuid>, DbError> {
        let sids = self.store.list_of_idp_session(idp_session).await?;
        for sid in &sids {
            self.end(*sid).await?;
        }
        Ok(sids)
    }

    /// A one-time code with which `origin` can take over the session of `ticket` for the login whose
    /// `state` it began. The code holds the ticket sealed; the store keeps its hash alone.
    pub(crate) async fn begin_handover(
        &self,
        ticket: &Ticket,
        origin: &str,
        state: &str,
    ) -> Result<String, DbError> {
        let code = ticket.seal(
            &self.keys.current().session,
            &*self.random,
            &self.account,
            &handover_use(origin, state),
        );
        self.store
            .insert_handover(&Handover {
                code_hash: hex::encode(sha256(code.as_bytes())),
                sid: ticket.sid,
                origin: origin.to_owned(),
                state_hash: hex::encode(sha256(state.as_bytes())),
                expires_at: self.clock.now().plus(HANDOVER_LIFETIME),
            })
            .await?;
        Ok(code)
    }

    /// Redeems a code, once.
    pub(crate) async fn redeem_handover(
        &self,
        code: &str,
        origin: &str,
        state: &str,
    ) -> Result<Option<Ticket>, DbError> {
        let keys = self.keys.current();
        let Some(ticket) = Ticket::open(&keys.session, &self.account, &handover_use(origin, state), code)
        else {
            return Ok(None);
        };
        let Some(row) = self
            .store
            .take_handover(&hex::encode(sha256(code.as_bytes())))
            .await?
        else {
            return Ok(None);
        };
        let bound = row.sid == ticket.sid
            && row.origin == origin
            && row.state_hash == hex::encode(sha256(state.as_bytes()))
            && self.clock.now() < row.expires_at;
        Ok(bound.then_some(ticket))
    }

    /// The cookie value of a ticket for `scope`, one origin and one application; it opens for no other.
    pub(crate) fn seal_ticket(&self, ticket: &Ticket, scope: &str) -> String {
        ticket.seal(
            &self.keys.current().session,
            &*self.random,
            &self.account,
            &["cookie", scope].map(str::to_owned),
        )
    }

    /// The ticket in a cookie value of `scope`.
    pub(crate) fn open_ticket(&self, cookie: &str, scope: &str) -> Option<Ticket> {
        Ticket::open(
            &self.keys.current().session,
            &self.account,
            &["cookie", scope].map(str::to_owned),
            cookie,
        )
    }

    /// Deletes what has run out.
    pub(crate) async fn sweep(&self) -> Result<(), DbError> {
        let now = self.clock.now();
        self.recent.sweep(now);
        self.store.delete_expired(now).await
    }

    fn record_aad(&self, sid: Uuid) -> Aad {
        Aad::new(&self.account, "session", &sid.to_string(), "record")
    }
}

fn handover_use(origin: &str, state: &str) -> [String; 2] {
    [
        "handover".to_owned(),
        format!("{origin} {}", hex::encode(sha256(state.as_bytes()))),
    ]
}
