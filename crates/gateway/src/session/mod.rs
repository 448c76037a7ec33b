//! Browser sessions (design D17): a ticket cookie names a record on the server and holds the key that
//! opens it. Without the cookie the record cannot be read; without the record the cookie is worth
//! nothing, so logout works at once. A store that cannot be reached is an error, never "no login".

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{
    Aad, ExposeSecret, Keyring, SecretString, SharedClock, SharedRandom, Timestamp, UserKey,
    constant_time_eq, open_under, random_bytes, seal_under, sha256, uuid_v4,
};
use countersign_db::DbError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::SessionLimits;

mod store;
#[cfg(test)]
mod tests;
mod ticket;

pub(crate) use store::{Handover, MIGRATIONS, Store};
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
    pub(crate) login: Login,
}

/// What a login at the identity provider brought.
#[derive(Debug)]
pub(crate) struct Login {
    /// Issuer of the identity provider.
    pub(crate) issuer: String,
    /// Its subject.
    pub(crate) subject: String,
    /// When the person authenticated there.
    pub(crate) auth_time: Timestamp,
    /// Userinfo claims.
    pub(crate) claims: Map<String, Value>,
    /// Access token for the provider's userinfo.
    pub(crate) access_token: SecretString,
    /// Kept for the hint of RP-initiated logout.
    pub(crate) id_token: SecretString,
}

/// A login as it is sealed.
#[derive(Serialize, Deserialize)]
struct Record {
    issuer: String,
    subject: String,
    auth_time: i64,
    claims: Map<String, Value>,
    access_token: String,
    id_token: String,
}

impl Login {
    /// Who this is, in the audit trail and everywhere else.
    pub(crate) fn user_key(&self) -> UserKey {
        UserKey::jwt(&self.issuer, &self.subject)
    }

    fn to_record(&self) -> Zeroizing<Vec<u8>> {
        let record = Record {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            auth_time: self.auth_time.as_secs(),
            claims: self.claims.clone(),
            access_token: self.access_token.expose_secret().to_owned(),
            id_token: self.id_token.expose_secret().to_owned(),
        };
        Zeroizing::new(serde_json::to_vec(&record).expect("text and JSON values serialise"))
    }

    fn from_record(bytes: &[u8]) -> Option<Self> {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            issuer: record.issuer,
            subject: record.subject,
            auth_time: Timestamp::from_secs(record.auth_time),
            claims: record.claims,
            access_token: record.access_token.into(),
            id_token: record.id_token.into(),
        })
    }
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
    keyring: Keyring,
    account: String,
    limits: SessionLimits,
    clock: SharedClock,
    random: SharedRandom,
    cache: moka::future::Cache<Uuid, Cached>,
    ended: moka::future::Cache<Uuid, ()>,
}

impl Sessions {
    pub(crate) fn new(
        store: Store,
        keyring: Keyring,
        account: &str,
        limits: SessionLimits,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Self {
        Self {
            store,
            keyring,
            account: account.to_owned(),
            limits,
            clock,
            random,
            // The injected clock decides what is fresh; these limits only bound memory.
            cache: moka::future::Cache::builder()
                .max_capacity(MAX_CACHED)
                .time_to_live(REMEMBERED)
                .build(),
            ended: moka::future::Cache::builder().time_to_live(REMEMBERED).build(),
        }
    }

    /// The keyring that seals tickets and login transactions.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Begins a session.
    pub(crate) async fn begin(&self, login: Login) -> Result<(Ticket, Session), DbError> {
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
        let expires_at = now.plus(Duration::from_secs(self.limits.session_timeout_seconds));
        self.store
            .insert(&store::SessionRow {
                sid: ticket.sid,
                user_key: login.user_key(),
                record,
                created_at: now,
                last_seen_at: now,
                expires_at,
            })
            .await?;
        let session = Session {
            sid: ticket.sid,
            expires_at,
            login,
        };
        Ok((ticket, session))
    }

    /// The live session of a ticket.
    pub(crate) async fn find(&self, ticket: &Ticket) -> Result<Option<Arc<Session>>, DbError> {
        let now = self.clock.now();
        let key_hash = sha256(&*ticket.key);
        if self.ended.contains_key(&ticket.sid) {
            return Ok(None);
        }
        if let Some(cached) = self.cache.get(&ticket.sid).await
            && now.since(cached.read_at) < CACHED
            && cached.read_at <= now
        {
            let ours = constant_time_eq(&cached.key_hash, &key_hash) && now < cached.session.expires_at;
            return Ok(ours.then_some(cached.session));
        }
        let Some(row) = self.store.find(ticket.sid).await? else {
            return Ok(None);
        };
        let idle = Duration::from_secs(self.limits.idle_timeout_seconds);
        if now >= row.expires_at || now.since(row.last_seen_at) >= idle {
            return Ok(None);
        }
        let Some(login) = open_under(&ticket.key, &self.record_aad(ticket.sid), &row.record)
            .ok()
            .and_then(|record| Login::from_record(record.expose_secret()))
        else {
            return Ok(None);
        };
        if now.since(row.last_seen_at) >= SEEN_EVERY.min(idle / 4) {
            self.store.touch(ticket.sid, now).await?;
        }
        let session = Arc::new(Session {
            sid: ticket.sid,
            expires_at: row.expires_at,
            login,
        });
        if !self.ended.contains_key(&ticket.sid) {
            let cached = Cached {
                session: session.clone(),
                key_hash,
                read_at: now,
            };
            self.cache.insert(ticket.sid, cached).await;
        }
        Ok(Some(session))
    }

    /// Ends a session, on this replica at once.
    pub(crate) async fn end(&self, sid: Uuid) -> Result<(), DbError> {
        self.ended.insert(sid, ()).await;
        self.cache.invalidate(&sid).await;
        self.store.delete(sid).await
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
            &self.keyring,
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
        let Some(ticket) = Ticket::open(&self.keyring, &self.account, &handover_use(origin, state), code)
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

    /// The cookie value of a ticket on `origin`; it opens on no other one.
    pub(crate) fn seal_ticket(&self, ticket: &Ticket, origin: &str) -> String {
        ticket.seal(
            &self.keyring,
            &*self.random,
            &self.account,
            &["cookie", origin].map(str::to_owned),
        )
    }

    /// The ticket in a cookie value of `origin`.
    pub(crate) fn open_ticket(&self, cookie: &str, origin: &str) -> Option<Ticket> {
        Ticket::open(
            &self.keyring,
            &self.account,
            &["cookie", origin].map(str::to_owned),
            cookie,
        )
    }

    /// Deletes what has run out.
    pub(crate) async fn sweep(&self) -> Result<(), DbError> {
        let now = self.clock.now();
        let idle = Duration::from_secs(self.limits.idle_timeout_seconds);
        self.store.delete_expired(now, now.minus(idle)).await
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
