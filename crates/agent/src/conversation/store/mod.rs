//! Conversations in an object store, sealed.
//!
//! A conversation lies under a hash of its account and person, and its own name there is a hash too. So another person's id
//! names nothing (H3), and no id, however odd, reaches a file name (H4). What lies there is sealed for its place: moved to
//! another person or name it does not open.
//!
//! An object is a heading and a body, sealed one by one, so that a list of many conversations reads little of each.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use countersign_crypto::{Aad, ExposeSecret as _, KeyError, OpenError, UserKey, sha256_parts};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion,
};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};

use super::keys::ConversationKeys;
use super::{Conversation, Heading};
use crate::session_id::SessionId;

/// Bytes one conversation may have.
const MOST_BYTES: usize = 4 << 20;
/// Conversations that one page of a list shows.
const MOST_LISTED: usize = 50;
/// Conversations that one person may keep.
const MOST_KEPT: usize = 1_000;
/// Headings read at once.
const AT_ONCE: usize = 8;
/// Locks among which the conversations are divided.
const LOCKS: usize = 64;
/// Writes of others, on other replicas, that one write gives way to.
const MOST_ATTEMPTS: usize = 5;
/// How an object begins; the length of the sealed heading follows as two bytes, big-endian.
const MAGIC: &[u8; 4] = b"CSC1";
const FRAME: usize = MAGIC.len() + 2;
/// Bytes within which every heading lies: a title has 80 characters and an id 128.
const HEADING_BYTES: u64 = 4 << 10;

/// The conversations of every person.
#[derive(Debug, Clone)]
pub(crate) struct ConversationStore {
    objects: Arc<dyn ObjectStore>,
    keys: Arc<ConversationKeys>,
    account: String,
    /// Held from the reading of an object to its writing: a directory has no conditional writes. Between replicas on a
    /// bucket the writes themselves are conditional.
    locks: Arc<[Mutex<()>; LOCKS]>,
}

/// A page of a person's conversations, newest first.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) headings: Vec<Heading>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<String>,
}

/// Behind which conversation a page begins: when it was written and its hashed name. Neither tells anything of another
/// person's.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(i64, String);

