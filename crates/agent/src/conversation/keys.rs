//! The keys that seal conversations (design D24): in the vault's format, wrapped by the agent's own root key, beside what
//! they seal.
//!
//! Each version is an object that is written once. The highest seals; all open. A replica that meets a conversation sealed
//! under a key it does not know reads the keys again, so that a new key needs no announcement.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_crypto::{
    Aad, KeyProvider, KeyPurpose, KeyRow, KeyState, Keyring, NewKey, OpenError, Sealed, SecretBytes,
    Timestamp, b64url, b64url_decode, sha256_parts,
};
use countersign_outbound::HostPort;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::Parts;
use crate::config::Conversations;

/// Name of what the keys protect, in their encryption context.
const RESOURCE: &str = "countersign:conversations";
/// Bytes of a key's object.
const MOST_BYTES: u64 = 16 << 10;

/// The keys of one account's conversations.
pub(crate) struct ConversationKeys {
    ring: Keyring,
    objects: Arc<dyn ObjectStore>,
    account: String,
    parts: Parts,
}

/// A key that seals conversations, without what it unlocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationKey {
    /// Its id, as sealed conversations name it.
    pub id: String,
    /// `conversation`.
    pub purpose: &'static str,
    /// Counted from 1.
    pub version: i64,
    /// `primary` is the one that seals; `enabled` ones open what they sealed.
    pub state: &'static str,
    /// The root key that has wrapped it.
    pub wrapped_by: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created_at: i64,
}

/// A key as it lies in the store. Nothing in it is secret without the root key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredKey {
    id: String,
    account: String,
    version: i64,
    /// base64url.
    wrapped: String,
    provider_key_id: String,
    created_at: Timestamp,
}

impl ConversationKeys {
    /// Reads the keys; makes the first, or the next when the newest is older than `rotate_after`; wraps anew what the
    /// previous root key has wrapped.
    pub(crate) async fn open(
        objects: Arc<dyn ObjectStore>,
        account: &str,
        rotate_after: Option<Duration>,
        parts: &Parts,
    ) -> Result<Self, StoreError> {
        let mut rows = load(&*objects, account).await?;
        if let Some(previous) = &parts.previous_key_provider {
            rewrap(&*objects, &**previous, parts, &mut rows).await?;
        }
        let now = parts.clock.now();
        let is_old = |row: &KeyRow| {
            rotate_after.is_some_and(|age| now.as_secs() - row.created_at.as_secs() >= secs(age))
        };
        let newest = rows.iter().max_by_key(|row| row.version);
        if newest.is_none_or(is_old) {
            let version = newest.map_or(1, |row| row.version + 1);
            create(&*objects, account, version, parts).await?;
            // Another replica may have been first, and its key is the one.
            rows = load(&*objects, account).await?;
        }
        let ring = Keyring::unwrap(&*parts.key_provider, &rows).await?;
        Ok(Self {
            ring,
            objects,
            account: account.to_owned(),
            parts: parts.clone(),
        })
    }

    pub(crate) fn seal(&self, aad: &Aad, plaintext: &[u8]) -> Sealed {
        self.ring.seal(&*self.parts.random, aad, plaintext)
    }

    /// Opens what any replica sealed.
    pub(crate) async fn unseal(&self, aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, StoreError> {
        match self.ring.open(aad, sealed) {
            Err(OpenError::UnknownKey) => {}
            outcome => return Ok(outcome?),
        }
        let rows = load(&*self.objects, &self.account).await?;
        self.ring.renew(&*self.parts.key_provider, &rows).await?;
        Ok(self.ring.open(aad, sealed)?)
    }
}

impl std::fmt::Debug for ConversationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConversationKeys").finish_non_exhaustive()
    }
}

/// The keys of `account`'s conversations at `storage`, the newest first. Needs neither the root key nor a running agent.
pub(crate) async fn list(
    storage: &Conversations,
    allow: &[HostPort],
    account: &str,
) -> Result<Vec<ConversationKey>, StoreError> {
    if let Conversations::Directory(path) = storage {
        // Opening it would make it, and a list of none would say that there are no keys.
        std::fs::read_dir(path).map_err(|error| {
            let named = format!("{}: {error}", path.display());
            StoreError::Directory(std::io::Error::new(error.kind(), named))
        })?;
    }
    let mut rows = load(&*super::open(storage, allow)?, account).await?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.version));
    Ok(rows
        .into_iter()
        .map(|row| ConversationKey {
            id: row.id,
            purpose: row.purpose.as_str(),
            version: row.version,
            state: row.state.as_str(),
            wrapped_by: row.provider_key_id,
            created_at: row.created_at.as_secs(),
        })
        .collect())
}

