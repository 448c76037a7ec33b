use std::time::Duration;

use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{FileKeyProvider, KeyProvider, SystemRandom, Timestamp};
use countersign_web::Drain;
use tempfile::TempDir;

use super::*;
use crate::Parts;
use crate::config::Conversations;
use crate::conversation::{Entry, open};

const ACCOUNT: &str = "000000000000";
const DAY: Duration = Duration::from_hours(24);

struct World {
    directory: TempDir,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_000))),
        }
    }

    fn root_key(&self, name: &str) -> Arc<dyn KeyProvider> {
        let path = self.directory.path().join(name);
        Arc::new(FileKeyProvider::open_or_create(&path, Arc::new(SystemRandom)).expect("a key file"))
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        let place = Conversations::Directory(self.directory.path().join("conversations"));
        open(&place, &[]).expect("a directory")
    }

    /// A replica that has just started.
    async fn store_with(
        &self,
        seed: u64,
        root: &str,
        previous: Option<&str>,
        rotate_after: Option<Duration>,
    ) -> Result<ConversationStore, StoreError> {
        let parts = Parts {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
            drain: Drain::new().1,
            key_provider: self.root_key(root),
            previous_key_provider: previous.map(|name| self.root_key(name)),
            aws: countersign_api::Environment::default(),
        };
        let keys = ConversationKeys::open(self.objects(), ACCOUNT, rotate_after, &parts).await?;
        Ok(ConversationStore::new(self.objects(), keys, ACCOUNT))
    }

    async fn store(&self) -> ConversationStore {
        self.store_with(1, "agent.key", None, None)
            .await
            .expect("a store")
    }

    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        fn walk(directory: &std::path::Path, found: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(directory).expect("readable") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    let bytes = std::fs::read(&path).expect("readable");
                    found.push((path, bytes));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.directory.path().join("conversations"), &mut found);
        found.retain(|(path, _)| !path.to_string_lossy().contains("/keys/"));
        found
    }
}

fn person(name: &str) -> UserKey {
    UserKey::jwt("https://idp.example", name)
}

fn id(text: &str) -> SessionId {
    text.parse().expect("an id")
}

fn conversation(id: &SessionId, text: &str) -> Conversation {
    let mut conversation = Conversation::new(id, Timestamp::from_secs(1_000));
    conversation.ask(text, Timestamp::from_secs(1_000)).expect("room");
    conversation
}

async fn keep(store: &ConversationStore, who: &str, name: &str, text: &str) {
    let (person, id) = (person(who), id(name));
    let mut conversation = conversation(&id, text);
    store.put(&person, &id, &mut conversation).await.expect("written");
}

#[tokio::test]
async fn h03_a_conversation_id_of_another_person_is_not_found() {
    let world = World::new();
    let store = world.store().await;
    let (alice, mallory, shared) = (person("alice"), person("mallory"), id("shared-id"));
    keep(&store, "alice", "shared-id", "a secret").await;

    assert!(store.find(&alice, &shared).await.expect("read").is_some());
    assert!(store.find(&mallory, &shared).await.expect("read").is_none());
    let listing = store.list(&mallory, None).await.expect("listed");
    assert!(listing.headings.is_empty());
    assert!(!store.delete(&mallory, &shared).await.expect("answered"));
    assert!(!store.rename(&mallory, &shared, "mine").await.expect("answered"));
    assert_eq!(store.list(&alice, None).await.expect("listed").headings.len(), 1);
}

