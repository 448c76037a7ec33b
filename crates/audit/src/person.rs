//! Per-person keys: what makes a person's details readable, and erasable (design D16).
//!
//! Each person has one random key in this database, sealed under the operator's keyring. A record holds the
//! pseudonym HMAC(person key, user key) and the details sealed under the person key. Destroying the key
//! leaves records whose details nobody can read and whose pseudonym nobody can compute again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_crypto::{
    Aad, ExposeSecret, Keyring, Random, SecretBox, Timestamp, UserKey, hmac_sha256, open_under, random_bytes,
    seal_under,
};
use countersign_db::{Pool, record_change};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use crate::AuditError;
use crate::record::{Personal, Record};
use crate::store::{self, PersonKeyRow};

/// The kind under which a forgotten key is announced on the change feed; the key is the row's id.
pub(crate) const CHANGE: &str = "person_key";
/// The row that holds the key by which ids are computed from user keys. Without it an id would tell anyone
/// who can guess an issuer and a subject whether that person is here.
const LOOKUP: &str = "lookup";
/// Most person keys kept in memory; beyond it they are read again.
const CACHED: usize = 10_000;

/// The person keys of one database: makes them for the recorder, opens details for an operator.
#[derive(Debug)]
pub struct PersonKeys {
    pool: Pool,
    keyring: Arc<Keyring>,
    lookup: OnceCell<SecretBox<[u8; 32]>>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    keys: HashMap<UserKey, Arc<PersonKey>>,
    /// Grows with every removal: what was read before one must not be put in after it.
    removals: u64,
}

/// One person's key.
#[derive(Debug)]
pub(crate) struct PersonKey {
    /// Of its row.
    id: String,
    key: SecretBox<[u8; 32]>,
    pub(crate) pseudonym: String,
}

impl PersonKey {
    /// Seals a record's personal details.
    pub(crate) fn seal(&self, random: &dyn Random, account: &str, details: &Map<String, Value>) -> Vec<u8> {
        let json = Value::Object(details.clone()).to_string();
        let aad = Aad::new(account, "audit_record", &self.pseudonym, "personal");
        seal_under(self.key.expose_secret(), random, &aad, json.as_bytes())
    }

    fn open(&self, account: &str, sealed: &[u8]) -> Option<Map<String, Value>> {
        let aad = Aad::new(account, "audit_record", &self.pseudonym, "personal");
        let json = open_under(self.key.expose_secret(), &aad, sealed).ok()?;
        serde_json::from_slice(json.expose_secret()).ok()
    }
}

impl PersonKeys {
    /// Reads with the operator's keyring (purpose [`countersign_crypto::KeyPurpose::Person`]).
    #[must_use]
    pub fn new(pool: &Pool, keyring: Arc<Keyring>) -> Self {
        Self {
            pool: pool.clone(),
            keyring,
            lookup: OnceCell::new(),
            cache: Mutex::default(),
        }
    }

    /// Opens the personal details of records, in place.
    pub async fn open(&self, records: &mut [Record]) -> Result<(), AuditError> {
        let mut found: HashMap<String, Option<PersonKey>> = HashMap::new();
        for record in records {
            let (Some(pseudonym), Some(sealed)) = (&record.person, &record.stored.personal) else {
                continue;
            };
            if !found.contains_key(pseudonym) {
                let key = match store::person_key_by_pseudonym(&self.pool, pseudonym).await? {
                    Some(row) => Some(self.unseal(&row)?),
                    None => None,
                };
                found.insert(pseudonym.clone(), key);
            }
            let key = found.get(pseudonym).and_then(Option::as_ref);
            record.personal = match key {
                None => Personal::Forgotten,
                // Details that do not open were tampered with; verification names them.
                Some(key) => key
                    .open(&record.account, sealed)
                    .map_or(Personal::Sealed, Personal::Opened),
            };
        }
        Ok(())
    }

    /// The pseudonym under which a person's records are stored; `None` when there are none (or no longer).
    pub async fn pseudonym(&self, person: &UserKey) -> Result<Option<String>, AuditError> {
        let Some(id) = self.id(person).await? else {
            return Ok(None);
        };
        let row = store::person_key_by_id(&self.pool, &id).await?;
        Ok(row.and_then(|row| row.pseudonym))
    }

    /// Makes the lookup key if this is a new database.
    pub(crate) async fn prepare(&self, random: &dyn Random, now: Timestamp) -> Result<(), AuditError> {
        if store::person_key_by_id(&self.pool, LOOKUP).await?.is_none() {
            let key = SecretBox::new(Box::new(random_bytes::<32>(random)));
            let sealed = self.seal_row(random, LOOKUP, key.expose_secret());
            let row = PersonKeyRow {
                id: LOOKUP.to_owned(),
                pseudonym: None,
                sealed,
            };
            store::insert_person_key(&self.pool, row, now).await?;
        }
        self.lookup().await.map(drop)
    }