impl StoredKey {
    fn of(row: &KeyRow) -> Self {
        Self {
            id: row.id.clone(),
            account: row.account.clone(),
            version: row.version,
            wrapped: b64url(&row.wrapped),
            provider_key_id: row.provider_key_id.clone(),
            created_at: row.created_at,
        }
    }

    fn row(self, account: &str) -> Option<KeyRow> {
        (self.account == account).then_some(())?;
        Some(KeyRow {
            id: self.id,
            account: self.account,
            resource: RESOURCE.to_owned(),
            purpose: KeyPurpose::Conversation,
            version: self.version,
            state: KeyState::Enabled,
            wrapped: b64url_decode(&self.wrapped)?,
            provider_key_id: self.provider_key_id,
            created_at: self.created_at,
        })
    }
}

/// All keys, the highest version as the primary.
async fn load(objects: &dyn ObjectStore, account: &str) -> Result<Vec<KeyRow>, StoreError> {
    let found: Vec<_> = objects.list(Some(&directory(account))).try_collect().await?;
    let mut rows = Vec::with_capacity(found.len());
    for object in found {
        let broken = || StoreError::Inconsistent {
            location: object.location.clone(),
            what: "no key of this account".to_owned(),
        };
        if object.size > MOST_BYTES {
            return Err(broken());
        }
        let bytes = objects.get(&object.location).await?.bytes().await?;
        let stored: StoredKey = serde_json::from_slice(&bytes).map_err(|_| broken())?;
        let row = stored.row(account).ok_or_else(broken)?;
        if object.location != location(account, row.version) {
            return Err(broken());
        }
        rows.push(row);
    }
    if let Some(newest) = rows.iter_mut().max_by_key(|row| row.version) {
        newest.state = KeyState::Primary;
    }
    Ok(rows)
}

async fn create(
    objects: &dyn ObjectStore,
    account: &str,
    version: i64,
    parts: &Parts,
) -> Result<(), StoreError> {
    let new = NewKey {
        account,
        resource: RESOURCE,
        purpose: KeyPurpose::Conversation,
        version,
    };
    let row = KeyRow::generate_symmetric(&*parts.key_provider, &*parts.random, &*parts.clock, new).await?;
    match write(objects, &row, PutMode::Create).await {
        Err(StoreError::Unavailable(object_store::Error::AlreadyExists { .. })) => Ok(()),
        Ok(()) => {
            tracing::info!(key.id = %row.id, key.version = version, "a key for conversations was made");
            Ok(())
        }
        outcome => outcome,
    }
}

async fn rewrap(
    objects: &dyn ObjectStore,
    previous: &dyn KeyProvider,
    parts: &Parts,
    rows: &mut [KeyRow],
) -> Result<(), StoreError> {
    let from = previous.key_id();
    for row in rows.iter_mut().filter(|row| row.provider_key_id == from) {
        *row = row.rewrap(previous, &*parts.key_provider).await?;
        write(objects, row, PutMode::Overwrite).await?;
        tracing::info!(key.id = %row.id, "a key for conversations was wrapped anew");
    }
    Ok(())
}

async fn write(objects: &dyn ObjectStore, row: &KeyRow, mode: PutMode) -> Result<(), StoreError> {
    let location = location(&row.account, row.version);
    let text = serde_json::to_vec(&StoredKey::of(row)).map_err(|error| StoreError::Inconsistent {
        location: location.clone(),
        what: error.to_string(),
    })?;
    let payload = PutPayload::from(Bytes::from(text));
    objects.put_opts(&location, payload, mode.into()).await?;
    Ok(())
}

fn directory(account: &str) -> Path {
    let account = hex::encode(&sha256_parts(&[b"conversation keys", account.as_bytes()])[..16]);
    Path::from(format!("keys/{account}"))
}

fn location(account: &str, version: i64) -> Path {
    Path::from(format!("{}/{version}.json", directory(account)))
}

fn secs(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
