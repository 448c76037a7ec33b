//! What an operator does on a gateway's store: see and end sessions, forget a person, rotate keys. Every replica
//! follows within a second.
//!
//! A store in `PostgreSQL` can be opened beside running gateways. One in `SQLite` belongs to one process:
//! the running gateway gives its own operator, and a second process opens it only once that has stopped.

use std::sync::Arc;
use std::time::Duration;

use countersign_audit::{AuditError, Entry, Outcome, PersonKeys, Recorder};
use countersign_crypto::{
    KeyError, KeyProvider, KeyPurpose, KeyRow, KeyState, NewKey, SharedClock, SharedRandom, Timestamp,
    UserKey,
};
use countersign_db::{ChangeFeed, DbError, Pool};
use uuid::Uuid;

use crate::config::Config;
use crate::gateway::{Parts, Shared, recorder_config};
use crate::keys::{Keys, KeysError, audit_keys, resource};
use crate::session::{SessionSummary, Store};

/// An operator of one gateway's store.
pub struct Operator {
    store: Store,
    recorder: Recorder,
    pool: Pool,
    /// Whether the pool is to be closed. Otherwise it is a running gateway's.
    opened: bool,
    key_provider: Arc<dyn KeyProvider>,
    account: String,
    region: String,
    clock: SharedClock,
    random: SharedRandom,
}

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The database.
    #[error("gateway database: {0}")]
    Database(#[from] DbError),
    /// The gateway's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A key cannot be made.
    #[error("gateway keys: {0}")]
    Key(#[from] KeyError),
    /// The audit chain.
    #[error("gateway audit: {0}")]
    Audit(#[from] AuditError),
    /// There is no such session.
    #[error("there is no session {0}")]
    NoSession(Uuid),
    /// The key is no key of this gateway that is neither primary nor retired.
    #[error("{0} is not a key that can be retired: a primary key is rotated first")]
    NotRetirable(String),
    /// Another rotation came first.
    #[error("another rotation of this key was first")]
    Concurrent,
}

/// How long replicas may take to follow a change.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(2);
/// How seldom verifiers ask for a key that they do not know (5 s, `countersign_web::person`), and a second.
const FETCHED_WITHIN: Duration = Duration::from_secs(6);

/// A key that rotates while the gateway runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RotatingKey {
    /// Signs user tokens.
    UserTokenSigning,
    /// Signs `x-amzn-oidc-data`.
    AlbHeaderSigning,
    /// Seals tickets and login transactions.
    Session,
}

impl RotatingKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::UserTokenSigning, Self::AlbHeaderSigning, Self::Session];

    /// Its name for operators.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.purpose().as_str()
    }

    const fn purpose(self) -> KeyPurpose {
        match self {
            Self::UserTokenSigning => KeyPurpose::UserTokenSigning,
            Self::AlbHeaderSigning => KeyPurpose::AlbHeaderSigning,
            Self::Session => KeyPurpose::Session,
        }
    }

    /// How long it is published before it is primary.
    const fn published_for(self) -> Duration {
        match self {
            Self::UserTokenSigning | Self::AlbHeaderSigning => FETCHED_WITHIN,
            Self::Session => FOLLOWED_WITHIN,
        }
    }
}

impl Operator {
    /// Works on the store of a running gateway, in its process.
    pub(crate) fn of(shared: &Shared, region: &str, pool: &Pool, key_provider: Arc<dyn KeyProvider>) -> Self {
        Self {
            store: Store::new(pool.clone()),
            recorder: shared.recorder.clone(),
            pool: pool.clone(),
            opened: false,
            key_provider,
            account: shared.account.clone(),
            region: region.to_owned(),
            clock: shared.clock.clone(),
            random: shared.random.clone(),
        }
    }

