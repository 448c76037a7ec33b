//! Conversations in an object store: a directory now, a bucket by the same interface.
//!
//! A conversation lies under a hash of its account and person, and its own name there is a hash too. So
//! another person's id names nothing (H3), and no id, however odd, reaches a file name (H4).

use std::path::Path as FilePath;
use std::sync::Arc;

use countersign_crypto::{UserKey, sha256_parts};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::{Conversation, Heading};
use crate::session_id::SessionId;

/// Bytes one conversation may have.
const MOST_BYTES: usize = 4 << 20;
/// Conversations that a list shows.
const MOST_LISTED: usize = 50;

/// The conversations of every person.
#[derive(Debug, Clone)]
pub(crate) struct ConversationStore {
    objects: Arc<dyn ObjectStore>,
    account: String,
}

/// A conversation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("conversation directory: {0}")]
    Directory(#[source] std::io::Error),
    #[error("conversation store: {0}")]
    Unavailable(#[from] object_store::Error),
    #[error("conversation {location} is not readable: {what}")]
    Inconsistent { location: Path, what: String },
    #[error("conversation is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("a newer turn has begun")]
    Superseded,
}

impl ConversationStore {
    /// Opens a directory, making it when missing. Only the owner may look into it: what people ask an agent
    /// is nobody else's business on a shared machine.
    pub(crate) fn directory(path: &FilePath, account: &str) -> Result<Self, StoreError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder.create(path).map_err(StoreError::Directory)?;
        let objects = LocalFileSystem::new_with_prefix(path)?.with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(objects),
            account: account.to_owned(),
        })
    }

    /// The person's conversation of that id.
    pub(crate) async fn find(
        &self,
        person: &UserKey,
        id: &SessionId,
    ) -> Result<Option<Conversation>, StoreError> {
        let location = self.location(person, id);
        let Some(conversation) = self.read(&location).await? else {
            return Ok(None);
        };
        if conversation.session_id != id.as_str() {
            let what = "names another id".to_owned();
            return Err(StoreError::Inconsistent { location, what });
        }
        Ok(Some(conversation))
    }

    /// Writes `conversation`, unless a later turn than its own has been written. A title given meanwhile stays.
    pub(crate) async fn put(
        &self,
        person: &UserKey,
        id: &SessionId,
        conversation: &mut Conversation,
    ) -> Result<(), StoreError> {
        let location = self.location(person, id);
        if let Some(stored) = self.read(&location).await? {
            if stored.turn > conversation.turn {
                return Err(StoreError::Superseded);
            }
            conversation.title = stored.title;
        }
        self.write(location, conversation).await
    }

    /// Gives the person's conversation of that id another title; whether there is one.
    pub(crate) async fn rename(
        &self,
        person: &UserKey,
        id: &SessionId,
        title: &str,
    ) -> Result<bool, StoreError> {
        let Some(mut conversation) = self.find(person, id).await? else {
            return Ok(false);
        };
        title.clone_into(&mut conversation.title);
        self.write(self.location(person, id), &conversation).await?;
        Ok(true)
    }

    async fn write(&self, location: Path, conversation: &Conversation) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(conversation).map_err(|error| StoreError::Inconsistent {
            location: location.clone(),
            what: error.to_string(),
        })?;
        if bytes.len() > MOST_BYTES {
            return Err(StoreError::TooLarge);
        }
        self.objects.put(&location, bytes.into()).await?;
        Ok(())
    }

    /// The person's latest conversations, newest first.
    pub(crate) async fn list(&self, person: &UserKey) -> Result<Vec<Heading>, StoreError> {
        let mut found: Vec<_> = self
            .objects
            .list(Some(&self.directory_of(person)))
            .try_collect()
            .await?;
        found.sort_by_key(|object| std::cmp::Reverse(object.last_modified));
        let mut headings = Vec::new();
        for object in found.into_iter().take(MOST_LISTED) {
            match self.read(&object.location).await {
                Ok(Some(conversation)) => headings.push(conversation.heading()),
                Ok(None) => {}
                // One spoilt file must not hide the others.
                Err(error) => tracing::warn!(%error, "a conversation is left out of the list"),
            }
        }
        Ok(headings)
    }

    /// Removes the person's conversation of that id; whether there was one.
    pub(crate) async fn delete(&self, person: &UserKey, id: &SessionId) -> Result<bool, StoreError> {
        if self.find(person, id).await?.is_none() {
            return Ok(false);
        }
        match self.objects.delete(&self.location(person, id)).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, location: &Path) -> Result<Option<Conversation>, StoreError> {
        let object = match self.objects.get(location).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let inconsistent = |what: String| StoreError::Inconsistent {
            location: location.clone(),
            what,
        };
        if object.meta.size > MOST_BYTES as u64 {
            return Err(inconsistent("too large".to_owned()));
        }
        let bytes = object.bytes().await?;
        let conversation: Conversation =
            serde_json::from_slice(&bytes).map_err(|error| inconsistent(error.to_string()))?;
        if !conversation.known_version() {
            return Err(inconsistent("written by a newer version".to_owned()));
        }
        Ok(Some(conversation))
    }

    fn directory_of(&self, person: &UserKey) -> Path {
        let key = sha256_parts(&[b"conversations", self.account.as_bytes(), person.as_bytes()]);
        Path::from(hex::encode(key))
    }

    fn location(&self, person: &UserKey, id: &SessionId) -> Path {
        let name = hex::encode(sha256_parts(&[b"conversation", id.as_str().as_bytes()]));
        Path::from(format!("{}/{name}.json", self.directory_of(person)))
    }
}