/// A conversation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("conversation directory: {0}")]
    Directory(#[source] std::io::Error),
    #[error("conversations.s3.endpoint is http: add its host:port to outbound_allow, or use https")]
    Plaintext,
    #[error("conversations.s3.prefix is no prefix of object names")]
    Prefix,
    #[error("conversation store: {0}")]
    Unavailable(#[from] object_store::Error),
    #[error("the keys of conversations: {0}")]
    Keys(#[from] KeyError),
    #[error("a conversation does not open: {0}")]
    Sealed(#[from] OpenError),
    #[error("{location} is not readable: {what}")]
    Inconsistent { location: Path, what: String },
    #[error("conversation is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("the person has {MOST_KEPT} conversations")]
    TooMany,
    #[error("a newer turn has begun, or the conversation has been deleted")]
    Superseded,
    #[error("others write the conversation all the time")]
    Contended,
}

impl ConversationStore {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, keys: ConversationKeys, account: &str) -> Self {
        Self {
            objects,
            keys: Arc::new(keys),
            account: account.to_owned(),
            locks: Arc::new(std::array::from_fn(|_| Mutex::new(()))),
        }
    }

    /// The person's conversation of that id.
    pub(crate) async fn find(
        &self,
        person: &UserKey,
        id: &SessionId,
    ) -> Result<Option<Conversation>, StoreError> {
        let found = self.read(&self.location(person, id), id).await?;
        Ok(found.map(|(conversation, _)| conversation))
    }

    /// Writes `conversation`, unless a later turn than its own has been written or it has been deleted meanwhile. A title
    /// given meanwhile stays.
    pub(crate) async fn put(
        &self,
        person: &UserKey,
        id: &SessionId,
        conversation: &mut Conversation,
    ) -> Result<(), StoreError> {
        let location = self.location(person, id);
        let _writing = self.lock(&location).await;
        for _ in 0..MOST_ATTEMPTS {
            let mode = match self.heading(&location).await? {
                Some((stored, _)) if stored.turn > conversation.turn => return Err(StoreError::Superseded),
                Some((stored, version)) => {
                    conversation.title = stored.title;
                    PutMode::Update(version)
                }
                None if conversation.is_kept => return Err(StoreError::Superseded),
                None => {
                    self.has_room(person).await?;
                    PutMode::Create
                }
            };
            if self.write(&location, conversation, mode).await? {
                conversation.is_kept = true;
                return Ok(());
            }
        }
        Err(StoreError::Contended)
    }

    /// Gives the person's conversation of that id another title; whether there is one.
    pub(crate) async fn rename(
        &self,
        person: &UserKey,
        id: &SessionId,
        title: &str,
    ) -> Result<bool, StoreError> {
        let location = self.location(person, id);
        let _writing = self.lock(&location).await;
        for _ in 0..MOST_ATTEMPTS {
            let Some((mut conversation, version)) = self.read(&location, id).await? else {
                return Ok(false);
            };
            title.clone_into(&mut conversation.title);
            if self
                .write(&location, &conversation, PutMode::Update(version))
                .await?
            {
                return Ok(true);
            }
        }
        Err(StoreError::Contended)
    }

    /// A page of the person's conversations, newest first.
    pub(crate) async fn list(&self, person: &UserKey, after: Option<Cursor>) -> Result<Listing, StoreError> {
        let mut found: Vec<(Cursor, Path)> = self
            .objects
            .list(Some(&self.directory_of(person)))
            .map_ok(|object| (Cursor::of(&object), object.location))
            // Nothing else that may lie there is one of ours.
            .try_filter(|(cursor, _)| std::future::ready(cursor.is_of_ours()))
            .try_collect()
            .await?;
        found.sort_by(|left, right| right.cmp(left));
        if let Some(after) = after {
            found.retain(|(cursor, _)| *cursor < after);
        }
        let more = found.len() > MOST_LISTED;
        found.truncate(MOST_LISTED);
        let next = more
            .then(|| found.last().map(|(cursor, _)| cursor.to_string()))
            .flatten();
        let headings = found
            .into_iter()
            .map(|(_, location)| async move { self.heading(&location).await });
        let headings = stream::iter(headings)
            .buffered(AT_ONCE)
            .filter_map(async |heading| match heading {
                Ok(heading) => heading.map(|(heading, _)| heading),
                // One spoilt object must not hide the others.
                Err(error) => {
                    tracing::warn!(%error, "a conversation is left out of the list");
                    None
                }
            })
            .collect()
            .await;
        Ok(Listing { headings, next })
    }

    /// Removes the person's conversation of that id; whether there was one.
    pub(crate) async fn delete(&self, person: &UserKey, id: &SessionId) -> Result<bool, StoreError> {
        let location = self.location(person, id);
        let _writing = self.lock(&location).await;
        // One that cannot be read any more can still be removed.
        if !self.exists(&location).await? {
            return Ok(false);
        }
        match self.objects.delete(&location).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn exists(&self, location: &Path) -> Result<bool, StoreError> {
        match self.objects.head(location).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn has_room(&self, person: &UserKey) -> Result<(), StoreError> {
        let kept = self.objects.list(Some(&self.directory_of(person)));
        if kept
            .take(MOST_KEPT)
            .try_fold(0, async |count, _| Ok(count + 1))
            .await?
            >= MOST_KEPT
        {
            return Err(StoreError::TooMany);
        }
        Ok(())
    }

    /// Whether it was written, or another replica was first.
    async fn write(
        &self,
        location: &Path,
        conversation: &Conversation,
        mode: PutMode,
    ) -> Result<bool, StoreError> {
        let unwritable = |error: serde_json::Error| StoreError::Inconsistent {
            location: location.clone(),
            what: error.to_string(),
        };
        let heading = serde_json::to_vec(&conversation.heading()).map_err(unwritable)?;
        let body = serde_json::to_vec(conversation).map_err(unwritable)?;
        if body.len() > MOST_BYTES {
            return Err(StoreError::TooLarge);
        }
        let heading = self.keys.seal(&self.aad(location, "heading"), &heading);
        let body = self.keys.seal(&self.aad(location, "body"), &body);
        let length = u16::try_from(heading.as_bytes().len()).map_err(|_| StoreError::TooLarge)?;
        let object = [
            MAGIC.as_slice(),
            &length.to_be_bytes(),
            heading.as_bytes(),
            body.as_bytes(),
        ]
        .concat();
        let object = PutPayload::from(Bytes::from(object));
        match self.objects.put_opts(location, object.clone(), mode.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => {
                Ok(false)
            }
            // A directory, where the lock has to do.
            Err(object_store::Error::NotImplemented { .. }) => {
                self.objects.put(location, object).await?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn lock(&self, location: &Path) -> MutexGuard<'_, ()> {
        let hash = sha256_parts(&[location.as_ref().as_bytes()]);
        self.locks[usize::from(hash[0]) % LOCKS].lock().await
    }

    async fn heading(&self, location: &Path) -> Result<Option<(Heading, UpdateVersion)>, StoreError> {
        let beginning = GetOptions {
            range: Some((0..HEADING_BYTES).into()),
            ..GetOptions::default()
        };
        let object = match self.objects.get_opts(location, beginning).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let version = version(&object);
        let object = object.bytes().await?;
        let (heading, _) = parted(&object).ok_or_else(|| malformed(location))?;
        let heading = self.opened(location, "heading", heading).await?;
        Ok(Some((heading, version)))
    }

    async fn read(
        &self,
        location: &Path,
        id: &SessionId,
    ) -> Result<Option<(Conversation, UpdateVersion)>, StoreError> {
        let object = match self.objects.get(location).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if object.meta.size > 2 * MOST_BYTES as u64 {
            return Err(malformed(location));
        }
        let version = version(&object);
        let object = object.bytes().await?;
        let (_, body) = parted(&object).ok_or_else(|| malformed(location))?;
        let mut conversation: Conversation = self.opened(location, "body", body).await?;
        if !conversation.known_version() {
            return Err(StoreError::Inconsistent {
                location: location.clone(),
                what: "written by a newer version".to_owned(),
            });
        }
        if conversation.session_id != id.as_str() {
            return Err(StoreError::Inconsistent {
                location: location.clone(),
                what: "names another id".to_owned(),
            });
        }
        conversation.is_kept = true;
        Ok(Some((conversation, version)))
    }

    async fn opened<T: DeserializeOwned>(
        &self,
        location: &Path,
        part: &str,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        let text = self.keys.unseal(&self.aad(location, part), sealed).await?;
        // What the parser says of a text may quote it.
        serde_json::from_slice(text.expose_secret()).map_err(|_| malformed(location))
    }

    fn aad(&self, location: &Path, part: &str) -> Aad {
        Aad::new(&self.account, "conversation", location.as_ref(), part)
    }

    fn directory_of(&self, person: &UserKey) -> Path {
        let key = sha256_parts(&[b"conversations", self.account.as_bytes(), person.as_bytes()]);
        Path::from(hex::encode(key))
    }

    fn location(&self, person: &UserKey, id: &SessionId) -> Path {
        let name = hex::encode(sha256_parts(&[b"conversation", id.as_str().as_bytes()]));
        Path::from(format!("{}/{name}", self.directory_of(person)))
    }
}

impl Cursor {
    fn of(object: &ObjectMeta) -> Self {
        let name = object.location.filename().unwrap_or_default();
        Self(object.last_modified.timestamp_millis(), name.to_owned())
    }

    fn is_of_ours(&self) -> bool {
        self.1.len() == 64 && self.1.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (written, name) = text.split_once('.').ok_or(())?;
        let cursor = Self(written.parse().map_err(|_| ())?, name.to_owned());
        cursor.is_of_ours().then_some(cursor).ok_or(())
    }
}

/// The sealed heading and the sealed body, or what has been read of it.
fn parted(object: &[u8]) -> Option<(&[u8], &[u8])> {
    let (frame, rest) = object.split_at_checked(FRAME)?;
    let length = frame.strip_prefix(MAGIC)?;
    let length = u16::from_be_bytes(length.try_into().ok()?);
    rest.split_at_checked(length.into())
}

fn version(object: &GetResult) -> UpdateVersion {
    UpdateVersion {
        e_tag: object.meta.e_tag.clone(),
        version: object.meta.version.clone(),
    }
}

fn malformed(location: &Path) -> StoreError {
    StoreError::Inconsistent {
        location: location.clone(),
        what: "not a conversation of this version".to_owned(),
    }
}

#[cfg(test)]
mod tests;