    /// The person's key, made at first sight. `cached` says whether the change feed is fresh enough for
    /// memory to be believed.
    pub(crate) async fn key_for(
        &self,
        person: &UserKey,
        cached: bool,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Arc<PersonKey>, AuditError> {
        let removals = {
            let cache = self.cache();
            if cached && let Some(key) = cache.keys.get(person) {
                return Ok(Arc::clone(key));
            }
            cache.removals
        };
        // Boxed: most persons are known, and their callers need not carry queries along.
        Box::pin(self.read_or_make(person, removals, random, now)).await
    }

    async fn read_or_make(
        &self,
        person: &UserKey,
        removals: u64,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Arc<PersonKey>, AuditError> {
        let id = self
            .id(person)
            .await?
            .ok_or_else(|| AuditError::PersonKey(LOOKUP.to_owned()))?;
        let mut row = store::person_key_by_id(&self.pool, &id).await?;
        if row.is_none() {
            self.make(&id, person, random, now).await?;
            row = store::person_key_by_id(&self.pool, &id).await?;
        }
        let row = row.ok_or_else(|| AuditError::PersonKey(id.clone()))?;
        let key = Arc::new(self.unseal(&row)?);
        let mut cache = self.cache();
        if cache.removals == removals {
            if cache.keys.len() >= CACHED {
                cache.keys.clear();
            }
            cache.keys.insert(*person, Arc::clone(&key));
        }
        Ok(key)
    }

    async fn make(
        &self,
        id: &str,
        person: &UserKey,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        let key = SecretBox::new(Box::new(random_bytes::<32>(random)));
        let pseudonym = hex::encode(hmac_sha256(key.expose_secret(), person.as_bytes()));
        let sealed = self.seal_row(random, id, key.expose_secret());
        let row = PersonKeyRow {
            id: id.to_owned(),
            pseudonym: Some(pseudonym),
            sealed,
        };
        Ok(store::insert_person_key(&self.pool, row, now).await?)
    }

    /// Drops a key from memory; all of them for `None`.
    pub(crate) fn drop_cached(&self, id: Option<&str>) {
        let mut cache = self.cache();
        cache.removals += 1;
        match id {
            Some(id) => cache.keys.retain(|_, key| key.id != id),
            None => cache.keys.clear(),
        }
    }

    /// The row's id for a person: HMAC(lookup key, user key). `None` in a database that has no records.
    async fn id(&self, person: &UserKey) -> Result<Option<String>, AuditError> {
        let lookup = match self.lookup().await {
            Err(AuditError::PersonKey(_)) if store::person_key_by_id(&self.pool, LOOKUP).await?.is_none() => {
                return Ok(None);
            }
            lookup => lookup?,
        };
        Ok(Some(hex::encode(hmac_sha256(
            lookup.expose_secret(),
            person.as_bytes(),
        ))))
    }

    async fn lookup(&self) -> Result<&SecretBox<[u8; 32]>, AuditError> {
        self.lookup
            .get_or_try_init(|| async {
                let row = store::person_key_by_id(&self.pool, LOOKUP).await?;
                let row = row.ok_or_else(|| AuditError::PersonKey(LOOKUP.to_owned()))?;
                self.unseal_row(&row)
            })
            .await
    }

    fn unseal(&self, row: &PersonKeyRow) -> Result<PersonKey, AuditError> {
        let pseudonym = row
            .pseudonym
            .clone()
            .ok_or_else(|| AuditError::PersonKey(row.id.clone()))?;
        Ok(PersonKey {
            id: row.id.clone(),
            key: self.unseal_row(row)?,
            pseudonym,
        })
    }

    fn unseal_row(&self, row: &PersonKeyRow) -> Result<SecretBox<[u8; 32]>, AuditError> {
        let refused = || AuditError::PersonKey(row.id.clone());
        let opened = self
            .keyring
            .open(&row_aad(&row.id), &row.sealed)
            .map_err(|_| refused())?;
        let key = <[u8; 32]>::try_from(opened.expose_secret()).map_err(|_| refused())?;
        Ok(SecretBox::new(Box::new(key)))
    }

    fn seal_row(&self, random: &dyn Random, id: &str, key: &[u8; 32]) -> Vec<u8> {
        self.keyring.seal(random, &row_aad(id), key).into_bytes()
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        // Nothing in here is left half-done by a panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row_aad(id: &str) -> Aad {
    Aad::new("", "person_key", id, "sealed")
}

/// Destroys the person's key in this database, on disk and, within a second, in every replica's memory.
/// Records stay and still verify; nobody can read their personal details or link them to the person any
/// more. `false`: there was none.
pub async fn forget(
    pool: &Pool,
    keyring: &Arc<Keyring>,
    person: &UserKey,
    now: Timestamp,
) -> Result<bool, AuditError> {
    let keys = PersonKeys::new(pool, Arc::clone(keyring));
    let Some(id) = keys.id(person).await? else {
        return Ok(false);
    };
    let mut tx = pool.begin().await?;
    let existed = store::delete_person_key(&mut tx, &id).await?;
    record_change(&mut tx, CHANGE, &id, now.as_micros()).await?;
    tx.commit().await?;
    store::empty_write_ahead_log(pool).await?;
    Ok(existed)
}