#[tokio::test]
async fn what_lies_in_the_store_tells_nothing_and_opens_only_in_its_place() {
    let world = World::new();
    let store = world.store().await;
    keep(&store, "alice", "first", "the secret question").await;
    keep(&store, "alice", "second", "another question").await;
    keep(&store, "mallory", "first", "a harmless question").await;
    let files = world.files();
    assert_eq!(files.len(), 3);
    for (path, bytes) in &files {
        for word in ["question", "alice", "first"] {
            assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()));
            assert!(!path.to_string_lossy().contains(word));
        }
    }

    // Somebody who can write the store gives one person's conversation to another, or swaps two.
    let at = |who: &str, name: &str| {
        let location = store.location(&person(who), &id(name));
        world
            .directory
            .path()
            .join("conversations")
            .join(location.as_ref())
    };
    for (from, to, reader) in [
        (at("alice", "first"), at("mallory", "first"), ("mallory", "first")),
        (at("alice", "first"), at("alice", "second"), ("alice", "second")),
    ] {
        let kept = std::fs::read(&to).expect("readable");
        std::fs::copy(&from, &to).expect("copied");
        let read = store.find(&person(reader.0), &id(reader.1)).await;
        assert!(matches!(read, Err(StoreError::Sealed(OpenError::Authentication))));
        std::fs::write(&to, kept).expect("put back");
        assert!(store.find(&person(reader.0), &id(reader.1)).await.is_ok());
    }
    // A changed, cut or foreign object is refused, and hides no other from the list.
    let (path, whole) = (
        at("alice", "first"),
        std::fs::read(at("alice", "first")).expect("readable"),
    );
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    for spoilt in [
        &changed[..],
        &whole[..whole.len() / 2],
        &whole[..3],
        b"",
        b"{\"version\":1}",
    ] {
        std::fs::write(&path, spoilt).expect("written");
        assert!(store.find(&person("alice"), &id("first")).await.is_err());
        let listing = store.list(&person("alice"), None).await.expect("listed");
        assert!(!listing.headings.is_empty());
    }
    assert!(
        store
            .delete(&person("alice"), &id("first"))
            .await
            .expect("removed")
    );
}

#[tokio::test]
async fn conversations_open_after_a_restart_and_not_under_another_root_key() {
    let world = World::new();
    keep(&world.store().await, "alice", "c", "hello").await;
    let again = world
        .store_with(2, "agent.key", None, None)
        .await
        .expect("a store");
    let found = again.find(&person("alice"), &id("c")).await.expect("read");
    assert!(found.is_some_and(|conversation| conversation.is_interrupted()));

    let other = world.store_with(3, "other.key", None, None).await;
    assert!(matches!(other, Err(StoreError::Keys(KeyError::OtherRoot { .. }))));
    // Named as the one before, it wraps the keys anew; then the old one is needed no more.
    let moved = world
        .store_with(3, "other.key", Some("agent.key"), None)
        .await
        .expect("wrapped anew");
    assert!(
        moved
            .find(&person("alice"), &id("c"))
            .await
            .expect("read")
            .is_some()
    );
    std::fs::remove_file(world.directory.path().join("agent.key")).expect("removed");
    let later = world
        .store_with(4, "other.key", None, None)
        .await
        .expect("a store");
    assert!(
        later
            .find(&person("alice"), &id("c"))
            .await
            .expect("read")
            .is_some()
    );
}

#[tokio::test]
async fn a_new_key_seals_and_replicas_that_started_before_open_it() {
    let world = World::new();
    let before = world.store().await;
    keep(&before, "alice", "old", "hello").await;
    world.clock.advance(DAY * 31);
    let rotated = world
        .store_with(2, "agent.key", None, Some(DAY * 30))
        .await
        .expect("a store");
    keep(&rotated, "alice", "new", "hello").await;
    for store in [&before, &rotated] {
        for name in ["old", "new"] {
            let found = store.find(&person("alice"), &id(name)).await.expect("read");
            assert!(found.is_some(), "{name}");
        }
    }
    let keys = |store: &ConversationStore| {
        let directory = format!(
            "keys/{}",
            hex::encode(&sha256_parts(&[b"conversation keys", ACCOUNT.as_bytes()])[..16])
        );
        let list = store.objects.list(Some(&Path::from(directory)));
        async move { list.try_collect::<Vec<_>>().await.expect("listed").len() }
    };
    assert_eq!(keys(&rotated).await, 2);
    world
        .store_with(3, "agent.key", None, Some(DAY * 30))
        .await
        .expect("a store");
    assert_eq!(keys(&rotated).await, 2, "the newest is young");
}

#[tokio::test]
async fn replicas_that_start_at_once_get_one_key() {
    let world = World::new();
    let starts = (0..8).map(|seed| world.store_with(seed, "agent.key", None, None));
    let stores = futures_util::future::try_join_all(starts)
        .await
        .expect("all start");
    keep(&stores[0], "alice", "c", "hello").await;
    for store in &stores {
        assert!(
            store
                .find(&person("alice"), &id("c"))
                .await
                .expect("read")
                .is_some()
        );
    }
}

