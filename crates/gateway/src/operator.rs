//! What an operator does on a gateway's store: see and end sessions, rotate keys. Every replica follows
//! within a second.
//!
//! A store in `PostgreSQL` can be opened beside running gateways. One in `SQLite` belongs to one process:
//! the running gateway gives its own operator, and a second process opens it only once that has stopped.

use std::sync::Arc;

use countersign_audit::{AuditError, Entry, Outcome, Recorder, RecorderConfig};
use countersign_crypto::{
    KeyError, KeyProvider, KeyPurpose, KeyRow, KeyState, NewKey, SharedClock, SharedRandom, Timestamp,
    UserKey,
};
use countersign_db::{ChangeFeed, DbError, Pool};
use uuid::Uuid;

use crate::config::Config;
use crate::gateway::{Parts, ROLE, Shared};
use crate::keys::{Keys, KeysError, resource};
use crate::session::{SessionSummary, Store};

/// An operator of one gateway's store.
pub struct Operator {
    store: Store,
    recorder: Recorder,
    /// The pool to close; `None`: it is a running gateway's.
    opened: Option<Pool>,
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
}

impl Operator {
    /// Works on the store of a running gateway, in its process.
    pub(crate) fn of(shared: &Shared, region: &str, pool: &Pool, key_provider: Arc<dyn KeyProvider>) -> Self {
        Self {
            store: Store::new(pool.clone()),
            recorder: shared.recorder.clone(),
            opened: None,
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
        let recorder = Recorder::start(RecorderConfig {
            pool: pool.clone(),
            changes: ChangeFeed::start(pool.clone()).await?,
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            signing_key: chain.audit,
            persons: Arc::new(chain.person),
            checkpoint_file: config.checkpoint_file.clone(),
            role: ROLE,
            account: config.account.clone(),
            region: config.region.clone(),
        })
        .await?;
        Ok(Self {
            store,
            recorder,
            opened: Some(pool),
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

    /// Live sessions, newest first, at most `limit`; those of one person where `user` is given.
    pub async fn list_sessions(
        &self,
        user: Option<&UserKey>,
        limit: u32,
    ) -> Result<Vec<SessionSummary>, OperatorError> {
        Ok(self.store.list(user, self.clock.now(), limit).await?)
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

    /// Makes a new primary key; the one before opens and verifies until it is retired.
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
        if !self.store.rotate_key(&row, self.clock.now()).await? {
            return Err(OperatorError::Concurrent);
        }
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
        if let Some(pool) = self.opened {
            self.recorder.close().await?;
            pool.close().await;
        }
        Ok(())
    }
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