#[cfg(test)]
mod tests {
    use countersign_crypto::Timestamp;

    use super::*;

    fn store(directory: &tempfile::TempDir) -> ConversationStore {
        ConversationStore::directory(&directory.path().join("conversations"), "000000000000")
            .expect("a store")
    }

    fn conversation(id: &SessionId, text: &str) -> Conversation {
        let mut conversation = Conversation::new(id, Timestamp::from_secs(1_000));
        conversation.ask(text, Timestamp::from_secs(1_000)).expect("room");
        conversation
    }

    #[tokio::test]
    async fn h03_a_conversation_id_of_another_person_is_not_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let alice = UserKey::jwt("https://idp.example", "alice");
        let mallory = UserKey::jwt("https://idp.example", "mallory");
        let id: SessionId = "shared-id".parse().expect("an id");
        store
            .put(&alice, &id, &mut conversation(&id, "a secret"))
            .await
            .expect("written");

        assert!(store.find(&alice, &id).await.expect("read").is_some());
        assert!(store.find(&mallory, &id).await.expect("read").is_none());
        assert!(store.list(&mallory).await.expect("listed").is_empty());
        assert!(!store.delete(&mallory, &id).await.expect("answered"));
        assert_eq!(store.list(&alice).await.expect("listed").len(), 1);
    }

    #[tokio::test]
    async fn a_replaced_turn_cannot_overwrite_its_successor() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let alice = UserKey::jwt("https://idp.example", "alice");
        let id: SessionId = "c".parse().expect("an id");
        let mut first = conversation(&id, "first");
        let mut second = first.clone();
        second.ask("second", Timestamp::from_secs(1_001)).expect("room");
        store.put(&alice, &id, &mut second).await.expect("written");
        assert!(matches!(
            store.put(&alice, &id, &mut first).await,
            Err(StoreError::Superseded)
        ));
        assert_eq!(
            store.find(&alice, &id).await.expect("read").expect("kept").turn,
            2
        );
    }

    #[tokio::test]
    async fn ids_of_dots_stay_in_the_directory_of_their_person() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let alice = UserKey::jwt("https://idp.example", "alice");
        for id in [".", "..", "...", "-"] {
            let id: SessionId = id.parse().expect("an id");
            store
                .put(&alice, &id, &mut conversation(&id, "hello"))
                .await
                .expect("written");
            assert!(store.find(&alice, &id).await.expect("read").is_some());
        }
        let top: Vec<_> = std::fs::read_dir(directory.path().join("conversations"))
            .expect("readable")
            .collect();
        assert_eq!(top.len(), 1, "one directory, the person's");
        assert_eq!(store.list(&alice).await.expect("listed").len(), 4);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_may_look_into_the_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let _store = store(&directory);
        let mode = std::fs::metadata(directory.path().join("conversations"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