#[tokio::test]
async fn a_replaced_turn_cannot_overwrite_its_successor() {
    let world = World::new();
    let store = world.store().await;
    let (alice, id) = (person("alice"), id("c"));
    let mut first = conversation(&id, "first");
    let mut second = first.clone();
    second.ask("second", Timestamp::from_secs(1_001)).expect("room");
    store.put(&alice, &id, &mut second).await.expect("written");
    assert!(matches!(
        store.put(&alice, &id, &mut first).await,
        Err(StoreError::Superseded)
    ));
    let kept = store.find(&alice, &id).await.expect("read").expect("kept");
    assert_eq!(kept.turn, 2);
}

#[tokio::test]
async fn a_deleted_conversation_does_not_come_back() {
    let world = World::new();
    let store = world.store().await;
    let (alice, id) = (person("alice"), id("c"));
    let mut turn = conversation(&id, "hello");
    store.put(&alice, &id, &mut turn).await.expect("written");
    let mut later = store.find(&alice, &id).await.expect("read").expect("kept");
    assert!(store.delete(&alice, &id).await.expect("deleted"));
    for turn in [&mut turn, &mut later] {
        let written = store.put(&alice, &id, turn).await;
        assert!(matches!(written, Err(StoreError::Superseded)));
    }
    assert!(store.find(&alice, &id).await.expect("read").is_none());
}

#[tokio::test]
async fn a_title_and_an_answer_given_at_once_are_both_kept() {
    let world = World::new();
    let store = world.store().await;
    let (alice, id) = (person("alice"), id("c"));
    let mut turn = conversation(&id, "hello");
    store.put(&alice, &id, &mut turn).await.expect("written");
    for number in 0..30 {
        turn.entries.push(Entry::User {
            text: number.to_string(),
        });
        let title = format!("title {number}");
        let (written, renamed) = tokio::join!(
            store.put(&alice, &id, &mut turn),
            store.rename(&alice, &id, &title)
        );
        written.expect("written");
        assert!(renamed.expect("renamed"));
        let kept = store.find(&alice, &id).await.expect("read").expect("kept");
        assert_eq!((kept.entries.len(), kept.title), (turn.entries.len(), title));
    }
}

#[tokio::test]
async fn two_hundred_conversations_are_listed_page_by_page() {
    let world = World::new();
    let store = world.store().await;
    let alice = person("alice");
    for number in 0..200 {
        keep(
            &store,
            "alice",
            &format!("c{number}"),
            &format!("question {number}"),
        )
        .await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = store.list(&alice, after).await.expect("listed");
        pages += 1;
        assert!(page.headings.len() <= MOST_LISTED);
        for heading in page.headings {
            assert!(seen.insert(heading.session_id), "each once");
        }
        match page.next {
            Some(next) => after = Some(next.parse().expect("a cursor")),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (200, 4));
    for bad in [
        "",
        ".",
        "1",
        "x.y",
        "1.../../etc",
        &format!("1.{}", "g".repeat(64)),
    ] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_conversation_has_a_largest_size() {
    let world = World::new();
    let store = world.store().await;
    let (alice, id) = (person("alice"), id("c"));
    let mut large = conversation(&id, &"x".repeat(MOST_BYTES));
    assert!(matches!(
        store.put(&alice, &id, &mut large).await,
        Err(StoreError::TooLarge)
    ));
    assert!(store.find(&alice, &id).await.expect("read").is_none());
}

#[tokio::test]
async fn ids_of_dots_stay_in_the_directory_of_their_person() {
    let world = World::new();
    let store = world.store().await;
    for name in [".", "..", "...", "-"] {
        keep(&store, "alice", name, "hello").await;
        assert!(
            store
                .find(&person("alice"), &id(name))
                .await
                .expect("read")
                .is_some()
        );
    }
    let top = std::fs::read_dir(world.directory.path().join("conversations")).expect("readable");
    assert_eq!(top.count(), 2, "the person's directory and the keys'");
    assert_eq!(
        store
            .list(&person("alice"), None)
            .await
            .expect("listed")
            .headings
            .len(),
        4
    );
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    world.store().await;
    let mode = std::fs::metadata(world.directory.path().join("conversations"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}
