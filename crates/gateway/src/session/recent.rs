//! Sessions that were asked for within the last second, by the cookie that asked (design D17). A person's page
//! loads many things at once; to open the same ticket for each of them would cost more than all else that is
//! done with a request.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_crypto::{Timestamp, constant_time_eq};
use zeroize::Zeroizing;

use super::{CACHED, Session};

/// Parts with a lock each.
const SHARDS: usize = 16;
const MAX_OF_SHARD: usize = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
    hasher: RandomState,
    /// Goes up whenever a session ends here; what was read before counts no more.
    generation: AtomicU64,
}

struct Entry {
    /// Scope and cookie. The hash finds it, and only the whole of it opens it.
    asked: Zeroizing<Vec<u8>>,
    session: Arc<Session>,
    read_at: Timestamp,
    generation: u64,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("sid", &self.session.sid)
            .finish_non_exhaustive()
    }
}

/// When a look-up in the store began, as to sessions that end meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generation(u64);

impl Recent {
    /// Before the store or any other cache is asked.
    pub(super) fn begin(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// A session has ended: it must not be found from here on.
    pub(super) fn session_ended(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn find(&self, scope: &str, cookie: &[u8], now: Timestamp) -> Option<Arc<Session>> {
        let hash = self.hash(scope, cookie);
        let shard = self.shard(hash);
        let entry = shard.get(&hash)?;
        let (same_scope, same_cookie) = entry.asked.split_at_checked(scope.len())?;
        let found = same_scope == scope.as_bytes()
            && constant_time_eq(same_cookie, cookie)
            && entry.generation == self.generation.load(Ordering::SeqCst)
            && entry.is_fresh(now)
            && now < entry.session.expires_at;
        found.then(|| Arc::clone(&entry.session))
    }

    /// Keeps what was read at `read_at`, by a look-up that began at `generation`.
    pub(super) fn keep(
        &self,
        (scope, cookie): (&str, &[u8]),
        session: &Arc<Session>,
        read_at: Timestamp,
        Generation(generation): Generation,
    ) {
        let hash = self.hash(scope, cookie);
        let entry = Entry {
            asked: Zeroizing::new([scope.as_bytes(), cookie].concat()),
            session: Arc::clone(session),
            read_at,
            generation,
        };
        let mut shard = self.shard(hash);
        if shard.len() >= MAX_OF_SHARD {
            shard.retain(|_, kept| kept.is_fresh(read_at));
            if shard.len() >= MAX_OF_SHARD {
                return;
            }
        }
        shard.insert(hash, entry);
    }

    /// Lets go of what nobody has asked for lately.
    pub(super) fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, entry| entry.is_fresh(now));
        }
    }

    fn hash(&self, scope: &str, cookie: &[u8]) -> u64 {
        self.hasher.hash_one((scope, cookie))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashMap<u64, Entry>> {
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.read_at <= now && now.since(self.read_at) < CACHED
    }
}