    /// Opens the store of a gateway and begins an audit chain for what is done.
    pub async fn open(config: &Config, parts: Parts) -> Result<Self, OperatorError> {
        let pool = crate::gateway::open(&config.database, parts.clock.now().as_micros()).await?;
        let store = Store::new(pool.clone());
        let place = (config.account.as_str(), config.region.as_str());
        let (_, chain) = Keys::load(&store, &*parts.key_provider, place, &parts.clock, &parts.random).await?;
        let changes = ChangeFeed::start(pool.clone()).await?;
        let recording = recorder_config(config, &parts, (&pool, changes), chain);
        let recorder = Recorder::start(recording).await?;
        Ok(Self {
            store,
            recorder,
            pool,
            opened: true,
            key_provider: parts.key_provider,
            account: config.account.clone(),
            region: config.region.clone(),
            clock: parts.clock,
            random: parts.random,
        })
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Live sessions, newest first, at most `limit`; those of one person where `user` is given. Recorded as `ListSessions`.
    pub async fn list_sessions(
        &self,
        user: Option<&UserKey>,
        limit: u32,
    ) -> Result<Vec<SessionSummary>, OperatorError> {
        let sessions = self.store.list(user, self.clock.now(), limit).await?;
        // Who is logged in, and from when, is personal: reading it is on record before it is shown.
        let mut entry = Entry::new("ListSessions", Outcome::Done).with_detail("sessions", sessions.len());
        entry.person = user.copied();
        self.recorder.record(entry).await?;
        Ok(sessions)
    }

    /// Ends a session: within a second on every replica.
    pub async fn end_session(&self, sid: Uuid) -> Result<(), OperatorError> {
        let row = self.store.find(sid).await?.ok_or(OperatorError::NoSession(sid))?;
        self.store.delete(sid).await?;
        self.record_end(sid, row.user_key).await
    }

    /// Ends all sessions of a person; answers which.
    pub async fn end_sessions_of(&self, user: &UserKey) -> Result<Vec<Uuid>, OperatorError> {
        let sids = self.store.list_of_user(user).await?;
        for sid in &sids {
            self.store.delete(*sid).await?;
            self.record_end(*sid, *user).await?;
        }
        Ok(sids)
    }

    /// Ends all sessions of a person and destroys the key under which this trail has their name (design D16). The record
    /// of it names nobody: it would be the first trace of them again.
    pub async fn forget_user(&self, user: &UserKey) -> Result<Forgotten, OperatorError> {
        let sessions_ended = self.end_sessions_of(user).await?.len();
        let persons = audit_keys(&self.pool, &*self.key_provider).await?.persons;
        let pseudonym = PersonKeys::new(&self.pool, Arc::clone(&persons))
            .pseudonym(user)
            .await?;
        let audit_details_erased =
            countersign_audit::forget(&self.pool, &persons, user, self.clock.now()).await?;
        let pseudonyms: Vec<String> = pseudonym.into_iter().collect();
        let entry = Entry::new("ForgetUser", Outcome::Done)
            .with_detail("pseudonyms", pseudonyms)
            .with_detail("sessionsEnded", sessions_ended);
        self.recorder.record(entry).await?;
        Ok(Forgotten {
            sessions_ended,
            audit_details_erased,
        })
    }

    async fn record_end(&self, sid: Uuid, person: UserKey) -> Result<(), OperatorError> {
        let entry = Entry::new("EndSession", Outcome::Done)
            .with_sid(sid.to_string())
            .with_person(person)
            .with_detail("by", "operator");
        self.recorder.record(entry).await?;
        Ok(())
    }

    /// The gateway's keys, without what they unlock.
    pub async fn list_keys(&self) -> Result<Vec<KeySummary>, OperatorError> {
        let rows = self.store.list_keys(&self.account).await?;
        Ok(rows.into_iter().map(KeySummary::from).collect())
    }

    /// Makes a new primary key; the one before opens and verifies until it is retired. Takes seconds: at first the new
    /// key is only published, so that every replica opens, and every verifier can have, what it is about to seal and
    /// sign.
    pub async fn rotate_key(&self, key: RotatingKey) -> Result<KeySummary, OperatorError> {
        let purpose = key.purpose();
        let (account, resource) = (self.account.as_str(), resource(&self.region, &self.account));
        let new = NewKey {
            account,
            resource: &resource,
            purpose,
            version: self.store.newest_key_version(account, purpose).await? + 1,
        };
        let (provider, random, clock) = (&*self.key_provider, &*self.random, &*self.clock);
        let row = match key {
            RotatingKey::Session => KeyRow::generate_symmetric(provider, random, clock, new).await?,
            _ => KeyRow::generate_es256(provider, random, clock, new).await?,
        };
        let row = KeyRow {
            state: KeyState::Enabled,
            ..row
        };
        if !self.store.publish_key(&row, self.clock.now()).await? {
            return Err(OperatorError::Concurrent);
        }
        tokio::time::sleep(key.published_for()).await;
        // Where this process ends before, the key stays what opens and verifies nothing, and the next rotation passes
        // it by.
        if !self.store.promote_key(&row, self.clock.now()).await? {
            return Err(OperatorError::Concurrent);
        }
        let row = KeyRow {
            state: KeyState::Primary,
            ..row
        };
        let entry = Entry::new("RotateKey", Outcome::Done)
            .with_detail("purpose", purpose.as_str())
            .with_detail("key", row.id.clone());
        self.recorder.record(entry).await?;
        Ok(row.into())
    }

    /// Retires a key that is primary no more: nothing that it signed or sealed is good from now on.
    pub async fn retire_key(&self, id: &str) -> Result<(), OperatorError> {
        if !self.store.retire_key(&self.account, id, self.clock.now()).await? {
            return Err(OperatorError::NotRetirable(id.to_owned()));
        }
        let entry = Entry::new("RetireKey", Outcome::Done).with_detail("key", id);
        self.recorder.record(entry).await?;
        Ok(())
    }

    /// Ends the audit chain with a checkpoint and closes the store, where it was opened for this.
    pub async fn close(self) -> Result<(), OperatorError> {
        if self.opened {
            self.recorder.close().await?;
            self.pool.close().await;
        }
        Ok(())
    }
}

/// What forgetting a person came to.
#[derive(Clone, Copy, Debug)]
pub struct Forgotten {
    /// Sessions that were theirs.
    pub sessions_ended: usize,
    /// Whether records named them by a key, which is destroyed: nobody can read their details any more.
    pub audit_details_erased: bool,
}

/// A key as operators see it.
#[derive(Clone, Debug)]
pub struct KeySummary {
    /// Its id; the `kid` of a signing key.
    pub id: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Counts rotations.
    pub version: i64,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<KeyRow> for KeySummary {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            purpose: row.purpose,
            version: row.version,
            state: row.state,
            created_at: row.created_at,
        }
    }
}
